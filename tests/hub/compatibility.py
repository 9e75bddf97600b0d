"""docs/translation.md: what of a call arrives in another dialect, made by crossing.

python -m tests.hub.compatibility > docs/translation.md

Every cell of the page is a case that ran: a request that has one feature is read, written and read
again; an answer that has one is said, read, said to the client and read by him. A cell that says
"exact" lost nothing and heard the same on both sides. What changed without being told is no cell: it is
an error here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from sidecar.dialects import DIALECTS as DIALECT
from sidecar.faults import HANDLING
from sidecar.hub import TONGUES
from sidecar.hub.audit import silent
from sidecar.hub.conversation import Unrepresentable
from sidecar.model import (
    Answering,
    Delta,
    Fault,
    Finish,
    FinishReason,
    Media,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from tests.hub.answers import gist, read_stream, say
from tests.hub.cases import DIALECTS, MODELS
from tests.hub.feature_rows import SECTIONS, path_of
from tests.hub.features import Feature

NAMES = {
    "openai_chat": "OpenAI chat",
    "openai_responses": "OpenAI responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
}
NONE = "-"

HEAD = """\
# What arrives in another dialect

<!-- Made by python -m tests.hub.compatibility from tests/hub/feature_rows.py; a test compares. -->

A chain may go to a target that speaks another dialect than the client ([fallback](policies/fallback.md)).
This page says what becomes of a call then, feature by feature, for each client and each target.
Every cell is a case that runs with the tests: it is made of what the case does, not of what somebody meant.

- **exact**: the target is asked for the same, or the client is told the same.
- **lossy**: it goes on without, or with something like it; `x-llm-sidecar-losses` names the field.
  `dropped`: not sent; `clamped`: as far as the target goes; `hoisted`, `merged`: in another place.
  `emulated`: asked for by other means; `cost`: only the bill changes.
- **refused**: the target is passed over; the field is the one that stands in the way.
- `-`: the client's dialect has no word for it.

Where a row does not say otherwise, nothing is known of the target's model.
Gemini is `gemini-2.5-flash`: from 3 on a schema goes along with tools, and efforts are words.
Within one dialect nothing is translated, and nothing is lost.
`llm-sidecar translate` shows it for a call of yours, and with `--model` for a model of the catalogue.
"""

ANSWERS_HEAD = """\

# What comes back

The target's answer as the client hears it, streamed or whole, which is the same in all cells.
A stream is translated event by event: an event that the client's dialect can say goes out when it comes.
"""

ERRORS_HEAD = """\

## Errors

