"""Which path is asked upstream, and which route takes a call."""

import timeit
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import config
from sidecar.dialects import DIALECTS
from sidecar.model import Ask, Operation
from sidecar.routing import Router, UnknownProvider, UnknownRoute, choose, own_path, split_path, upstream_path

PROVIDERS = config.parse("""
providers:
  root: {url: "https://gateway.example.com", dialect: openai_chat}
  prefix: {url: "https://gateway.example.com/llm/", dialect: openai_chat}
  versioned: {url: "https://gateway.example.com/llm", version: v3, dialect: openai_chat}
  beta: {url: "https://gateway.example.com/api/v2beta", dialect: anthropic}
  azure: {url: "https://shop.openai.azure.com"}
  azure-v1: {vendor: azure, url: "https://shop.openai.azure.com/openai/v1"}
  bedrock: {url: "https://bedrock-runtime.us-east-1.amazonaws.com", dialect: ""}
""").providers

# The first column is what real SDKs send when their base url variable is the second one.
SDK_PATHS = [
    # openai python, node, go, java; langchain-openai; llama-index openai; litellm: base B/openai/v1
    ("/openai/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
    # the same with a base without the version
    ("/openai/chat/completions", "https://api.openai.com/v1/chat/completions"),
    # ai (Vercel) with @ai-sdk/openai
    ("/openai/v1/responses", "https://api.openai.com/v1/responses"),
    ("/openai/responses", "https://api.openai.com/v1/responses"),
    # anthropic python, TS, go; langchain-anthropic; litellm: base B/anthropic
    ("/anthropic/v1/messages", "https://api.anthropic.com/v1/messages"),
    # @ai-sdk/anthropic: no version
    ("/anthropic/messages", "https://api.anthropic.com/v1/messages"),
    ("/anthropic/v1/messages/count_tokens", "https://api.anthropic.com/v1/messages/count_tokens"),
    # google-genai python and JS, older and newer; langchain-google-genai
    (
        "/gemini/v1beta/models/m:generateContent",
        "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
    ),
    (
        "/gemini/v1/models/m:generateContent",
        "https://generativelanguage.googleapis.com/v1/models/m:generateContent",
    ),
    # litellm: no version
    (
        "/gemini/models/m:generateContent",
        "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
    ),
    # google-genai uploads
    ("/gemini/upload/v1beta/files", "https://generativelanguage.googleapis.com/upload/v1beta/files"),
    # boto3 bedrock-runtime
    (
        "/bedrock/model/m/converse",
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse",
    ),
    # groq's SDK sends the path of its provider's url too; openai's SDK for groq does not
    ("/groq/openai/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    ("/groq/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    ("/groq/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    # cohere's SDK sends its version
    ("/cohere/v2/chat", "https://api.cohere.com/v2/chat"),
    # AzureOpenAI of the openai SDK, and the openai SDK for Azure's v1
    (
        "/azure/openai/deployments/d/chat/completions?api-version=2024-10-21",
        "https://shop.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
    ),
    ("/azure-v1/chat/completions", "https://shop.openai.azure.com/openai/v1/chat/completions"),
]

OTHER_PATHS = [
    ("/openai/v1/models?limit=2&after=a/../b", "https://api.openai.com/v1/models?limit=2&after=a/../b"),
    ("/openai/files", "https://api.openai.com/v1/files"),
    ("/deepseek/chat/completions", "https://api.deepseek.com/v1/chat/completions"),
    ("/deepseek/v1/chat/completions", "https://api.deepseek.com/v1/chat/completions"),
    ("/deepseek/user/balance", "https://api.deepseek.com/user/balance"),
    ("/perplexity/chat/completions", "https://api.perplexity.ai/chat/completions"),
    ("/deepinfra/chat/completions", "https://api.deepinfra.com/v1/openai/chat/completions"),
    ("/openrouter/api/v1/chat/completions", "https://openrouter.ai/api/v1/chat/completions"),
    ("/root/chat/completions", "https://gateway.example.com/v1/chat/completions"),
    ("/root/api/chat/completions", "https://gateway.example.com/api/chat/completions"),
    ("/root/health", "https://gateway.example.com/health"),
    ("/prefix/chat/completions", "https://gateway.example.com/llm/chat/completions"),
    ("/prefix/v1/chat/completions", "https://gateway.example.com/llm/v1/chat/completions"),
    ("/prefix/llm/chat/completions", "https://gateway.example.com/llm/chat/completions"),
    ("/versioned/chat/completions", "https://gateway.example.com/llm/v3/chat/completions"),
    ("/beta/messages", "https://gateway.example.com/api/v2beta/messages"),
    ("/beta/v1/messages", "https://gateway.example.com/api/v1/messages"),
    ("/openai//v1///chat//completions", "https://api.openai.com/v1/chat/completions"),
    ("/openai/vector_stores", "https://api.openai.com/v1/vector_stores"),
    ("/openai/models/a%2Fb", "https://api.openai.com/v1/models/a%2Fb"),
    ("/openai/models/a..b", "https://api.openai.com/v1/models/a..b"),
    ("/openai", "https://api.openai.com/v1/"),
]


def asked(raw_path: str) -> str:
    name, _, rest = split_path(raw_path)
    provider = PROVIDERS[name]
    dialect = DIALECTS.get(provider.dialect)
    path = own_path(provider, rest)[0].partition("?")[0]
    known = dialect is not None and dialect.operation("POST", path) is not None
    return f"{provider.scheme}://{provider.host}{upstream_path(provider, rest, known)}"


@pytest.mark.parametrize(("sent", "expected"), SDK_PATHS)
def test_every_path_that_real_sdks_send_reaches_its_operation(sent: str, expected: Any) -> None:
    assert expected == asked(sent)


@pytest.mark.parametrize(("sent", "expected"), OTHER_PATHS)
def test_other_paths_arrive_below_the_providers_url(sent: str, expected: Any) -> None:
    assert expected == asked(sent)


@pytest.mark.parametrize(
    "path",
    [
        "/../admin",
        "/v1/..",
        "/v1/./models",
        "/v1/%2e%2e/models",
        "/v1/%2E./models",
        "/v1/.%2e/models",
        "/v1/%252e%252e/models",
        "/v1/..%2fmodels",
        "/v1/..;/models",
        "/v1/..%5cmodels",
        "/v1/a%2f..%2fb",
        "/v1/..\\models",
        "/v1/models%00",
        "/v1/models#x",
        "/v1/mod els",
        "/v1/mod\r\nels",
        "/v1/modéls",
        "v1/models",
        "",
    ],
)
def test_a_path_that_could_leave_the_providers_url_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        upstream_path(PROVIDERS["openai"], path, operation_known=True)


@given(st.sampled_from(sorted(PROVIDERS)), st.text(alphabet="/.v1%2ea?\\@:é ", max_size=24), st.booleans())
@settings(max_examples=300)
def test_whatever_a_client_writes_stays_below_the_url(name: str, path: str, known: bool) -> None:
    provider = PROVIDERS[name]

    try:
        result = upstream_path(provider, path, known)
    except ValueError:
        return

    way, mark, query = result.partition("?")
    assert way.startswith(provider.base_path + "/")
    assert "//" not in way
    assert not {".", ".."} & set(way.split("/"))
    assert (mark + query) == path[len(path.partition("?")[0]) :]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/openai/v1/models", ("openai", None, "/v1/models")),
        ("/openai@summaries/v1/models?x=@1", ("openai", "summaries", "/v1/models?x=@1")),
        ("/openai@/v1", ("openai", "", "/v1")),
        ("/openai", ("openai", None, "/")),
        ("/openai?x=1", ("openai", None, "/?x=1")),
        ("//openai//v1", ("openai", None, "/v1")),
        ("/", ("", None, "/")),
    ],
)
def test_a_path_is_split_into_provider_route_and_rest(raw: str, expected: Any) -> None:
    assert expected == split_path(raw)


# ---- routes ---------------------------------------------------------------------------------

ROUTED = config.parse("""
routes:
  - {name: claude, match: {provider: anthropic}}
  - {name: fast, match: {provider: openai, operation: chat, model: "gpt-4o*", stream: true}}
  - {name: batch, match: {header: nightly}, chain: [openai]}
  - {name: mini, match: {model: "*-mini"}, chain: [groq]}
  - {name: named-only, match: {provider: openai, model: none-has-this}}
""")


def ask(model: str = "m", *, stream: bool = False, operation: Operation = Operation.CHAT) -> Ask:
    return Ask(operation=operation, model=model, stream=stream)


@pytest.mark.parametrize(
    ("provider", "wish", "header", "expected"),
    [
        ("anthropic", ask(), None, "claude"),
        ("openai", ask("gpt-4o-mini", stream=True), None, "fast"),
        ("openai", ask("gpt-4o-mini"), None, "mini"),
        ("openai", ask("gpt-4o", stream=True, operation=Operation.EMBEDDINGS), None, "openai"),
        ("openai", ask("GPT-4o", stream=True), None, "openai"),
        ("openai", ask("x-gpt-4o", stream=True), None, "openai"),
        ("mistral", ask("m-mini"), None, "mini"),
        ("anthropic", ask("m-mini"), None, "claude"),
        ("gemini", ask("m-mini"), None, "gemini"),
        ("openai", ask(), "nightly", "batch"),
        ("openai", ask(), "named-only", "named-only"),
        ("openai", ask("gpt-4o", stream=True), "batch", "batch"),
        ("openai", ask("gpt-4o", stream=True), "openai", "openai"),
        ("xai", ask(), None, "xai"),
    ],
)
def test_the_first_route_whose_conditions_hold_takes_the_call(
    provider: str, wish: Ask, header: str | None, expected: Any
) -> None:
    assert expected == choose(ROUTED, provider=provider, ask=wish, header_route=header).route.name


@pytest.mark.parametrize(
    ("provider", "name", "message"),
    [
        ("openai", "fats", 'no route has the name that the request asks for, did you mean "fast"?'),
        ("openai", "", "no route has the name that the request asks for"),
        ("anthropic", "fast", 'route "fast" is not for provider "anthropic"'),
        ("anthropic", "batch", 'route "batch" is not for provider "anthropic"'),
        ("openai", "anthropic", "no route has the name that the request asks for"),
    ],
)
def test_a_request_that_names_a_wrong_route_is_told(provider: str, name: str, message: str) -> None:
    with pytest.raises(UnknownRoute) as told:
        choose(ROUTED, provider=provider, ask=ask(), header_route=name)

    assert message == str(told.value)


def test_an_unknown_provider_is_told_with_the_known_ones() -> None:
    with pytest.raises(UnknownProvider) as told:
        Router(config.parse("")).provider("opnai")

    assert "openai" in told.value.known
    assert "known: anthropic, cerebras" in str(told.value)


def test_an_implicit_route_is_its_provider_with_the_defaults() -> None:
    settings = config.parse("defaults: {retry: {attempts: 2}}\nproviders: {mine: {vendor: openai}}")

    route = Router(settings).implicit["mine"]

    assert route.implicit
    assert "mine" == route.name
    assert ["mine"] == [target.provider.name for target in route.chain]
    assert 2 == route.retry.attempts


@given(
    st.sampled_from(["openai", "anthropic", "groq", "gemini"]),
    st.sampled_from(["gpt-4o", "gpt-4o-mini", "claude", "a-mini", "none-has-this", ""]),
    st.booleans(),
    st.sampled_from([None, "nightly"]),
)
@settings(max_examples=60)
def test_what_is_chosen_is_what_the_explanation_says(
    provider: str, model: str, stream: bool, header: str | None
) -> None:
    router = Router(ROUTED)
    wish = ask(model, stream=stream)

    chosen = router.choose(provider=provider, ask=wish, header_route=header).route
    rows = router.misses(provider=provider, ask=wish, header_route=header)

    taken = [route for route, missed in rows if not missed]
    assert ([chosen] if not chosen.implicit else []) == taken
    for route, missed in rows:
        if missed == "model":
            assert not fnmatchcase(model, route.match.model or "*")


def test_choosing_among_twenty_routes_costs_microseconds() -> None:
    rows = "".join(f"  - {{name: r{n}, match: {{provider: openai, model: 'm{n}-*'}}}}\n" for n in range(20))
    router = Router(config.parse(f"routes:\n{rows}"))
    wish = ask("m19-x")

    best = min(timeit.repeat(lambda: router.choose(provider="openai", ask=wish), number=200, repeat=5)) / 200

    assert best < 50e-6  # it is about 5 on a quiet machine
