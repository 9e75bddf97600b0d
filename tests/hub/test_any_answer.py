"""Any answer of any vendor, however its bytes are cut and whatever stands between its events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.dialects import DIALECTS as DIALECT
from sidecar.hub import TONGUES
from sidecar.model import Delta
from tests.hub.answers import ASKED, SSE, ask, assembled, gist, read_stream, read_whole, say
from tests.hub.cases import DIALECTS, GEMINI
from tests.hub.vendors import Answer, Call, Event, Said, Thought, Words, events, stream, whole

texts = st.text(alphabet=st.sampled_from('aé🦔\u2028\ufeff\n\r {}[]"\\:,d\x00'), min_size=1, max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**53) | st.floats(-9, 9) | texts,
    lambda v: st.lists(v, max_size=2) | st.dictionaries(texts, v, max_size=2),
    max_leaves=4,
)


def cut(draw: st.DrawFn, text: str) -> tuple[str, ...]:
    """The text in pieces, none of them empty."""
    places = draw(st.lists(st.integers(1, max(1, len(text) - 1)), max_size=3, unique=True))
    return tuple(text[a:b] for a, b in pairwise([0, *sorted(places), len(text)]) if a < b)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Thoughts, then words and calls in any order; what is no text is a call with any arguments."""
    said: list[Said] = []
    if draw(st.booleans()):
        said.append(Thought(cut(draw, draw(texts))))
    for number in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            if not said or not isinstance(said[-1], Words):  # neighbours are one
                said.append(Words(cut(draw, draw(texts))))
            continue
        given = draw(st.dictionaries(texts, values, max_size=2))
        arguments = json.dumps(given, ensure_ascii=draw(st.booleans()))
        said.append(Call(f"call_{number}", draw(st.sampled_from(["tide", "wind"])), cut(draw, arguments)))
    thought = 3 if said and isinstance(said[0], Thought) else 0
    called = any(isinstance(each, Call) for each in said)
    end = "stop" if called else draw(st.sampled_from(["stop", "length", "filter"]))
    return Answer(tuple(said), end, cached=draw(st.integers(0, 120)), thought=thought)


def shown(dialect: str, deltas: Sequence[Delta]) -> dict[str, Any]:
    """What an answer says; Gemini has no ids."""
    told = gist(deltas)
    if dialect == GEMINI:
        told.pop("ids")
    return told


@pytest.mark.parametrize("target", DIALECTS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(answer=answers())
def test_a_stream_translated_is_the_whole_answer_translated_and_comes_back_as_it_was(
    target: str, answer: Answer
) -> None:
    streamed = read_stream(target, stream(target, answer))
    at_once = read_whole(target, msgspec.json.encode(whole(target, answer)))
    expected = shown(target, streamed)

    assert expected == shown(target, at_once)
    for client in DIALECTS:
        pieces, losses = say(client, streamed)
        body, also = say(client, at_once)
        assert () == losses == also
        told = gist(read_whole(client, assembled(client, pieces)))
        assert told == gist(read_whole(client, assembled(client, body)))
        assert told == gist(read_stream(client, pieces))
        assert expected == shown(target, read_stream(target, say(target, read_stream(client, pieces))[0]))


# ---- bytes -----------------------------------------------------------------------------------


def rough(said: Sequence[Event], chance: Random) -> bytes:
    """The same events as bytes, with all that the standard allows between and within them."""
    end = chance.choice([b"\n", b"\r\n", b"\r"])
    noise = (
        b": patience" + end,
        b":" + end,
        b': {"a":1}' + end + end,
        b"id: 7" + end,
        b"retry: 10" + end,
        b"",
    )
    out = chance.choice([b"", b"\xef\xbb\xbf"])
    for name, data in said:
        lines = [b"event: " + name.encode()] if name else []
        text = (
            data
            if isinstance(data, str)
            else json.dumps(data, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, None, 1]))
        )
        space = chance.choice([b" ", b""])
        lines += [b"data:" + space + line.encode() for line in text.split("\n")]
        if chance.random() < 0.3:
            lines.reverse() if len(lines) == 2 else None
        out += b"".join(line + end for line in lines) + end + chance.choice(noise)
    return out


def pieces_of(raw: bytes, chance: Random) -> list[bytes]:
    """Byte for byte, or anywhere: within a letter, a line's end, a mark at the beginning."""
    step = chance.choice([1, 2, 3, 7, 64, len(raw)])
    cuts, at = [0], 0
    while at < len(raw):
        at = min(len(raw), at + chance.randint(1, step))
        cuts.append(at)
    return [raw[a:b] for a, b in pairwise(cuts)]


@pytest.mark.parametrize("target", DIALECTS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(answer=answers(), chance=st.randoms(use_true_random=False))
def test_wherever_the_bytes_are_cut_the_client_gets_the_same_and_of_a_part_the_beginning(
    target: str, answer: Answer, chance: Random
) -> None:
    expected = {client: say(client, read_stream(target, stream(target, answer)))[0] for client in DIALECTS}
    reader = DIALECT[target].reader(ask(), SSE)
    voices = {
        c: TONGUES[c].voice(ASKED, ident="0123456789abcdef0123456789abcdef", created=1) for c in DIALECTS
    }
    told = dict.fromkeys(DIALECTS, b"")
    for piece in pieces_of(rough(events(target, answer), chance), chance):
        deltas = reader.feed(piece).deltas
        for client in DIALECTS if deltas else ():
            told[client] += voices[client].say(deltas)
            assert expected[client].startswith(told[client])
    last = reader.close().deltas
    assert reader.finished

    for client in DIALECTS:
        assert expected[client] == told[client] + voices[client].say(last) + voices[client].end()
