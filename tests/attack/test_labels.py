"""Who is named on an answer that is not a full one."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from sidecar.dialects import DIALECTS
from sidecar.layers.degrade import Degrade
from sidecar.model import (
    Answered,
    Ask,
    Attempt,
    Call,
    Failed,
    Fault,
    Head,
    Kind,
    Operation,
    Outcome,
    Record,
    Refused,
    RefusedBy,
    Sink,
    Tier,
    Traffic,
)
from sidecar.schema import compile_schema
from sidecar.settings import StaticAnswer
from sidecar.signals.judging import Schemas
from tests.kit.tape import Tape

REJECTED = Failed(Fault.STRUCTURED_OUTPUT_FAILED, head=Head(200), body=b"{}")
LATER = Failed(Fault.SERVER_ERROR, head=Head(500), body=b"oops")


def attempt(number: int, target: str, outcome: Outcome) -> Attempt:
    return Attempt(
        number=number,
        target=target,
        provider="p",
        model="m",
        kind=Kind.INITIAL,
        breaker="closed",
        started=0.0,
        outcome=outcome,
    )


@pytest.mark.parametrize(
    ("outcome", "static", "tier", "name"),
    [
        (REJECTED, None, Tier.REDUCED, b"first"),
        (LATER, StaticAnswer(text="sorry"), Tier.STATIC, b"static"),
        (Refused(RefusedBy.ADMISSION), StaticAnswer(text="sorry"), Tier.STATIC, b"static"),
    ],
)
def test_a_degraded_answer_names_who_gave_it(
    outcome: Failed | Refused, static: StaticAnswer | None, tier: Tier, name: bytes
):
    attempts = [attempt(1, "first", REJECTED), attempt(2, "second", LATER)]
    call = Call(
        id="1",
        route="r",
        provider="p",
        dialect="openai_chat",
        method="POST",
        path="/chat/completions",
        query="",
        headers=(),
        body=b"{}",
        ask=Ask(operation=Operation.CHAT, model="m"),
        traffic=Traffic.INTERACTIVE,
        arrived=0.0,
        deadline=inf,
        record=Record(attempts=attempts),
    )

    async def failing(call: Call, sink: Sink) -> Outcome:
        return outcome

    tape = Tape()
    layer = Degrade(
        inner=failing,
        static=static,
        strict=False,
        targets=(),
        dialects=DIALECTS,
        schemas=Schemas(compile_schema),
        tell=lambda _event: None,
    )
    done = asyncio.run(layer(call, tape))

    assert isinstance(done, Answered)
    assert done.tier is tier
    assert tape.head is not None
    assert tape.head.get(b"x-llm-sidecar-served-by") == name
    assert tape.head.get(b"x-llm-sidecar-tier") == tier.value.encode()
