"""What we write ourselves, read by the real SDKs over a transport in memory."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import openai
import pytest

from sidecar.dialects.base import Dialect, Wire
from sidecar.model import Fault
from tests.dialects.samples import ANTHROPIC, ANTHROPIC_TEXT, OPENAI, OPENAI_TEXT, ask, static


def transport(status: int, headers: dict[str, str], body: bytes) -> httpx2.Client:
    def handler(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, content=body)

    return httpx2.Client(transport=httpx2.MockTransport(handler))


def of(wire: Wire) -> httpx2.Client:
    headers = {key.decode(): value.decode() for key, value in wire.head.headers}
    return transport(wire.head.status, headers, wire.body)


def openai_over(http: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url="http://127.0.0.1/v1", http_client=http, max_retries=0)


def anthropic_over(http: httpx2.Client) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="k", base_url="http://127.0.0.1", http_client=http, max_retries=0)


def event_of(dialect: Dialect, fault: Fault) -> bytes:
    event = dialect.error_event(fault, "it ended early")
    assert event is not None
    return event


def label(answer: Any) -> Any:
    return answer.model_extra["llm_sidecar"]


OPENAI_CALL: dict[str, Any] = {"model": "quill-2", "messages": [{"role": "user", "content": "hi"}]}
ANTHROPIC_CALL: dict[str, Any] = {**OPENAI_CALL, "model": "sonnet-x", "max_tokens": 9}


def test_openai_reads_a_static_answer() -> None:
    with of(static(OPENAI, ask("quill-2", stream=False), "Back soon.")) as http:
        completion = openai_over(http).chat.completions.create(**OPENAI_CALL)

    assert "Back soon." == completion.choices[0].message.content
    assert "stop" == completion.choices[0].finish_reason
    assert "quill-2" == completion.model
    assert {"degraded": True, "tier": "static"} == label(completion)


def test_openai_reads_a_static_stream() -> None:
    with of(static(OPENAI, ask("quill-2"), "Back soon.")) as http:
        chunks = list(openai_over(http).chat.completions.create(**OPENAI_CALL, stream=True))

    assert "Back soon." == "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "stop" == chunks[-1].choices[0].finish_reason
    assert {"degraded": True, "tier": "static"} == label(chunks[0])


def test_openai_assembles_a_static_stream() -> None:
    with (
        of(static(OPENAI, ask("quill-2"), "Back soon.")) as http,
        openai_over(http).chat.completions.stream(**OPENAI_CALL) as stream,
    ):
        assert "Back soon." == stream.get_final_completion().choices[0].message.content


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (429, openai.RateLimitError),
        (502, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_openai_raises_the_right_class_for_a_complaint(
    status: int, kind: type[openai.APIStatusError]
) -> None:
    with (
        of(OPENAI.complain(status, Fault.OVERLOADED, "nobody is left")) as http,
        pytest.raises(kind) as raised,
    ):
        openai_over(http).chat.completions.create(**OPENAI_CALL)

    assert "overloaded" == raised.value.code
    assert "nobody is left" in str(raised.value)


def test_openai_raises_at_an_error_event() -> None:
    body = OPENAI_TEXT[: OPENAI_TEXT.index(b"data: [DONE]")] + event_of(OPENAI, Fault.STREAM_CUT)
    with transport(200, {"content-type": "text/event-stream"}, body) as http:
        stream = openai_over(http).chat.completions.create(**OPENAI_CALL, stream=True)
        with pytest.raises(openai.APIError, match="it ended early") as raised:
            list(stream)

    assert "stream_cut" == raised.value.code


def test_anthropic_reads_a_static_answer() -> None:
    with of(static(ANTHROPIC, ask("sonnet-x", stream=False), "Back soon.")) as http:
        message = anthropic_over(http).messages.create(**ANTHROPIC_CALL)

    assert ["Back soon."] == [block.text for block in message.content if block.type == "text"]
    assert "end_turn" == message.stop_reason
    assert {"degraded": True, "tier": "static"} == label(message)


def test_anthropic_assembles_a_static_stream() -> None:
    with (
        of(static(ANTHROPIC, ask("sonnet-x"), "Back soon.")) as http,
        anthropic_over(http).messages.stream(**ANTHROPIC_CALL) as stream,
    ):
        message = stream.get_final_message()

    assert ["Back soon."] == [block.text for block in message.content if block.type == "text"]
    assert "end_turn" == message.stop_reason
    assert {"degraded": True, "tier": "static"} == label(message)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (502, anthropic.InternalServerError),
    ],
)
def test_anthropic_raises_the_right_class_for_a_complaint(
    status: int, kind: type[anthropic.APIStatusError]
) -> None:
    with (
        of(ANTHROPIC.complain(status, Fault.UNKNOWN, "nobody is left")) as http,
        pytest.raises(kind) as raised,
    ):
        anthropic_over(http).messages.create(**ANTHROPIC_CALL)

    assert status == raised.value.status_code
    assert "nobody is left" in str(raised.value)


def test_anthropic_raises_at_an_error_event() -> None:
    body = ANTHROPIC_TEXT[: ANTHROPIC_TEXT.index(b"event: message_delta")]
    body += event_of(ANTHROPIC, Fault.STREAM_STALL)
    with transport(200, {"content-type": "text/event-stream"}, body) as http:
        stream = anthropic_over(http).messages.create(**ANTHROPIC_CALL, stream=True)
        with pytest.raises(anthropic.APIStatusError, match="it ended early"):
            list(stream)
