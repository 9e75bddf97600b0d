"""Prompts and answers on spans: two keys, redacted before they wait, bounded; in every dialect."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sidecar.events import Delivered, Event
from sidecar.settings import CONTENT_VARIABLE, Settings, Telemetry
from sidecar.telemetry import content, tracing
from sidecar.telemetry import span_rows as rows
from sidecar.telemetry.asked import Message, asked
from sidecar.telemetry.logs import Logs
from sidecar.telemetry.redaction import Redactor
from sidecar.telemetry.tracing import Tracing
from tests.kit import script as s
from tests.kit.answers import DIALECTS, Gemini, OpenAI, Responses
from tests.kit.answers import Anthropic as Claude
from tests.kit.answers import Dialect as Words
from tests.kit.script import Script
from tests.kit.vloop import LoopClock, run
from tests.telemetry.traced import ENDPOINT, Traced, Tree

KEYS = ENDPOINT | {CONTENT_VARIABLE: "true"}
CONTENTS = (rows.GEN_SYSTEM, rows.GEN_ASKED, rows.GEN_ANSWERED, rows.CONTENT)
CANARY = "canary7f3a9c"
SECRET = f"sk-proj-{CANARY}-0123456789"
PICTURE = base64.b64encode(b"\x89PNG" + CANARY.encode() * 40).decode()
IDS = [words.dialect for words in DIALECTS]


class Open(Traced):
    telemetry = Telemetry(capture_content=True, redact=(r"CUST-\d+",))
    env = KEYS


def played(
    plans: dict[str, list[s.Behaviour]],
    words: Words,
    body: bytes | None = None,
    *,
    kind: type[Traced] = Open,
    scenario: Callable[[Traced], Awaitable[Tree]] | None = None,
    **more: Any,
) -> Tree:
    async def main() -> Tree:
        play = kind(Script(plans), words)
        return await (scenario(play) if scenario else play.trace(body, **more))

    return run(main())


def shown(seen: Tree, attribute: str, number: int = 0) -> Any:
    return json.loads(str(seen.attempts[number].attributes[attribute]))


def text(message: Any) -> str:
    return "".join(part.get("content", "") for part in message["parts"] if part["type"] == "text")


# ---- the two keys -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "false", "NO_CONTENT", "EVENT_ONLY", "1"])
def test_the_configuration_alone_opens_nothing(value: str):
    class Half(Open):
        env = ENDPOINT | {CONTENT_VARIABLE: value}

    seen = played({"a": [s.answer(OpenAI.whole("well"))]}, OpenAI, kind=Half)

    assert not seen.attempts[0].attributes.keys() & set(CONTENTS)


def test_the_variable_alone_opens_nothing():
    class Half(Open):
        telemetry = Telemetry()

    seen = played({"a": [s.answer(OpenAI.whole("well"))]}, OpenAI, kind=Half)

    assert not seen.attempts[0].attributes.keys() & set(CONTENTS)


@pytest.mark.parametrize(
    ("configured", "variable", "said"),
    [
        (False, "", []),
        (True, "", [f"{CONTENT_VARIABLE} is not true"]),
        (False, "true", ["telemetry.capture_content is false"]),
        (True, "SPAN_ONLY", ["are put on spans"]),
    ],
)
def test_one_key_alone_is_said_once_and_so_is_that_it_is_open(
    configured: bool, variable: str, said: list[str]
):
    settings = Settings(telemetry=Telemetry(capture_content=configured))

    class Made:
        def close(self) -> None:
            return

    told: list[Event] = []
    env = ENDPOINT | {CONTENT_VARIABLE: variable}

    async def main() -> None:
        desk = Tracing(settings, env=env, clock=LoopClock(), tell=told.append, dropped=lambda *_: None)
        desk._courier = Made()  # type: ignore[assignment]
        desk.configure(settings)
        desk.configure(settings)

    run(main())
    details = [event.detail for event in told if isinstance(event, Delivered)]
    assert len(said) == len(told) == len(details)
    assert all(part in detail for part, detail in zip(said, details, strict=True))
    assert [configured and variable != ""] * len(told) == [e.ok for e in told if isinstance(e, Delivered)]


def test_an_unsampled_call_has_no_contents_however_interesting():
    plans = {"a": [s.error(OpenAI.BROKEN), s.answer(OpenAI.whole("well"))]}
    seen = played(plans, OpenAI, sampled=False)

    assert seen.call.attributes[rows.REASON]
    assert not any(span.attributes.keys() & set(CONTENTS) for span in seen.attempts)


def test_where_the_application_s_spans_count_there_are_none_here():
    class Bare(Open):
        telemetry = Telemetry(capture_content=True, genai_attributes="none")

    seen = played({"a": [s.answer(OpenAI.whole("well"))]}, OpenAI, kind=Bare)

    assert not seen.attempts[0].attributes.keys() & set(CONTENTS)


# ---- what is captured ----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("words", DIALECTS, ids=IDS)
def test_what_was_asked_and_answered_is_on_the_attempt(words: Words, *, stream: bool):
    answer = (
        s.stream(words.events(["all ", "is ", "well"])) if stream else s.answer(words.whole("all is well"))
    )
    seen = played({"a": [answer]}, words, words.request("how is Bonn?", stream=stream))
    (question,) = shown(seen, rows.GEN_ASKED)
    (said,) = shown(seen, rows.GEN_ANSWERED)

    assert {"role": "user", "parts": [{"type": "text", "content": "how is Bonn?"}]} == question
    assert ("assistant", "stop", "all is well") == (said["role"], said["finish_reason"], text(said))
    assert "captured" == seen.attempts[0].attributes[rows.CONTENT]
    assert not seen.call.attributes.keys() & set(CONTENTS)


@pytest.mark.parametrize("words", DIALECTS, ids=IDS)
def test_an_error_of_a_provider_is_no_content_and_a_rejected_answer_is(words: Words):
    plans = {
        "a": [s.error((500, words.error(CANARY))), s.answer(words.whole("")), s.answer(words.whole("ok"))]
    }
    seen = played({"a": plans["a"][:1], "b": plans["a"][1:]}, words)
    answers = [attempt.attributes.get(rows.GEN_ANSWERED) for attempt in seen.attempts]

    assert CANARY not in repr(seen)
    assert answers[-1] is not None
    assert all(attempt.attributes[rows.GEN_ASKED] for attempt in seen.attempts)


def test_a_rejected_answer_is_on_its_own_span():
    broken = s.answer(OpenAI.whole("{no json"))
    body = OpenAI.request(**OpenAI.structured({"type": "object"}))
    seen = played({"a": [broken], "b": [s.answer(OpenAI.whole("{}"))]}, OpenAI, body)

    texts = [text(shown(seen, rows.GEN_ANSWERED, number)[0]) for number in range(len(seen.attempts))]
    assert ["{no json", "{}"] == [texts[0], texts[-1]]


def test_a_stream_that_was_cut_shows_what_came():
    seen = played(
        {"a": [s.stream(OpenAI.events(["all ", "is "])[:3], end="cut")]},
        OpenAI,
        OpenAI.request(stream=True),
    )
    (said,) = shown(seen, rows.GEN_ANSWERED)

    assert ("all is ", "error") == (text(said), said["finish_reason"])


ARGUMENTS = {"api_key": CANARY, "city": "Bonn"}
CALLED = json.dumps(ARGUMENTS)
SOURCE = {"type": "base64", "media_type": "image/png", "data": PICTURE}
FULL: dict[str, Any] = {
    "openai_chat": {
        "messages": [
            {"role": "developer", "content": f"Be kind. {SECRET}"},
            {"role": "user", "content": [
                {"type": "text", "text": f"Weather? Bearer {CANARY}x1"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
                {"type": "image_url", "image_url": {"url": f"https://x.test/{CANARY}.png"}},
                {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
                {"type": "file", "file": {"file_data": PICTURE, "filename": CANARY}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "t1", "type": "function",
                 "function": {"name": "look", "arguments": CALLED}}]},
            {"role": "tool", "tool_call_id": "t1", "content": f"password: {CANARY}; sunny"},
        ],
        "metadata": {"a": CANARY}, "user": CANARY,
    },
    "openai_responses": {
        "instructions": f"Be kind. {SECRET}",
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": f"Weather? Bearer {CANARY}x1"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"},
                {"type": "input_file", "file_data": PICTURE, "filename": CANARY},
            ]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": f"hm {SECRET}"}]},
            {"type": "function_call", "call_id": "t1", "name": "look",
             "arguments": CALLED},
            {"type": "function_call_output", "call_id": "t1", "output": f"password: {CANARY}; sunny"},
        ],
        "metadata": {"a": CANARY}, "user": CANARY,
    },
    "anthropic": {
        "system": [{"type": "text", "text": f"Be kind. {SECRET}"}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": f"Weather? Bearer {CANARY}x1"},
                {"type": "image", "source": SOURCE},
                {"type": "document", "title": CANARY, "source": {"type": "url", "url": f"https://x/{CANARY}"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": f"hm {SECRET}", "signature": CANARY},
                {"type": "tool_use", "id": "t1", "name": "look", "input": ARGUMENTS}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [
                    {"type": "text", "text": f"password: {CANARY}; sunny"},
                    {"type": "image", "source": SOURCE}
                ]}]},
        ],
        "metadata": {"user_id": CANARY},
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": f"Be kind. {SECRET}"}]},
        "contents": [
            {"role": "user", "parts": [
                {"text": f"Weather? Bearer {CANARY}x1"},
                {"inlineData": {"mimeType": "image/png", "data": PICTURE}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": f"https://x/{CANARY}"}},
            ]},
            {"role": "model", "parts": [
                {"functionCall": {"name": "look", "args": {"api_key": CANARY, "city": "Bonn"}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "look", "response": {"password": CANARY, "sky": "sunny"}}}]},
        ],
        "labels": {"a": CANARY},
    },
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("words", DIALECTS, ids=IDS)
def test_no_secret_is_in_spans_metrics_or_logs_and_what_is_harmless_is_captured(
    words: Words, *, stream: bool
):
    """A secret in every field of a request, in its headers and query, and in the answer, cut into pieces."""
    more = {"model": "m", "max_tokens": 9, "stream": stream}
    body = json.dumps(FULL[words.dialect] | (more if words is not Gemini else {"streamed": stream})).encode()
    pieces = [
        "sunny, and ",
        f"sk-proj-{CANARY[:6]}",
        f"{CANARY[6:]}-0123456789",
        f" CUST-4711 a@{CANARY}.test",
    ]
    answer = s.stream(words.events(pieces)) if stream else s.answer(words.whole("".join(pieces)))
    lines: list[str] = []
    headers = (
        (b"authorization", b"Bearer plain" + CANARY.encode()),
        (b"x-more", CANARY.encode()),
        (b"tracestate", f"v={SECRET}".encode()),
    )

    async def scenario(play: Traced) -> Tree:
        seen = await play.trace(body, headers=headers, query=f"key={CANARY}")
        logs = Logs(lines.append, lambda: 0.0, level="debug")
        for event in play.told:
            logs.write(event)
        metrics = play.metrics.render("")[0].decode()
        for leaked in (CANARY, "sunny", "Bonn", "Be kind"):
            assert leaked not in metrics
            assert leaked not in "".join(lines)
        assert CANARY not in repr(play.tracing._queue)
        return seen

    seen = played({"a": [answer]}, words, scenario=scenario)

    (only,) = seen.attempts
    told = json.dumps(only.attributes)
    assert lines
    assert CANARY not in told
    assert PICTURE[:20] not in told
    assert "4711" not in told
    for harmless in ("Be kind.", "Weather?", "Bonn", "sunny", "look", "sunny, and "):
        assert harmless in told
    assert "captured" == only.attributes[rows.CONTENT]


@pytest.mark.parametrize("words", DIALECTS, ids=IDS)
def test_the_conversation_has_the_conventions_roles_and_parts(words: Words):
    system, messages = asked(words.dialect, FULL[words.dialect])
    kinds = [(one.role, [part["type"] for part in one.parts]) for one in messages]
    pictures = [part for one in messages for part in one.parts if part.get("mime_type") == "image/png"]

    assert "assistant" == kinds[-2][0]
    assert "tool_call" in kinds[-2][1]
    assert "tool_call_response" in kinds[-1][1]
    assert {"user", "assistant", "tool", "system"} >= {role for role, _ in kinds}
    if words is not OpenAI:  # whose system messages are part of the conversation
        assert ["text"] == [part["type"] for part in system]
    if words in (Claude, Gemini):
        assert pictures
    assert all(part["bytes"] == pytest.approx(484, abs=3) for part in pictures)


# ---- what goes wrong -----------------------------------------------------------------------------


def test_a_redaction_that_fails_keeps_nothing(monkeypatch: pytest.MonkeyPatch):
    def fail(self: Redactor, text: str, exact: object = ()) -> str:
        raise RecursionError

    monkeypatch.setattr(Redactor, "__call__", fail)
    seen = played({"a": [s.answer(OpenAI.whole("well"))]}, OpenAI)
    attributes = seen.attempts[0].attributes

    assert "withheld" == attributes[rows.CONTENT]
    assert not attributes.keys() & {rows.GEN_SYSTEM, rows.GEN_ASKED, rows.GEN_ANSWERED}
    assert "success" == attributes[rows.WENT]


@pytest.mark.parametrize("broken", ["_asked", "_answered"])
def test_one_half_that_fails_withholds_the_other(broken: str, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(content.Content, broken, fail)
    seen = played({"a": [s.answer(OpenAI.whole("well"))]}, OpenAI)

    assert {rows.CONTENT} == seen.attempts[0].attributes.keys() & set(CONTENTS)


@pytest.mark.parametrize("messages", [7, [7], [[7]], [{"content": 7}], [{"tool_calls": [None]}], None])
def test_a_request_of_another_shape_costs_its_contents_at_most(messages: Any):
    seen = played({"a": [s.answer(OpenAI.whole("well"))]}, OpenAI, OpenAI.request(messages=messages))

    assert "success" == seen.attempts[0].attributes[rows.WENT]
    assert seen.attempts[0].attributes[rows.CONTENT] in ("captured", "withheld")


# ---- bounds ----------------------------------------------------------------------------------------


def test_a_long_message_and_a_long_conversation_are_cut():
    turns = [{"role": "user", "content": f"{n} " + "word " * 3000} for n in range(40)]
    seen = played({"a": [s.answer(OpenAI.whole("well " * 9000))]}, OpenAI, OpenAI.request(messages=turns))
    attributes = seen.attempts[0].attributes
    messages = shown(seen, rows.GEN_ASKED)

    assert "cut" == attributes[rows.CONTENT]
    assert text(messages[-1]).startswith("39 ")  # the end of it
    assert max(len(text(message)) for message in messages) <= content.MESSAGE
    assert len(str(attributes[rows.GEN_ASKED])) <= content.ASKED + 2
    assert len(str(attributes[rows.GEN_ANSWERED])) <= content.ANSWERED + 2


def test_a_secret_that_the_bound_cuts_in_two_is_not_half_there():
    for before in range(content.MESSAGE + content.AHEAD * 2 - 40, content.MESSAGE + content.AHEAD * 2 + 3, 3):
        for filler in ("x ", "a@bc.example "):  # which shrinks or not when it is redacted
            words = (filler * before)[:before]
            seen = content._Writer(Redactor(), ()).message(
                Message("user", [{"type": "text", "content": f"{words} {SECRET} end"}])
            )
            assert "sk-proj" not in text(seen)


def test_a_request_that_is_too_large_to_read_is_withheld():
    body = OpenAI.request("x" * content.READ)
    seen = played({"a": [s.answer(OpenAI.whole("well"))]}, OpenAI, body)

    assert "withheld" == seen.attempts[0].attributes[rows.CONTENT]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tracing, "CONTENTS", 1000)

    async def scenario(play: Traced) -> Tree:
        for _ in range(10):
            seen = await play.trace(OpenAI.request("x " * 200))
        assert play.tracing._waiting < 2500
        return seen

    seen = played({"a": [s.answer(OpenAI.whole("well"))]}, OpenAI, scenario=scenario)

    assert "withheld" == seen.attempts[0].attributes[rows.CONTENT]


def test_an_answer_s_copy_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sidecar.layers.attempt.COPIED", 400)
    body = Responses.request("hi", stream=True)
    seen = played({"a": [s.stream(Responses.events(["word "] * 50))]}, Responses, body)

    assert "cut" == seen.attempts[0].attributes[rows.CONTENT]
