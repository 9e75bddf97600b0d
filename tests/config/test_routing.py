"""Which path is asked upstream, and which route takes a call."""

import timeit
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import config
from sidecar.dialects import find
from sidecar.model import Ask, Operation
from sidecar.routing import Router, UnknownProvider, UnknownRoute, choose, own_path, split_path, upstream_path
from sidecar.vendors import VENDORS, Vendor

PROVIDERS = config.parse("""
providers:
  root: {url: "https://gateway.example.com", dialect: openai_chat}
  prefix: {url: "https://gateway.example.com/llm/", dialect: openai_chat}
  versioned: {url: "https://gateway.example.com/llm", version: v3, dialect: openai_chat}
  beta: {url: "https://gateway.example.com/api/v2beta", dialect: anthropic}
  azure: {url: "https://shop.openai.azure.com"}
  azure-v1: {vendor: azure, url: "https://shop.openai.azure.com/openai/v1/"}
  claude-azure: {dialect: anthropic, url: "https://shop.services.ai.azure.com/anthropic/v1", auth: x-api-key}
  vertex: {url: "https://us-east5-aiplatform.googleapis.com"}
  vertex-p: {vendor: vertex, url: "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"}
  bedrock: {url: "https://bedrock-runtime.us-east-1.amazonaws.com"}
  mantle: {dialect: openai_chat, url: "https://bedrock-mantle.us-east-1.api.aws/v1"}
  gemini-openai: {dialect: openai_chat, url: "https://generativelanguage.googleapis.com/v1beta/openai"}
  vllm: {url: "http://10.0.0.5:8000"}
  ollama: {url: "http://10.0.0.5:11434"}
""").providers

GOOGLE = "https://generativelanguage.googleapis.com"
AZURE = "https://shop.openai.azure.com"
PROJECT = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"
VERTEX_CLAUDE = "/projects/p/locations/l/publishers/anthropic/models/m:rawPredict"
VERTEX = "/projects/p/locations/l/publishers/google/models/m:generateContent"

