# ruff: noqa: E501  # what is printed is shown as it is
"""`explain` says which route a request gets and why, and shows neither prompts nor keys."""

import json
from typing import Any

import pytest

from sidecar import config
from sidecar.explain import BadRequest, explain_text, read_request
from sidecar.outline import outline
from sidecar.routing import UnknownProvider, UnknownRoute
from sidecar.stack import describe
from tests.kit.script import Play, Script

FILE = """
providers:
  openai-eu: {vendor: openai, url: "https://eu.example.com:8443/v1", key: {file: /nonexistent/key}}
routes:
  - {name: claude, match: {provider: anthropic}}
  - {name: large, match: {provider: openai, model: "gpt-5*"}}
  - {name: nightly, match: {provider: openai, header: nightly}}
  - {name: quick, match: {provider: xai, header: quick}, deadline: 7s}
  - name: assistant
    match: {provider: openai, stream: true}
    chain:
      - openai
      - openai-eu
      - {provider: groq, model: llama, key: {env: EXPLAIN_KEY}}
      - mistral
    chains: {context_window: [{provider: openai, model: gpt-4.1}]}
    breaker: {open: 15s, growth: 1}
    limits: {gap: 90}
    static: {text: sorry}
"""

BODY = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "PROMPT-CANARY"}]}
HTTP = (
    b"POST /openai/v1/chat/completions?x=KEY-CANARY HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n"
    b"Authorization: Bearer sk-KEY-CANARY\r\n\r\n" + json.dumps(BODY).encode()
)


def test_the_explanation_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLAIN_KEY", "sk-KEY-CANARY")

    text = explain_text(config.parse(FILE), HTTP)

    assert """\
POST /v1/chat/completions for openai
  dialect: openai_chat, operation chat
  asks for: model gpt-4o-mini, stream
route: assistant
  why: the first that matches: provider openai, stream true
  not claude: wants provider anthropic, this is openai
  not large: wants model gpt-5*, this is gpt-4o-mini
  not nightly: wants header nightly, this is none
  not quick: wants provider xai, this is openai
chain:
  1. openai: the model that was asked for, the application's own key, https://api.openai.com/v1/chat/completions
  2. openai-eu: the model that was asked for, key file:/nonexistent/key (NOT READABLE: skipped as no_credential), \
https://eu.example.com:8443/v1/chat/completions
  3. groq/llama: model llama, key env:EXPLAIN_KEY, https://api.groq.com/openai/v1/chat/completions
  4. mistral: the model that was asked for, NO KEY: skipped as no_credential, https://api.mistral.ai/v1/chat/completions
  after context_window: openai/gpt-4.1
prices, dollars for a million tokens:
  openai, gpt-4o-mini: 0.15 in, 0.6 out, 0.075 read from a cache
  openai-eu, gpt-4o-mini: no price is known; give it one under `models`
  groq/llama, llama: no price is known; give it one under `models`
  mistral, gpt-4o-mini: no price is known; give it one under `models`
  openai/gpt-4.1, gpt-4.1: 2 in, 8 out, 0.5 read from a cache
gate, as it is after a start:
  openai: gets the client's own bytes; window 128000; answers up to 16384
  openai-eu: asked; the catalogue does not know its model
  groq/llama: asked; the catalogue does not know its model
  mistral: asked; the catalogue does not know its model
  openai/gpt-4.1: asked; window 1047576; answers up to 32768
class: interactive
deadline: 30s (class interactive)
differs from the defaults:
  limits.gap: 90s (default 1m)
  breaker.open: 15s (default 1m)
  breaker.growth: 1 (default 2)
stack, outermost first:
  Degrade: the route's static answer
""" == text[: text.index("  Admit: ")]


@pytest.mark.parametrize("cache", ["", ", cache: {scope: shared}"])
@pytest.mark.parametrize("streamed", [False, True])
def test_the_stack_it_prints_is_the_stack_that_is_built(streamed: bool, cache: str) -> None:
    settings = config.parse(
        FILE.replace("deadline: 7s", f"deadline: 7s, upstream_stream: {str(streamed).lower()}{cache}")
    )
    route = next(route for route in settings.routes if route.name == "quick")

    *layers, wire = describe(Play(Script({"a": []}), route=route).stack)

    assert "Script" == wire
    assert [layer for layer, _ in outline(settings, route)] == [*layers, "Upstream"]


