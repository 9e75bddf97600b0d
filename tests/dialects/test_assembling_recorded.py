"""Recorded streams of real providers, put together: the body says what the stream said.

Collected only where LLM_SIDECAR_DATA names the folder that holds them.
"""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.model import Delta, Finish, Reasoning, Refusal, Text, ToolCall, Usage
from tests.dialects.samples import run
from tests.dialects.test_recorded import cuts, recorded

STREAMS = [found for found in recorded() if b"text/event-stream" in found.values[2]]


def said(deltas: list[Delta]) -> dict[str, Any]:
    texts: dict[tuple[str, int], str] = {}
    calls: dict[tuple[int, int], list[str]] = {}
    for delta in deltas:
        if isinstance(delta, Text | Reasoning | Refusal):
            key = (type(delta).__name__, delta.choice)
            texts[key] = texts.get(key, "") + delta.text
        elif isinstance(delta, ToolCall):
            call = calls.setdefault((delta.choice, delta.index), ["", "", ""])
            call[:] = [call[0] + delta.id, call[1] + delta.name, call[2] + delta.arguments]
    return {
        "texts": texts,
        "calls": [[*call[:2], "".join(call[2].split())] for _, call in sorted(calls.items())],
        "finish": [delta for delta in deltas if isinstance(delta, Finish)],
        "usage": [delta for delta in deltas if isinstance(delta, Usage)][-1:],
    }


@pytest.mark.parametrize(("dialect", "asked", "content_type", "body"), STREAMS)
def test_a_recorded_stream_says_the_same_as_a_body(
    dialect: Any, asked: Any, content_type: bytes, body: bytes
) -> None:
    bodies = set()
    for pieces in cuts(body):
        assembler = dialect.assembler(content_type)
        for piece in pieces:
            assembler.feed(piece)
        bodies.add(assembler.close())

    [whole] = bodies
    _, streamed = run(dialect.reader(asked, content_type), [body])
    _, unstreamed = run(dialect.reader(asked, b"application/json"), [whole])
    assert said(streamed) == said(unstreamed)


def test_there_is_something_to_put_together() -> None:
    assert len(STREAMS) > 10
