"""Any legal conversation, in any direction: legal there, whole or told, and the same when it comes back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.hub import TONGUES, Facts, Written
from sidecar.hub.audit import covers, silent
from sidecar.hub.conversation import (
    Conversation,
    MediaPart,
    RefusalPart,
    Role,
    TextPart,
    ToolResultPart,
    ToolUsePart,
    Unrepresentable,
)
from sidecar.hub.emulation import STAND_IN
from sidecar.hub.writing import JSON_ONLY, SILENCE
from sidecar.model import Loss
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, MODELS, RESPONSES, Json
from tests.hub.demands import wrongs
from tests.hub.wild_openai import OpenAI
from tests.hub.wild_others import Others

FACTS = {
    "unknown": Facts(),
    "able": Facts(schema=True, thinking=True, adaptive_thinking=True),
    "poor": Facts(schema=False, sampling=False, thinking=False, max_output=50),
}


def drawn(dialect: str, chance: Random) -> Json:
    """A request of this dialect."""
    openai, others = OpenAI(chance), Others(chance)
    makers = {
        CHAT: openai.chat,
        RESPONSES: openai.responses,
        ANTHROPIC: others.anthropic,
        GEMINI: others.gemini,
    }
    return makers[dialect]()


def read(dialect: str, body: bytes, path: str = "/models/m:generateContent") -> Conversation:
    return TONGUES[dialect].read(path, body)


def write(conversation: Conversation, target: str, facts: Facts) -> Written | None:
    """None: it is refused, by name."""
    try:
        return TONGUES[target].write(msgspec.structs.replace(conversation, model=MODELS[target]), facts)
    except Unrepresentable:
        return None


# Losses that the audit does not see, because it compares what stands in two documents, leaf by leaf: by
# how it was lost, or by the last word of its name, and why.
UNSEEN = {
    "hoisted": "what was said stands there, at another place",
    "merged": "what was said stands there, in something else",
    "emulated": "the schema stands there, in a tool or in words",
    "cost": "a mark without a leaf of its own: its `type` is a word that each dialect has its own of",
}
UNSEEN_NAMES = {
    **dict.fromkeys(("strict", "is_error", "disable_parallel_tool_use", "parallel_tool_calls", "store",
                     "citations"), "true or false, which stand everywhere"),
    **dict.fromkeys(("detail", "verbosity", "reasoning_effort", "thinking", "thinkingConfig", "reasoning"),
                    "words of a dialect's own for how much"),
    **dict.fromkeys(("stop",), "white space"),
    **dict.fromkeys(("response_format", "format", "responseJsonSchema"), "an object is closed: nothing goes"),
}  # fmt: skip


def unseen(loss: Loss, body: Any) -> bool:
    """Is it a loss that the audit has no way to see? A thought without words or seal is one, too."""
    for step in loss.field.replace("[", ".[").split("."):
        if step.startswith("["):
            body = body[int(step[1:-1])]
        elif isinstance(body, dict):
            body = body.get(step)
    if isinstance(body, dict) and body.get("type") == "reasoning" and not body["summary"]:
        return "encrypted_content" not in body
    return loss.how in UNSEEN or loss.field.rpartition(".")[2] in UNSEEN_NAMES


@pytest.mark.parametrize("source", DIALECTS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(chance=st.randoms(use_true_random=False))
def test_what_is_legal_here_is_legal_there_and_what_is_lost_is_what_was_told(
    source: str, chance: Random
) -> None:
    body = drawn(source, chance)
    raw = msgspec.json.encode(body)
    for target in DIALECTS:
        for facts in FACTS.values() if target != source else ():
            written = write(read(source, raw), target, facts)
            if written is None:
                continue
            missing = silent(raw, written.body, ())

            assert [] == wrongs(target, msgspec.json.decode(written.body))
            assert [] == silent(raw, written.body, written.losses)
            for loss in written.losses:
                assert unseen(loss, body) or any(covers(loss.field, path) for path in missing), loss


# ---- there and back --------------------------------------------------------------------------

SHOWN = re.compile(r"From (?:tide|wind):|\(image: see (?:below|the next message of the user)\)|^Error:")


def words(texts: Iterable[str]) -> str:
    """The words alone: where a text is cut into parts is each dialect's own affair."""
    told = " ".join(texts).replace(JSON_ONLY, "").replace(SILENCE, "").strip()
    return " ".join(SHOWN.sub("", told).split())