def request(path: str, body: Any = None, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return json.dumps({"path": path, "headers": named, "body": BODY if body is None else body}).encode()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (request("/openai@large/v1/chat/completions"), "route: large\n  why: the request names it\n"),
        (
            request("/openai/chat/completions", x_llm_sidecar_route="large"),
            "route: large\n  why: the request names it\n",
        ),
        (request("/openai/chat/completions", x_llm_sidecar_route="nightly"), "route: nightly\n"),
        (request("/groq/v1/chat/completions"), "route: groq\n  why: no route takes it: the provider's own"),
        (request("/groq/openai/v1/chat/completions"), "POST /v1/chat/completions for groq\n"),
        (
            request("/openai/v1/files"),
            "passed through to https://api.openai.com/v1/files: no operation of openai_chat that we read; no route",
        ),
        (
            request("/cohere/v2/chat"),
            "cohere speaks no dialect that we read; no route, no policy, only metrics",
        ),
        (
            request("/openai/v1/chat/completions", "{"),
            "the body cannot be read, so it is passed through: ",
        ),
        (
            request("/openai/v1/chat/completions", x_llm_sidecar_class="background"),
            "deadline: 5m (class background)\n",
        ),
        (
            request("/groq/v1/chat/completions"),
            "deadline: 0.9 of the SDK's own timeout, else 5m\nlimits, retry, breaker, signals: all defaults",
        ),
        (
            request("/anthropic/v1/messages", "{"),
            "the body cannot be read, so it gets an error of ours: ",
        ),
        (request("/xai/v1/chat/completions", x_llm_sidecar_route="quick"), "deadline: 7s (the route's)"),
        (
            request(
                "/xai/v1/chat/completions", x_llm_sidecar_route="quick", x_llm_sidecar_class="background"
            ),
            "deadline: 5m (class background)",
        ),
        (request("/anthropic/v1/messages"), "asks for: model gpt-4o-mini, stream\nroute: claude\n"),
    ],
)
def test_what_is_said_of_other_requests(sent: bytes, expected: str) -> None:
    assert expected in explain_text(config.parse(FILE), sent)


def test_a_request_as_an_editor_saves_it_is_read() -> None:
    sample = read_request(HTTP.replace(b"\r\n", b"\n"))

    assert ("POST", "/openai/v1/chat/completions?x=KEY-CANARY") == (sample.method, sample.path)
    assert "Bearer sk-KEY-CANARY" == sample.headers["authorization"]
    assert BODY == json.loads(sample.body)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a first line such as: POST /openai/v1/chat/completions HTTP/1.1"),
        (b"hello", "expected a first line such as: POST /openai/v1/chat/completions HTTP/1.1"),
        (
            b"POST http://evil/ HTTP/1.1\n\n",
            "expected a first line such as: POST /openai/v1/chat/completions HTTP/1.1",
        ),
        (b"POST /openai/x HTTP/1.1\nHost\n\n", "a header line has no colon"),
        (b"{", "the file begins with { and is not JSON"),
        (b"{}", 'expected {"method", "path", "headers", "body"}; "path" is needed'),
        (b'{"path": "/x", "extra": 1}', 'expected {"method", "path", "headers", "body"}; "path" is needed'),
        (b'{"path": "/x", "headers": []}', '"method" is a text, "headers" an object'),
        (b'{"path": "/openai/../x"}', "the path walks upwards"),
    ],
)
def test_a_file_that_holds_no_request_is_told(data: bytes, message: str) -> None:
    if data == b'{"path": "/x", "headers": []}':
        data = data.replace(b"[]", b"[1]")

    with pytest.raises(BadRequest) as told:
        explain_text(config.parse(""), data)

    assert message == str(told.value)


def test_unknown_providers_and_routes_are_told() -> None:
    with pytest.raises(UnknownProvider):
        explain_text(config.parse(""), request("/opnai/v1/models"))
    with pytest.raises(BadRequest, match="configuration does not let requests choose"):
        explain_text(config.parse("request_headers: {route: false}"), request("/openai@openai/v1/models"))
    with pytest.raises(UnknownRoute):
        explain_text(config.parse(FILE), request("/openai@larg/v1/chat/completions"))


def test_neither_prompts_nor_keys_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLAIN_KEY", "sk-KEY-CANARY")
    bodies = [BODY, {**BODY, "model": "sk-KEY-CANARY-1234"}, {**BODY, "model": "a\x1b[2J"}, "PROMPT-CANARY"]

    texts = [
        explain_text(config.parse(FILE), request("/openai/v1/chat/completions", body)) for body in bodies
    ]

    assert not [
        text
        for text in [*texts, explain_text(config.parse(FILE), HTTP)]
        if "CANARY" in text or "\x1b" in text
    ]


def test_streaming_upstream_is_shown():
    text = explain_text(
        config.parse("routes: [{name: quiet, match: {provider: openai}, upstream_stream: true}]"),
        request("/openai/v1/chat/completions"),
    )

    assert "  AskStream: a whole call is asked for as a stream" in text.splitlines()


# ---- intercepted ---------------------------------------------------------------------------------

