"""What we write ourselves, read by Google's real SDK over a transport in memory."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from sidecar.dialects.base import Wire
from sidecar.model import Fault
from tests.dialects.samples import GEMINI, GEMINI_TEXT, GEMINI_TOOLS, ask, data


def over(status: int, content_type: str, body: bytes) -> Any:
    """The models of a client that gets this answer."""

    def handler(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    options = types.HttpOptions(base_url="http://127.0.0.1", httpx_client=http)
    return genai.Client(api_key="k", http_options=options).models


def of(wire: Wire | None) -> Any:
    assert wire is not None
    return over(wire.head.status, (wire.head.get(b"content-type") or b"").decode(), wire.body)


CALL = {"model": "gemini-x", "contents": "hi"}


def test_google_reads_a_static_answer() -> None:
    answer = of(GEMINI.static(ask("gemini-x", stream=False), "Back soon.")).generate_content(**CALL)

    assert ("Back soon.", "gemini-x") == (answer.text, answer.model_version)
    assert types.FinishReason.STOP is answer.candidates[0].finish_reason


def test_google_reads_a_static_stream() -> None:
    chunks = list(of(GEMINI.static(ask("gemini-x"), "Back soon.")).generate_content_stream(**CALL))

    assert ["Back soon."] == [chunk.text for chunk in chunks]
    assert types.FinishReason.STOP is chunks[-1].candidates[0].finish_reason


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (400, errors.ClientError, "INVALID_ARGUMENT"),
        (401, errors.ClientError, "UNAUTHENTICATED"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (502, errors.ServerError, "INTERNAL"),
        (503, errors.ServerError, "UNAVAILABLE"),
        (504, errors.ServerError, "DEADLINE_EXCEEDED"),
    ],
)
def test_google_raises_the_right_class_for_a_complaint(
    status: int, kind: type[errors.APIError], word: str
) -> None:
    with pytest.raises(kind, match="nobody is left") as raised:
        of(GEMINI.complain(status, Fault.OVERLOADED, "nobody is left")).generate_content(**CALL)

    assert (status, word) == (raised.value.code, raised.value.status)
    assert "overloaded" == raised.value.details["error"]["details"][0]["reason"]


def test_google_raises_at_an_error_event() -> None:
    event = GEMINI.error_event(Fault.STREAM_CUT, "it ended early")
    assert event is not None
    stream = over(200, "text/event-stream", GEMINI_TOOLS + event).generate_content_stream(**CALL)

    next(stream)
    next(stream)
    with pytest.raises(errors.APIError, match="it ended early") as raised:
        next(stream)

    assert 502 == raised.value.code


@pytest.mark.parametrize("foreign", [b": comment\n\n", b"event: error\n" + data("{}"), b"data:{}\n\n"])
def test_google_dies_on_what_is_not_its_own_kind_of_event(foreign: bytes) -> None:
    """Why nothing of the kind may be written into a stream of this dialect."""
    stream = over(200, "text/event-stream", GEMINI_TEXT + foreign).generate_content_stream(**CALL)

    with pytest.raises(errors.UnknownApiResponseError):
        list(stream)
