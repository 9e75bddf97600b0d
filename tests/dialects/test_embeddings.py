from __future__ import annotations

import json

import openai
import pytest

from sidecar.dialects import DIALECTS, FAMILIES, find
from sidecar.dialects.base import BadBody
from sidecar.model import (
    Answering,
    Ask,
    Delta,
    Fault,
    Finish,
    FinishReason,
    Malformed,
    Media,
    Operation,
    Trouble,
    Usage,
)
from tests.dialects.samples import EMBEDDINGS, ask, body_reader_of, run, whole
from tests.dialects.test_sdks import of, openai_over

PATH = "/v1/embeddings"
DEPLOYED = "/openai/deployments/tern%202/embeddings"


# ---- paths --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/embeddings", PATH, "/api/v1/embeddings", DEPLOYED])
def test_every_path_of_embeddings_is_known_with_and_without_version(path: str) -> None:
    assert Operation.EMBEDDINGS is EMBEDDINGS.operation("POST", path)
    assert "/embeddings" == EMBEDDINGS.canonical(Operation.EMBEDDINGS, path)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", PATH), ("POST", f"{PATH}/x"), ("POST", "/v1/multimodalembeddings")]
)
def test_everything_else_is_passed_through(method: str, path: str) -> None:
    assert EMBEDDINGS.operation(method, path) is None


@pytest.mark.parametrize(
    ("dialect", "method", "path", "expected"),
    [
        ("openai_chat", "POST", "/v1/chat/completions", ("openai_chat", Operation.CHAT)),
        ("openai_chat", "POST", "/v1/responses", ("openai_responses", Operation.CHAT)),
        ("openai_chat", "POST", "/v1/embeddings", ("embeddings", Operation.EMBEDDINGS)),
        ("openai_chat", "POST", "/v1/messages", None),
        ("openai_chat", "GET", "/v1/models", None),
        ("openai_responses", "POST", "/v1/responses", ("openai_responses", Operation.CHAT)),
        ("openai_responses", "POST", "/v1/embeddings", None),
        ("embeddings", "POST", "/v1/embeddings", ("embeddings", Operation.EMBEDDINGS)),
        ("anthropic", "POST", "/v1/messages", ("anthropic", Operation.CHAT)),
        ("anthropic", "POST", "/v1/chat/completions", None),
        ("", "POST", "/v1/chat/completions", None),
    ],
)
def test_a_provider_speaks_its_familys_dialects_by_path(
    dialect: str, method: str, path: str, expected: tuple[str, Operation] | None
) -> None:
    found = find(dialect, method, path)

    assert expected == (found and (found[0].name, found[1]))


def test_every_member_of_a_family_is_a_dialect_and_its_head_is_the_first() -> None:
    for head, members in FAMILIES.items():
        assert head == members[0]
        assert set(members) <= DIALECTS.keys()


# ---- what is asked ------------------------------------------------------------------------


def test_only_the_model_is_read() -> None:
    body = b'{"input":["a","b"],"model":"m","stream":true,"encoding_format":"base64"}'

    assert Ask(operation=Operation.EMBEDDINGS, model="m") == EMBEDDINGS.ask(Operation.EMBEDDINGS, PATH, body)


def test_a_deployment_in_the_path_is_the_model() -> None:
    assert "tern 2" == EMBEDDINGS.ask(Operation.EMBEDDINGS, DEPLOYED, b'{"input":"a"}').model
    changed = EMBEDDINGS.with_model(DEPLOYED, b'{"input":"a"}', "a/b")
    assert ("/openai/deployments/a%2Fb/embeddings", b'{"input":"a"}') == changed


@pytest.mark.parametrize("body", [b"", b"[]", b'{"input":"a"}', b'{"model":7}'])
def test_a_body_without_a_model_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        EMBEDDINGS.ask(Operation.EMBEDDINGS, PATH, body)


def test_another_model_changes_only_the_models_bytes() -> None:
    changed = EMBEDDINGS.with_model(PATH, b'{"input": "a" ,"model":"m" }', "n")

    assert (PATH, b'{"input": "a" ,"model":"n" }') == changed


# ---- what is answered ---------------------------------------------------------------------

ROW = '{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}'


@pytest.mark.parametrize(
    ("body", "expected", "done"),
    [
        (
            f'{{"object":"list","data":[{ROW},{ROW}],"model":"e","usage":{{"prompt_tokens":3,"total_tokens":3}}}}',
            [Answering("e"), Usage(3), Media("embedding"), Finish(FinishReason.STOP)],
            True,
        ),
        ('{"data":[{"embedding":"AAAA"}]}', [Media("embedding"), Finish(FinishReason.STOP)], True),
        ('{"data":["\\ud83d"]}', [Media("embedding"), Finish(FinishReason.STOP)], True),
        ('{"data":[],"usage":{"total_tokens":12}}', [Usage(12), Finish(FinishReason.STOP)], True),
        ('{"data":[],"usage":{"prompt_tokens":-1}}', [Finish(FinishReason.STOP)], True),
        ('{"data":"soon"}', [], False),
        ("{}", [], False),
        ("", [Malformed("body")], False),
        ('{"data":[{"embedding":[0.1,', [Malformed("body")], False),
    ],
)
def test_whether_a_body_is_a_whole_answer(body: str, expected: list[Delta], done: bool) -> None:
    reader = body_reader_of("embeddings")

    assert (body.encode(), expected) == run(reader, [body.encode()])
    assert (done, done) == (reader.done, reader.finished)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error":{"code":"rate_limit_exceeded"}}', 429),
        (b'{"object":"error","message":"x","type":"BadRequestError","code":400}', 400),
        (b'{"error":"out of order"}', 0),
    ],
)
def test_an_error_inside_a_200_names_its_status(body: bytes, status: int) -> None:
    assert [Trouble(status, body)] == whole("embeddings", body)


def test_they_are_never_a_stream_whatever_the_head_says() -> None:
    body = f'{{"data":[{ROW}]}}'.encode()

    reader = EMBEDDINGS.reader(ask(stream=False), b"text/event-stream")

    assert (body, [Media("embedding"), Finish(FinishReason.STOP)]) == run(reader, [body[:9], body[9:]])


# ---- what we say --------------------------------------------------------------------------


def test_no_text_can_stand_in_for_vectors() -> None:
    assert EMBEDDINGS.static(ask(stream=False), "Back soon.") is None
    assert EMBEDDINGS.error_event(Fault.STREAM_CUT, "it ended early") is None


def test_the_sdk_raises_the_right_class_for_a_complaint() -> None:
    wire = EMBEDDINGS.complain(429, Fault.RATE_LIMIT_RPM, "later")

    with of(wire) as http, pytest.raises(openai.RateLimitError, match="later") as raised:
        openai_over(http).embeddings.create(model="m", input="a")

    assert "rate_limit_exceeded" == raised.value.code
    assert "rate_limit_error" == json.loads(wire.body)["error"]["type"]