CAPTURED = """
capture: {mode: proxy, trust_dir: /tmp}
providers: {openai: {url: "https://gateway.example.com/llm/v1"}}
routes: [{name: mine, match: {provider: openai}, chain: [openai, groq]}]
"""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://api.openai.com/v1/chat/completions", "https://gateway.example.com/llm/v1/chat/completions"),
        (
            "https://gateway.example.com/llm/v1/chat/completions",
            "https://gateway.example.com/llm/v1/chat/completions",
        ),
        (
            "https://api.groq.com/openai/v1/chat/completions",
            "https://api.groq.com/openai/v1/chat/completions",
        ),
        ("https://api.openai.com:8443/v1/x", "a connection to api.openai.com:8443: tunnelled unseen"),
        ("https://example.org/v1/x", "a connection to example.org:443: tunnelled unseen"),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_an_intercepted_request_is_explained_by_its_url(url: str, said: str, raw: bool):
    body = json.dumps({"model": "m", "messages": []})
    request = f"POST {url} HTTP/1.1\r\n\r\n{body}" if raw else json.dumps({"path": url, "body": body})

    text = explain_text(config.parse(CAPTURED), request.encode())

    assert said in text
    assert ("route: mine" in text) is ("gateway" in said)


def test_an_url_is_no_request_where_nothing_is_intercepted():
    with pytest.raises(BadRequest, match=r"capture\.mode is off"):
        explain_text(config.parse("drain: 5s"), b'{"path": "https://api.openai.com/v1/models"}')


GROUPS = """
routes:
  - name: chat
    match: {provider: openai}
    order: %s
    hedge: {after: p90}
    chain:
      - {provider: openai, model: gpt-4o, name: dear}
      - group:
          - {provider: openai, model: gpt-4o-mini, weight: 95}
          - {provider: openai, model: gpt-4.1-nano, weight: 5}
    chains: {context_window: [{group: [{provider: openai, model: gpt-4.1}, openai]}]}
"""


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("listed", "chain:\n  1. dear"),
        ("cost", "chain, the cheapest first for a request of this size:\n  1. a group"),
    ],
)
def test_groups_are_shown_with_their_shares_in_the_order_of_this_request(order: str, said: str) -> None:
    text = explain_text(config.parse(GROUPS % order), HTTP)

    assert said in text
    assert "a group: one by lot, the others if it fails\n     95 % openai/gpt-4o-mini: " in text
    assert "\n     5 % openai/gpt-4.1-nano: " in text
    assert "after context_window: (50 % openai/gpt-4.1, 50 % openai)\n" in text
    assert "Fallback: 3 in the chain, 2 steps, raced by the next after p90, " in text
    assert "hedge.after: p90 (default off)" in text


GATED = """
providers: {openai: {region: eu}, mistral: {region: eu}, anthropic: {region: eu}}
models:
  - {provider: openai, model: gpt-4o-mini, window: 128000, output_limit: 16384, retires: "2030-01-31"}
  - {provider: mistral, model: small, window: 32000, cannot: [tools]}
  - {provider: anthropic, model: claude, window: 200000, cannot: [sampling]}
routes:
  - name: tools
    match: {provider: openai}
    chain:
      - openai
      - {provider: mistral, model: small, key: {env: A}}
      - {provider: anthropic, model: claude, key: {env: B}, system: {append: Short.}, parameters: {top_p: 0.5}}
      - {provider: openai, model: o-next, name: strange, parameters: {seed: 1}}
    allow: {regions: [eu]}
    strict_capabilities: STRICT
    on_loss: LOSS
"""


@pytest.mark.parametrize(
    ("strict", "loss", "said"),
    [
        ("false", "allow", "openai: gets the client's own bytes; window 128000; answers up to 16384"),
        ("false", "allow", "retires 2030-01-31"),
        ("false", "allow", "mistral/small: skipped, tools: tools; window 32000; not tools"),
        ("false", "allow", "anthropic/claude: asked, with losses: temperature dropped"),
        ("false", "allow", "told differently: system prompt appended, top_p; window 200000"),
        ("false", "skip_target", "anthropic/claude: skipped, losses: temperature dropped"),
        ("false", "fail", "anthropic/claude: ends the call (on_loss: fail): temperature dropped"),
        (
            "true",
            "allow",
            "strange: skipped, unknown_model; told differently: seed; the catalogue does not know",
        ),
        ("false", "allow", "Confine: nothing leaves for anybody but region eu"),
    ],
)
def test_what_the_gate_would_make_of_a_request_is_told_target_by_target(
    strict: str, loss: str, said: str
) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    body = {
        "model": "gpt-4o-mini",
        "temperature": 1,
        "tools": [tool],
        "messages": [{"role": "user", "content": "x"}],
    }
    request = json.dumps({"path": "/openai/v1/chat/completions", "body": body}).encode()
    settings = config.parse(GATED.replace("STRICT", strict).replace("LOSS", loss))

    assert said in explain_text(settings, request)
