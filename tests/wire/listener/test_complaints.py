"""Our own words for a fault: each has a sentence, and whoever reads the complaint sees the same fault in it.

The reader may be an application that looks for a provider's phrases, or another sidecar in front of this one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sidecar.classify import classify
from sidecar.dialects import DIALECTS, Wire
from sidecar.faults import HANDLING
from sidecar.listener.complaints import of_outcome, wire
from sidecar.model import Ask, Call, Failed, Fault, Operation, Record, Traffic
from tests.hub.cases import DIALECTS as SPOKEN

NO_FAILURES = {Fault.KEEPALIVE, Fault.OK_NO_DONE}
# the client has left, or nobody knows what happened: there is nothing to say that the name does not say
UNSAID = {Fault.CLIENT_CANCELLED, Fault.UNKNOWN}
# faults that a client can only see as the more general one
SEEN_AS = {
    Fault.RATE_LIMIT_REQUEST_TOO_LARGE: Fault.RATE_LIMIT_UNKNOWN,
    Fault.ORG_LIMIT: Fault.RATE_LIMIT_UNKNOWN,
    Fault.LOCAL_OVERLOAD: Fault.OVERLOADED,
    Fault.TTFT_TIMEOUT: Fault.TIMEOUT,
    Fault.STREAM_STALL: Fault.TIMEOUT,
    Fault.MODEL_GONE: Fault.NOT_FOUND,
    Fault.REFUSAL: Fault.INVALID_REQUEST,
}
FAULTS = [fault for fault in Fault if fault not in NO_FAILURES]


def complaint(fault: Fault, dialect: str) -> Wire:
    call = Call(
        id="c",
        route="r",
        dialect=dialect,
        provider="p",
        method="POST",
        path="/",
        query="",
        headers=(),
        body=b"",
        ask=Ask(operation=Operation.CHAT, model="m"),
        traffic=Traffic.INTERACTIVE,
        arrived=0.0,
        deadline=9.0,
        record=Record(),
    )
    return wire(of_outcome(Failed(fault), call, 0.0), DIALECTS[dialect])


@pytest.mark.parametrize("dialect", SPOKEN)
def test_a_complaint_is_read_as_the_fault_that_it_tells(dialect: str):
    def read() -> Iterator[tuple[Fault, Fault]]:
        for fault in FAULTS:
            said = complaint(fault, dialect)
            verdict = classify(
                provider=dialect,
                status=said.head.status,
                headers=said.head.headers,
                body=said.body,
                wall=0.0,
            )
            yield fault, verdict.fault

    general = {
        fault: SEEN_AS.get(fault, Fault.SERVER_ERROR if HANDLING[fault].status == 502 else fault)
        for fault in FAULTS
    }
    general[Fault.STRUCTURED_OUTPUT_FAILED] = Fault.STRUCTURED_OUTPUT_FAILED
    assert general == dict(read())


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in UNSAID])
def test_every_fault_has_a_sentence(fault: Fault):
    assert b"the call failed" not in complaint(fault, "openai_chat").body


@pytest.mark.parametrize("fault", [Fault.OVERLOADED, Fault.LOCAL_OVERLOAD])
def test_an_overload_has_the_status_that_each_sdk_knows_it_by(fault: Fault):
    statuses = {dialect: complaint(fault, dialect).head.status for dialect in SPOKEN}

    assert {"openai_chat": 503, "openai_responses": 503, "anthropic": 529, "gemini": 503} == statuses