def told(conversation: Conversation) -> dict[str, Any]:
    """Every text, call, argument, result and picture of a conversation, and its tools."""
    speeches: list[tuple[Role, list[str]]] = []
    system: list[str] = []
    calls: dict[str, list[Any]] = {}
    seen: list[tuple[str, str, str]] = []
    for turn in conversation.turns:
        for part in turn.parts:
            match part:
                case TextPart(text=text) | RefusalPart(text=text) if turn.role is Role.SYSTEM:
                    system.append(text)
                case TextPart(text=text) | RefusalPart(text=text):
                    if not speeches or speeches[-1][0] is not turn.role:
                        speeches.append((turn.role, []))
                    speeches[-1][1].append(text)
                case MediaPart():
                    seen.append((part.kind, part.data, part.url))
                case ToolUsePart():
                    ident = part.id or f"{part.name} {len(calls)}"
                    calls[ident] = [part.name, msgspec.json.decode(part.arguments), None]
                case ToolResultPart():
                    ident = part.id or next(
                        key for key, call in calls.items() if call[::2] == [part.name, None]
                    )
                    calls[ident][2] = words(inner.text for inner in part.parts if isinstance(inner, TextPart))
                    seen += [(p.kind, p.data, p.url) for p in part.parts if isinstance(p, MediaPart)]
                case _:
                    pass  # thoughts, which are their provider's own
    spoken = [(role, words(texts)) for role, texts in speeches]
    return {
        "system": words(system),
        "spoken": joined((role, said) for role, said in spoken if said),
        "calls": list(calls.values()),
        "seen": sorted(seen),
        "tools": [
            (tool.name, tool.description, {"type": "object", "properties": {}, **(tool.schema or {})})
            for tool in conversation.tools
            if tool.name != STAND_IN
        ],
    }


def joined(spoken: Iterable[tuple[Role, str]]) -> list[tuple[Role, str]]:
    """Neighbours that speak in one role are one."""
    runs = groupby(spoken, key=lambda each: each[0])
    return [(role, " ".join(said for _, said in run)) for role, run in runs]


@pytest.mark.parametrize("source", DIALECTS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(chance=st.randoms(use_true_random=False))
def test_there_and_back_every_text_call_argument_and_picture_is_what_it_was(
    source: str, chance: Random
) -> None:
    asked = read(source, msgspec.json.encode(drawn(source, chance)))
    for target in DIALECTS:
        there = write(asked, target, Facts(schema=True)) if target != source else None
        if there is None:
            continue
        heard = read(target, there.body)
        back = write(heard, source, Facts(schema=True))

        expected = told(asked)
        assert expected == {**told(heard), **({} if asked.tools else {"tools": []})}  # or those of its calls
        if back is not None:  # else it is refused by name, as a picture by its address is in Gemini
            again = told(read(source, back.body))
            assert expected == {**again, **({} if asked.tools else {"tools": []})}


# ---- what nobody knows -------------------------------------------------------------------------

CLIENTS_OWN = {
    "caller",
    "input",
    "args",
    "response",
    "schema",
    "input_schema",
    "parametersJsonSchema",
    "parameters",
}


def objects(value: Any) -> Iterator[Json]:
    """The objects of a request that are the dialect's and not the client's."""
    if isinstance(value, list):
        for inner in value:
            yield from objects(inner)
    elif isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key not in CLIENTS_OWN or isinstance(inner, list):
                yield from objects(inner)


@pytest.mark.parametrize("source", DIALECTS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(chance=st.randoms(use_true_random=False))
def test_a_field_that_nobody_knows_changes_nothing_and_is_told(source: str, chance: Random) -> None:
    """Readers take what is plain by a short way: what is more than plain must not get lost on it."""
    body = drawn(source, chance)
    plain = msgspec.json.encode(body)
    place = {RESPONSES: "input", GEMINI: "contents"}.get(source, "messages")
    some = [each for each in objects(body[place]) if chance.random() < 0.5]
    for each in some:
        each["unheard_of"] = None
    nulls = msgspec.json.encode(body)
    for n, each in enumerate(some):
        each["unheard_of"] = f"mystery{n}"
    more = msgspec.json.encode(body)
    for target in DIALECTS:
        if target == source:
            continue
        expected = write(read(source, plain), target, Facts())
        told = write(read(source, more), target, Facts())

        assert expected == write(read(source, nulls), target, Facts())
        assert (expected is None) == (told is None)
        if expected is not None and told is not None:
            assert expected.body == told.body
            assert [] == silent(more, told.body, told.losses)
