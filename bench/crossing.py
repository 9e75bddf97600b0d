"""What translation costs the loop: a request and a stream's event, in every direction.

Run as `python -m bench.crossing`; prints one JSON line: multiples of one `json.loads` of the same bytes,
measured in turn with it, best of several runs. A request is read and written, encoding included; it has
tools and a history of 30 KB, in which questions, answers, calls and results have the lengths of an
assistant at work. An event is one of text, read from the bytes of the target and said to the client.
"""

# ruff: noqa: SLF001  # the words of the cases that the tests have
from __future__ import annotations

import gc
import json
from collections.abc import Callable
from itertools import permutations
from time import thread_time

import msgspec

from sidecar.dialects import DIALECTS
from sidecar.hub import TONGUES, Facts
from sidecar.hub.conversation import Conversation
from sidecar.model import Answering, Ask, Delta, Operation, Text
from tests.hub import cases
from tests.hub.cases import MODELS, path_of

SIZE = 30_000  # bytes of the request, at least
CALLS = 3  # requests of one run: short ones find a moment in which nobody disturbs
EVENTS = 50
RUNS = 150
SSE = b"text/event-stream"
ASKED = Conversation(model="asked", turns=(), stream=True, stream_usage=True)
ABOUT = (
    "High water at Emden is at twelve past six, the wind backs to the west before noon, and the bar breaks. "
)
LOG = json.dumps(
    [{"at": f"{hour:02}:12", "port": "Emden", "metres": 3.2, "wind": "4 Bft"} for hour in range(12)]
)


def asked(dialect: str) -> bytes:
    """A conversation with tools in the words of that dialect."""
    turns = cases._first(dialect, "You help people to sail. Be brief.")
    body = b""
    day = 0
    while len(body) < SIZE:
        day += 1
        call, other = f"call_{day:021}a", f"call_{day:021}b"
        turns.append(cases._user(dialect, f"Can I sail on day {day}? " + ABOUT))
        tide = (call, "tide", {"port": "Emden", "day": day})
        wind = (other, "wind", {"port": "Emden", "day": day, "hours": [6, 12, 18]})
        turns += cases._called(dialect, tide, wind, text="Let me look at the tide and at the wind.")
        turns += cases._answered(dialect, (call, "tide", LOG), (other, "wind", 2 * ABOUT))
        turns.append(cases._said(dialect, 4 * ABOUT))
        prompt = cases._system(dialect, "You help people to sail. Be brief.")
        last = cases._user(dialect, "And the day after?")
        body = msgspec.json.encode(cases._asked(dialect, [*turns, last], **prompt, **cases._tools(dialect)))
    return body


def multiple(work: Callable[[], object], measure: Callable[[], object], times: int) -> float:
    """How often `measure` would fit into `work`: the best of each, in turn."""
    best = [float("inf"), float("inf")]
    gc.collect()
    for _ in range(RUNS):
        for number, one in enumerate((work, measure)):
            began = thread_time()
            for _ in range(times):
                one()
            best[number] = min(best[number], thread_time() - began)
    return best[0] / best[1]


def request(client: str, target: str) -> float:
    body, path, facts = asked(client), path_of(client), Facts()
    reader, writer = TONGUES[client], TONGUES[target]

    def cross() -> None:
        conversation = reader.read(path, body)
        writer.write(msgspec.structs.replace(conversation, model=MODELS[target]), facts)

    return multiple(cross, lambda: json.loads(body), CALLS)


def event(client: str, target: str) -> float:
    """The client's voice of an event of text, behind the target's reader."""
    ident = "0" * 32
    voice = TONGUES[target].voice(ASKED, ident=ident, created=1_763_800_000)
    voice.say((Answering(MODELS[target]), Text("Moin. ")))
    one = voice.say((Text(" the tide turns"),))
    payload = one.split(b"data: ", 1)[1].rstrip()
    reader = DIALECTS[target].reader(Ask(operation=Operation.CHAT, model="asked", stream=True), SSE)
    mouth = TONGUES[client].voice(ASKED, ident=ident, created=1_763_800_000)

    def cross() -> None:
        deltas: tuple[Delta, ...] = reader.feed(one).deltas
        mouth.say(deltas)

    return multiple(cross, lambda: json.loads(payload), EVENTS)


def main() -> None:
    pairs = [*permutations(TONGUES, 2)]
    found = {
        what.__name__: {f"{client} to {target}": round(what(client, target), 2) for client, target in pairs}
        for what in (request, event)
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
