"""What translation costs the loop: a request and a stream's event, in every direction.

Run as `python -m bench.crossing`; prints one JSON line: multiples of one `json.loads` of the same bytes,
measured in turn with it, the best of all turns. A request goes the whole way that it goes when somebody
stands in: read, held against the model's card, written and encoded, with every loss in one list. It has
tools and a history of 30 KB, in which questions, answers, calls and results have the lengths of an
assistant at work. An event is one of text, read from the bytes of the target and said to the client.
"""

# ruff: noqa: SLF001  # the words of the cases that the tests have
from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import permutations
from time import thread_time

import msgspec

from sidecar.dialects import DIALECTS
from sidecar.gate.check import Fit, Way, check
from sidecar.gate.denials import obeyed
from sidecar.gate.features import of_conversation
from sidecar.gate.writing import written
from sidecar.hub import TONGUES, Written
from sidecar.hub.conversation import Conversation
from sidecar.hub.emulation import Undoing
from sidecar.model import Answering, Ask, Operation, Text
from sidecar.models.card import Ability, Card
from tests.hub import cases
from tests.hub.cases import MODELS, path_of

SIZE = 30_000  # bytes of the request, at least
CALLS = 3  # requests of one turn: short ones find a moment in which nobody disturbs
EVENTS = 50
ROUNDS = 20  # every direction in each, so that all of them meet the machine's calm moments
TURNS = 15  # of a direction, in a round
WALL = 1_763_800_000
CARD = Card(provider="", name="", window=200_000, output=8192, yes=frozenset(Ability))
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


@dataclass(slots=True)
class Race:
    """The work of one direction, and the `json.loads` it is held against: the best of each."""

    work: Callable[[], object]
    measure: Callable[[], object]
    times: int  # of each in one turn
    best: list[float] = field(default_factory=lambda: [float("inf")] * 2)

    def run(self, turns: int) -> None:
        for _ in range(turns):
            for number, one in enumerate((self.work, self.measure)):
                began = thread_time()
                for _ in range(self.times):
                    one()
                self.best[number] = min(self.best[number], thread_time() - began)

    def multiple(self) -> float:
        """How often `measure` would fit into `work`."""
        return self.best[0] / self.best[1]


def request(client: str, target: str) -> Race:
    body, path, model = asked(client), path_of(client), MODELS[target]
    way = Way(target, translated=True)

    def cross() -> None:
        conversation = TONGUES[client].read(path, body)
        fit = check(of_conversation(conversation, len(body)), CARD, way, wall=WALL)
        assert isinstance(fit, Fit)
        obeyed(target, written(conversation, fit, CARD, way, model).body, ())

    return Race(cross, lambda: json.loads(body), CALLS)


def event(client: str, target: str) -> Race:
    """The client's voice of an event of text, behind the target's reader."""
    ident = "0" * 32
    voice = TONGUES[target].voice(ASKED, ident=ident, created=WALL)
    voice.say((Answering(MODELS[target]), Text("Moin. ")))
    one = voice.say((Text(" the tide turns"),))
    payload = one.split(b"data: ", 1)[1].rstrip()
    reader = DIALECTS[target].reader(Ask(operation=Operation.CHAT, model="asked", stream=True), SSE)
    undoing = Undoing(Written("", "", b"", ()))
    mouth = TONGUES[client].voice(ASKED, ident=ident, created=WALL)

    def cross() -> None:
        mouth.say(undoing.turn(reader.feed(one).deltas))

    return Race(cross, lambda: json.loads(payload), EVENTS)


def main() -> None:
    pairs = [*permutations(TONGUES, 2)]
    races = {what.__name__: {pair: what(*pair) for pair in pairs} for what in (request, event)}
    gc.collect()
    for _ in range(ROUNDS):
        for of_kind in races.values():
            for race in of_kind.values():
                race.run(TURNS)
    found = {
        what: {" to ".join(pair): round(race.multiple(), 2) for pair, race in of_kind.items()}
        for what, of_kind in races.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
