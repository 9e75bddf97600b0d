"""Any conversation: what goes from one dialect into another and back is what it was."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.dialects.base import BadBody
from sidecar.hub import TONGUES, Facts
from sidecar.hub.audit import silent
from sidecar.hub.conversation import (
    Choice,
    Conversation,
    Format,
    MediaKind,
    MediaPart,
    Part,
    RefusalPart,
    Role,
    Sampling,
    Shape,
    TextPart,
    Thinking,
    ThoughtPart,
    Tool,
    ToolResultPart,
    ToolUsePart,
    Turn,
    Unrepresentable,
)
from tests.hub.cases import DIALECTS, GEMINI

words = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda text: bool(text.strip())
)
names = st.sampled_from(["tide", "wind", "get_weather-2"])
idents = st.sampled_from(["call_1", "toolu_01A", "functions.tide:0", "x" * 70, "a b"])
leaves = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | words
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=5,
)
images = st.builds(
    MediaPart, st.just(MediaKind.IMAGE), st.just("image/png"), data=st.sampled_from(["iVBORw0KGgo=", "AAAA"])
)


@st.composite
def rounds(draw: st.DrawFn, number: int) -> list[Turn]:
    """The user says something; the model answers, or calls tools and hears from them."""
    parts: list[Part] = [TextPart(draw(words))]
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, 1)), draw(images))
    said: list[Part] = [TextPart(draw(words))] if draw(st.booleans()) else []
    calls: list[ToolUsePart] = []
    for _ in range(draw(st.integers(0, 3))):
        arguments = json.dumps(draw(st.dictionaries(words, values, max_size=2)), ensure_ascii=False)
        calls.append(ToolUsePart(f"{draw(idents)}{number}{len(calls)}", draw(names), arguments))
    if not said and not calls:
        said = [RefusalPart("I would rather not.")]
    turns = [Turn(Role.USER, tuple(parts)), Turn(Role.ASSISTANT, (*said, *calls))]
    turns += [
        Turn(Role.USER, (ToolResultPart(call.id, call.name, (TextPart(draw(words)),)),)) for call in calls
    ]
    return turns


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    turns = [Turn(Role.SYSTEM, (TextPart(draw(words)),))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        turns += draw(rounds(number))
    turns.append(Turn(Role.USER, (TextPart(draw(words)),)))
    schema = {"type": "object", "properties": {"port": {"type": "string", "description": draw(words)}}}
    form = Format(Shape.SCHEMA, {**schema, "title": "a ship"})
    tools = tuple(Tool(name, draw(words), schema) for name in sorted(draw(st.sets(names))))
    return Conversation(
        model="m",
        turns=tuple(turns),
        stream=draw(st.booleans()),
        tools=tools,
        choice=draw(st.sampled_from([None, Choice.AUTO, Choice.REQUIRED, Choice.NONE])) if tools else None,
        format=draw(st.sampled_from([Format(), form])) if not tools else Format(),
        sampling=Sampling(
            temperature=draw(st.sampled_from([None, 0.0, 0.5, 1.0])),
            max_output=draw(st.integers(16, 8000)),
        ),
    )


def path_of(dialect: str, path: str) -> str:
    return ("/v1beta" if dialect == GEMINI else "/v1") + path


def said(conversation: Conversation) -> list[Any]:
    """Everything that was said, in order, whatever turns it stands in."""
    out: list[Any] = []
    for turn in conversation.turns:
        for part in turn.parts:
            match part:
                case TextPart(text=text) | RefusalPart(text=text):
                    out.append((turn.role, text))
                case MediaPart():
                    out.append((part.kind, part.type, part.data))
                case ToolUsePart():
                    out.append((part.name, json.loads(part.arguments)))
                case ToolResultPart():
                    out.append(
                        (part.name, [inner.text for inner in part.parts if isinstance(inner, TextPart)])
                    )
                case _:
                    out.append(part)
    return [each for each in out if each[1] != ""]


def pairs_of(conversation: Conversation) -> list[tuple[int, int]]:
    """Which call each result belongs to, by their places."""
    parts = [part for turn in conversation.turns for part in turn.parts]
    calls = [part.id for part in parts if isinstance(part, ToolUsePart)]
    results = [part.id for part in parts if isinstance(part, ToolResultPart)]
    return [(calls.index(ident), place) for place, ident in enumerate(results)]


@settings(max_examples=40, deadline=None)
@given(conversation=conversations())
def test_there_and_back_everything_is_said_as_it_was(conversation: Conversation) -> None:
    facts = Facts(schema=True)
    for source, target in permutations(DIALECTS, 2):
        first = TONGUES[source].write(conversation, facts)
        asked = TONGUES[source].read(path_of(source, first.path), first.body)
        there = TONGUES[target].write(asked, facts)
        heard = TONGUES[target].read(path_of(target, there.path), there.body)
        back = TONGUES[source].write(heard, facts)
        again = TONGUES[source].read(path_of(source, back.path), back.body)

        assert [] == silent(first.body, there.body, there.losses)
        assert [] == silent(there.body, back.body, back.losses)
        assert said(conversation) == said(asked) == said(heard) == said(again)
        assert conversation.stream == again.stream
        if conversation.tools or not pairs_of(conversation):  # else Anthropic is given those of the history
            assert [tool.name for tool in conversation.tools] == [tool.name for tool in again.tools]
            assert [tool.schema for tool in conversation.tools] == [tool.schema for tool in again.tools]
            assert conversation.choice == again.choice
            if conversation.format.schema:  # a name that a dialect demanded may have become the title
                closed = {"title": "a ship", "additionalProperties": False}  # as Anthropic demands
                assert {**conversation.format.schema, **closed} == {**(again.format.schema or {}), **closed}
        assert conversation.sampling == again.sampling
        if GEMINI not in {source, target}:
            assert pairs_of(conversation) == pairs_of(again)


marks = st.sampled_from(["cache_control", "annotations", "whatever"])
odd_parts = (
    st.builds(TextPart, words, rest=st.dictionaries(marks, words, max_size=1))
    | st.builds(ThoughtPart, words, sealed=st.just({"signature": "seal"}))
    | images
    | st.builds(MediaPart, st.sampled_from(MediaKind), st.just("audio/wav"), data=st.just("AAAA"))
)


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(odd_parts, min_size=1, max_size=3),
    roles=st.lists(st.sampled_from(Role), min_size=1, max_size=4),
    budget=st.sampled_from([None, -1, 0, 128, 1024, 5000, 10**6]),
    target=st.sampled_from(DIALECTS),
    named=st.booleans(),
)
def test_however_odd_it_is_it_is_written_or_refused(
    parts: list[Part], roles: list[Role], budget: int | None, target: str, named: bool
) -> None:
    turns = tuple(
        Turn(role, tuple(parts), name="n" if named else "", at=f"turns[{n}]") for n, role in enumerate(roles)
    )
    conversation = Conversation(
        "m", turns, thinking=Thinking(budget=budget), sampling=Sampling(max_output=3000)
    )
    for facts in (Facts(), Facts(thinking=True), Facts(thinking=False, sampling=False, max_output=20)):
        try:
            written = TONGUES[target].write(conversation, facts)
        except Unrepresentable:
            continue
        assert b"seal" not in written.body
        TONGUES[target].read(path_of(target, written.path), written.body)


@settings(max_examples=150, deadline=None)
@given(
    source=st.sampled_from(DIALECTS),
    field=st.sampled_from(
        ["messages", "input", "contents", "tools", "tool_choice", "toolConfig", "system", "text", "reasoning",
         "thinking", "generationConfig", "response_format", "output_config", "systemInstruction", "stop",
         "metadata", "instructions"]
    ),
    value=st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "parts", "text", "functionCall", "functionResponse", "name", "id",
                 "tool_calls", "function", "source", "inlineData", "args", "response", "output", "input",
                 "tool_result", "functionDeclarations", "format", "schema", "effort", "mode", "file"]
            ),
            inner | st.sampled_from(["user", "assistant", "model", "text", "tool_use", "tool_result", "image",
                                     "file", "message", "function_call", "reasoning", "json_schema"]),
            max_size=4,
        ),
        max_leaves=12,
    ),
)  # fmt: skip
def test_whatever_a_client_sends_is_read_or_is_a_bad_body(source: str, field: str, value: Any) -> None:
    body = msgspec.json.encode({"model": "m", field: value})
    paths = {"gemini": "/v1beta/models/m:generateContent"}
    for dialect in (source,):
        try:
            conversation = TONGUES[dialect].read(paths.get(dialect, "/v1/x"), body)
        except BadBody:
            continue
        for target in DIALECTS:
            if target == dialect:
                continue
            try:
                written = TONGUES[target].write(conversation, Facts())
            except Unrepresentable:
                continue
            assert [] == silent(body, written.body, written.losses)


def test_the_audit_finds_what_nobody_named() -> None:
    source = json.dumps(
        {"messages": [{"content": "hello", "mood": "grim", "n": 3}], "a": {"b": "lost"}}
    ).encode()
    target = json.dumps({"contents": [{"text": "hello"}]}).encode()

    assert ["messages[0].mood", "messages[0].n", "a.b"] == silent(source, target, ())