# What real SDKs send when their base url variable is the one in the comment, and where it has to go.
SDK_PATHS = [
    # openai python, node, go, java; langchain-openai; llama-index openai; litellm: base B/openai/v1
    ("/openai/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
    ("/openai/v1/embeddings", "https://api.openai.com/v1/embeddings"),
    # the same with a base without the version
    ("/openai/chat/completions", "https://api.openai.com/v1/chat/completions"),
    ("/openai/embeddings", "https://api.openai.com/v1/embeddings"),
    # ai (Vercel) with @ai-sdk/openai asks for responses by default
    ("/openai/v1/responses", "https://api.openai.com/v1/responses"),
    ("/openai/responses", "https://api.openai.com/v1/responses"),
    ("/openai/v1/responses/resp_1", "https://api.openai.com/v1/responses/resp_1"),
    # anthropic python, TS, go; langchain-anthropic; litellm: base B/anthropic
    ("/anthropic/v1/messages", "https://api.anthropic.com/v1/messages"),
    # @ai-sdk/anthropic: no version
    ("/anthropic/messages", "https://api.anthropic.com/v1/messages"),
    ("/anthropic/v1/messages/count_tokens", "https://api.anthropic.com/v1/messages/count_tokens"),
    # the beta namespace of anthropic's SDK
    ("/anthropic/v1/messages?beta=true", "https://api.anthropic.com/v1/messages?beta=true"),
    # google-genai python and JS up to 2.x, langchain-google-genai: base B/gemini
    ("/gemini/v1beta/models/m:generateContent", f"{GOOGLE}/v1beta/models/m:generateContent"),
    (
        "/gemini/v1beta/models/m:streamGenerateContent?alt=sse",
        f"{GOOGLE}/v1beta/models/m:streamGenerateContent?alt=sse",
    ),
    # google-genai 3.x
    ("/gemini/v1/models/m:generateContent", f"{GOOGLE}/v1/models/m:generateContent"),
    ("/gemini/v1/models/m:batchEmbedContents", f"{GOOGLE}/v1/models/m:batchEmbedContents"),
    # litellm with GEMINI_API_BASE: no version
    ("/gemini/models/m:generateContent", f"{GOOGLE}/v1beta/models/m:generateContent"),
    (
        "/gemini/models/m:streamGenerateContent?alt=sse",
        f"{GOOGLE}/v1beta/models/m:streamGenerateContent?alt=sse",
    ),
    ("/gemini/models/m%3AgenerateContent", f"{GOOGLE}/v1beta/models/m%3AgenerateContent"),
    # google-genai uploads
    ("/gemini/upload/v1beta/files", f"{GOOGLE}/upload/v1beta/files"),
    # google-genai for Vertex: base B/vertex
    (f"/vertex/v1beta1{VERTEX}", f"https://us-east5-aiplatform.googleapis.com/v1beta1{VERTEX}"),
    (f"/vertex/v1{VERTEX}", f"https://us-east5-aiplatform.googleapis.com/v1{VERTEX}"),
    # anthropic's Vertex class: base B/vertex/v1
    (
        f"/vertex/v1{VERTEX_CLAUDE}",
        f"https://us-east5-aiplatform.googleapis.com/v1{VERTEX_CLAUDE}",
    ),
    # a client of Gemini whose provider is a project on Vertex
    (
        "/vertex-p/v1beta/models/m:generateContent",
        f"{PROJECT}/models/m:generateContent",
    ),
    ("/vertex-p/models/m:generateContent", f"{PROJECT}/models/m:generateContent"),
    # boto3 bedrock-runtime
    ("/bedrock/model/m/converse", "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse"),
    (
        "/bedrock/model/anthropic.m-v1%3A0/invoke-with-response-stream",
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.m-v1%3A0/invoke-with-response-stream",
    ),
    ("/mantle/v1/responses", "https://bedrock-mantle.us-east-1.api.aws/v1/responses"),
    # groq's SDK sends the path of its provider's url too; openai's SDK for groq does not
    ("/groq/openai/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    ("/groq/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    ("/groq/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    # cohere's SDK sends its version
    ("/cohere/v2/chat", "https://api.cohere.com/v2/chat"),
    # AzureOpenAI of the openai SDK, whatever of the address is configured
    *(
        (f"/{name}/openai/{path}?api-version=2024-10-21", f"{AZURE}/openai/{path}?api-version=2024-10-21")
        for name in ("azure", "azure-v1")
        for path in ("deployments/d/chat/completions", "deployments/d/embeddings", "responses", "files")
    ),
    # the openai SDK for Azure's v1
    ("/azure/openai/v1/chat/completions", f"{AZURE}/openai/v1/chat/completions"),
    ("/azure/openai/v1/responses", f"{AZURE}/openai/v1/responses"),
    ("/azure/v1/responses", f"{AZURE}/openai/v1/responses"),
    ("/azure-v1/chat/completions", f"{AZURE}/openai/v1/chat/completions"),
    ("/azure-v1/v1/responses", f"{AZURE}/openai/v1/responses"),
    # anthropic's SDK for Foundry
    ("/claude-azure/v1/messages", "https://shop.services.ai.azure.com/anthropic/v1/messages"),
    ("/claude-azure/anthropic/v1/messages", "https://shop.services.ai.azure.com/anthropic/v1/messages"),
]

# openai's SDK for everybody who speaks as OpenAI does: base B/NAME/v1, B/NAME, or B/NAME with the url's path
OPENAI_LIKE = {
    "cerebras": "https://api.cerebras.ai/v1",
    "dashscope": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "deepseek": "https://api.deepseek.com/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "gemini-openai": f"{GOOGLE}/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "huggingface": "https://router.huggingface.co/v1",
    "minimax": "https://api.minimax.io/v1",
    "mistral": "https://api.mistral.ai/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "nvidia": "https://integrate.api.nvidia.com/v1",
    "ollama": "http://10.0.0.5:11434/v1",
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "sambanova": "https://api.sambanova.ai/v1",
    "together": "https://api.together.ai/v1",
    "vllm": "http://10.0.0.5:8000/v1",
    "voyage": "https://api.voyageai.com/v1",
    "xai": "https://api.x.ai/v1",
}

OTHER_PATHS = [
    ("/openai/v1/models?limit=2&after=a/../b", "https://api.openai.com/v1/models?limit=2&after=a/../b"),
    ("/openai/files", "https://api.openai.com/v1/files"),
    ("/deepseek/user/balance", "https://api.deepseek.com/user/balance"),
    ("/perplexity/chat/completions", "https://api.perplexity.ai/chat/completions"),
    ("/perplexity/v1/responses", "https://api.perplexity.ai/v1/responses"),
    ("/zai/chat/completions", "https://api.z.ai/api/paas/v4/chat/completions"),
    ("/zai/api/paas/v4/chat/completions", "https://api.z.ai/api/paas/v4/chat/completions"),
    ("/root/chat/completions", "https://gateway.example.com/v1/chat/completions"),
    ("/root/api/chat/completions", "https://gateway.example.com/api/chat/completions"),
    ("/root/health", "https://gateway.example.com/health"),
    ("/prefix/chat/completions", "https://gateway.example.com/llm/chat/completions"),
    ("/prefix/v1/chat/completions", "https://gateway.example.com/llm/v1/chat/completions"),
    ("/prefix/llm/chat/completions", "https://gateway.example.com/llm/chat/completions"),
    ("/versioned/chat/completions", "https://gateway.example.com/llm/v3/chat/completions"),
    ("/beta/messages", "https://gateway.example.com/api/v2beta/messages"),
    ("/beta/v1/messages", "https://gateway.example.com/api/v1/messages"),
    ("/vllm/tokenize", "http://10.0.0.5:8000/tokenize"),
    ("/ollama/api/chat", "http://10.0.0.5:11434/api/chat"),
    ("/openai//v1///chat//completions", "https://api.openai.com/v1/chat/completions"),
    ("/openai/vector_stores", "https://api.openai.com/v1/vector_stores"),
    ("/openai/models/a%2Fb", "https://api.openai.com/v1/models/a%2Fb"),
    ("/openai/models/a..b", "https://api.openai.com/v1/models/a..b"),
    ("/openai", "https://api.openai.com/v1/"),
]


def asked(raw_path: str) -> str:
    name, _, rest = split_path(raw_path)
    provider = PROVIDERS[name]
    path = own_path(provider, rest)[0].partition("?")[0]
    known = find(provider.dialect, "POST", path) is not None
    port = "" if provider.port in {80, 443} else f":{provider.port}"
    return f"{provider.scheme}://{provider.host}{port}{upstream_path(provider, rest, known)}"


@pytest.mark.parametrize(("sent", "expected"), SDK_PATHS)
def test_every_path_that_real_sdks_send_reaches_its_operation(sent: str, expected: Any) -> None:
    assert expected == asked(sent)


@pytest.mark.parametrize("operation", ["/chat/completions", "/responses", "/embeddings"])
@pytest.mark.parametrize(("name", "url"), OPENAI_LIKE.items())
def test_openais_sdk_reaches_everybody_with_the_version_and_without(
    name: str, url: str, operation: str
) -> None:
    sent = {f"/{name}{base}{operation}" for base in ("", "/v1", "/" + url.split("/", 3)[3])}

    assert {url + operation} == {asked(each) for each in sent}


def test_every_vendor_that_speaks_as_openai_does_is_in_the_table() -> None:
    rows = {row.name for row in VENDORS.values() if row.url and row.dialect == "openai_chat"}

    assert {"perplexity", "zai"} == rows - OPENAI_LIKE.keys()  # they have no version 1


@pytest.mark.parametrize("row", [row for row in VENDORS.values() if not row.url], ids=lambda row: row.name)
def test_a_vendor_whose_address_is_the_customers_says_so_with_an_example(row: Vendor) -> None:
    with pytest.raises(config.ConfigError) as told:
        config.parse(f"providers: {{{row.name}: {{}}}}")

    assert f"providers.{row.name}.url: is missing; expected a url such as {row.example}" in str(told.value)
    read = config.parse(f'providers: {{{row.name}: {{url: "{row.example}"}}}}').providers[row.name]
    assert (row.dialect, row.auth) == (read.dialect, read.auth)


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
    assert f"{way}/".startswith(provider.base_path + "/")
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
