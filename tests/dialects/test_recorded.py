"""Recorded answers of real providers: the same however they are cut, and with a sane end.

Collected only where LLM_SIDECAR_DATA names the folder that holds them.
"""

from __future__ import annotations

import json
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sidecar.dialects import DIALECTS
from sidecar.model import (
    Answering,
    Delta,
    Finish,
    Malformed,
    Media,
    Reasoning,
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from tests.dialects.samples import run

SAMPLE = Path(os.environ["LLM_SIDECAR_DATA"]) / "replay" / "sample.jsonl"


def recorded() -> list[Any]:
    found = []
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        exchange = json.loads(line)
        request, response = exchange["request"], exchange["response"]
        path = urlsplit(request["path"]).path
        for dialect in DIALECTS.values():
            if (
                (operation := dialect.operation(request["method"], path))
                and response["status"] == 200
                and response.get("body")
            ):
                headers = {key.lower(): value for key, value in response["headers"].items()}
                content_type = headers["content-type"][0].encode()
                body = response["body"].encode()
                asked = dialect.ask(operation, path, request["body"].encode())
                name = f"{exchange['provider']}-{exchange['id']}"
                found.append(pytest.param(dialect, asked, content_type, body, id=name))
    return found


def cuts(body: bytes) -> list[list[bytes]]:
    rng = random.Random(len(body))  # cuts, not secrets
    places = sorted(rng.randrange(len(body)) for _ in range(40))
    return [
        [body],
        [event + b"\n\n" for event in body.split(b"\n\n")[:-1]] + [body.rpartition(b"\n\n")[2]]
        if b"\n\n" in body
        else [body],
        [bytes([byte]) for byte in body],
        [body[a:b] for a, b in pairwise([0, *places, len(body)])],
    ]


@pytest.mark.parametrize(("dialect", "asked", "content_type", "body"), recorded())
def test_a_recorded_answer_is_read_the_same_in_any_cut(
    dialect: Any, asked: Any, content_type: bytes, body: bytes
) -> None:
    results = []
    for pieces in cuts(body):
        reader = dialect.reader(asked, content_type)
        results.append((*run(reader, pieces), reader.done, reader.finished))

    raw, deltas, done, finished = results[0]
    assert body == raw
    assert all(results[0] == result for result in results)
    assert done or (dialect.name == "gemini" and asked.stream)  # which has no terminal event
    assert finished
    kinds = [type(delta) for delta in deltas]
    assert 1 == kinds.count(Finish)
    assert 1 == kinds.count(Answering)
    assert Malformed not in kinds
    assert Trouble not in kinds
    assert any(isinstance(delta, Text | Reasoning | ToolCall | Media) for delta in deltas)
    assert sane(deltas)


def sane(deltas: list[Delta]) -> bool:
    usage = [delta for delta in deltas if isinstance(delta, Usage)]
    return all((each.input_total or 0) >= (each.cache_read or 0) for each in usage)


def test_there_is_something_to_read() -> None:
    assert len(recorded()) > 30