Whatever dialect a provider complains in, the client gets its own dialect's complaint of the same class.
Its SDK raises what the application catches.
"""


# ---- requests --------------------------------------------------------------------------------


def cell(client: str, target: str, feature: Feature) -> str:
    """What becomes of the feature; AssertionError where it is changed and nobody is told."""
    body = feature.said(client)
    if body is None:
        return NONE
    raw = msgspec.json.encode(body)
    asked = TONGUES[client].read(path_of(client, feature), raw)
    asked = msgspec.structs.replace(asked, model=MODELS[target])
    try:
        written = TONGUES[target].write(asked, feature.facts)
    except Unrepresentable as refusal:
        return f"refused: `{refusal.field}`"
    assert [] == silent(raw, written.body, written.losses), (client, target, feature.name)
    prefix = "/v1beta" if target == "gemini" else "/v1"
    heard = TONGUES[target].read(prefix + written.path, written.body)
    if written.losses:
        return "lossy: " + ", ".join(f"`{loss.field}` {loss.how}" for loss in written.losses)
    before, after = feature.heard(asked), feature.heard(heard)
    assert before == after, f"{feature.name}, {client} to {target}: {before} became {after}, told to nobody"
    return "exact"


# ---- answers ---------------------------------------------------------------------------------


def _answer(*deltas: Delta, reason: FinishReason = FinishReason.STOP) -> tuple[Delta, ...]:
    return (Answering("quill"), *deltas, Finish(reason), Usage(input_total=30, output_total=20))


_TOOL = FinishReason.TOOL
_CALL = ToolCall(0, "call_a", "tide", "{}")
ANSWERS: dict[str, tuple[tuple[Delta, ...], tuple[str, ...]]] = {
    "text": (_answer(Text("Grüße"), Text(" 🦔")), ("texts",)),
    "refusal": (_answer(Refusal("I would rather not.")), ("texts",)),
    "thoughts, to who asked to see them": (_answer(Reasoning("Hm."), Text("Moin.")), ("thoughts", "texts")),
    "a tool call": (_answer(ToolCall(0, "call_a", "tide", '{"port":"Emden"}'), reason=_TOOL), ("calls",)),
    "parallel calls whose fragments interleave": (
        _answer(
            ToolCall(0, "call_a", "tide", '{"port":'),
            ToolCall(1, "call_b", "wind", '{"port"'),
            ToolCall(0, arguments='"Emden"}'),
            ToolCall(1, arguments=':"Husum"}'),
            reason=_TOOL,
        ),
        ("calls",),
    ),
    "text before a call": (
        _answer(Text("Let me look."), ToolCall(0, "call_a", "tide", "{}"), reason=_TOOL),
        ("calls", "texts"),
    ),
    "ids of calls": (_answer(ToolCall(0, "call_a", "tide", "{}"), reason=_TOOL), ("ids",)),
    "model that answers": (_answer(Text("Moin.")), ("model",)),
    "tokens in and out": (_answer(Text("Moin.")), ("usage",)),
    "tokens read from the cache": (
        (*_answer(Text("Moin."))[:-1], Usage(input_total=30, output_total=20, cache_read=10)),
        ("usage",),
    ),
    "tokens thought": (
        (*_answer(Text("Moin."))[:-1], Usage(input_total=30, output_total=20, reasoning=5)),
        ("usage",),
    ),
    "tokens written to the cache": (
        (*_answer(Text("Moin."))[:-1], Usage(input_total=30, output_total=20, cache_write=10)),
        ("written",),
    ),
    "an answer of nothing": (_answer(), ("texts", "finishes")),
    "media": ((Answering("quill"), Text("See:"), Media("image"), Finish(FinishReason.STOP)), ("texts",)),
    **{
        f"finish: {reason.value.replace('_', ' ')}": (
            _answer(Text("a"), *([_CALL] if reason is _TOOL else []), reason=reason),
            ("finishes",),
        )
        for reason in FinishReason
    },
}  # fmt: skip


def _told(dialect: str, deltas: list[Delta] | tuple[Delta, ...]) -> dict[str, Any]:
    usage = [delta for delta in deltas if isinstance(delta, Usage)]
    return {**gist(deltas), "written": (usage[-1].cache_write or 0) if usage else 0}


def answer_cell(client: str, target: str, name: str) -> str:
    """What the client hears of what the target said."""
    script, what = ANSWERS[name]
    native = "media" if name == "media" else ""
    if native:
        there: list[Delta] = list(script)  # as the target's reader tells it
    else:
        there = read_stream(target, say(target, script)[0])
        if [_told(target, script)[key] for key in what] != [_told(target, there)[key] for key in what]:
            return NONE  # the target has no word for it
    said, losses = say(client, there)
    before, after = _told(target, there), _told(client, read_stream(client, said))
    if losses:
        return "lossy: " + ", ".join(f"{loss} dropped" for loss in losses)
    if [before[key] for key in what] == [after[key] for key in what]:
        return "exact"
    (key,) = what
    if key == "finishes":
        return f"lossy: {after[key][0].replace('_', ' ')}"
    assert key == "written", (client, target, name)
    return "lossy: counted as input"


FAULTS = {
    "rate limit": Fault.RATE_LIMIT_RPM,
    "context length": Fault.CONTEXT_WINDOW,
    "authentication": Fault.AUTH,
    "permission": Fault.PERMISSION,
    "overload": Fault.OVERLOADED,
    "server error": Fault.SERVER_ERROR,
    "bad request": Fault.INVALID_REQUEST,
    "no such model": Fault.MODEL_GONE,
}


def error_cell(client: str, fault: Fault) -> str:
    """Status, and the word that the client's SDK looks for."""
    wire = DIALECT[client].complain(max(HANDLING[fault].status, 400), fault, "it failed")
    error = msgspec.json.decode(wire.body)["error"]
    words = (error.get(key) for key in ("status", "type", "code"))
    return " ".join([str(wire.head.status), *(f"`{word}`" for word in words if isinstance(word, str))])


# ---- the page --------------------------------------------------------------------------------


def page() -> str:
    return "\n".join([HEAD, *_requests(), ANSWERS_HEAD, *_answers(), ERRORS_HEAD, *_errors()]) + "\n"


def _requests() -> Iterator[str]:
    for client in DIALECTS:
        targets = [target for target in DIALECTS if target != client]
        yield f"## A client of {NAMES[client]}\n"
        for section, features in SECTIONS.items():
            yield from _row(section, *(NAMES[target] for target in targets))
            yield from _row("---", *("---" for _ in targets))
            for feature in features:
                cells = [cell(client, target, feature) for target in targets]
                if set(cells) != {NONE}:
                    yield from _row(feature.name, *cells)
            yield ""


def _answers() -> Iterator[str]:
    for client in DIALECTS:
        targets = [target for target in DIALECTS if target != client]
        yield f"## To a client of {NAMES[client]}\n"
        yield from _row("The answer has", *(f"from {NAMES[target]}" for target in targets))
        yield from _row("---", *("---" for _ in targets))
        for name in ANSWERS:
            cells = [answer_cell(client, target, name) for target in targets]
            if set(cells) != {NONE}:
                yield from _row(name, *cells)
        yield ""


def _errors() -> Iterator[str]:
    yield from _row("The provider's error", *NAMES.values())
    yield from _row("---", *("---" for _ in NAMES))
    for name, fault in FAULTS.items():
        yield from _row(name, *(error_cell(client, fault) for client in NAMES))


def _row(*cells: str) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
