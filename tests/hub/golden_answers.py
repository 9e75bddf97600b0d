"""Whole conversations in every direction, their streams and their errors, as files for review.

One file per direction and kind: `golden/conversations`, `golden/streams`, `golden/errors`, each named
`client.target.md`. What one side said stands above what the other is told, and what was lost below both.
The vendors' answers are written from their references (see vendors), and a conversation goes on with
what the client's own SDK keeps of an answer, so that ids and results go there and back.

`python -m tests.hub.golden_answers --write` writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec

from sidecar.classify import classify
from sidecar.dialects import DIALECTS as DIALECT
from sidecar.hub import TONGUES, Facts, Written
from sidecar.hub.conversation import Conversation, Thinking
from sidecar.model import Delta, Trouble
from sidecar.translate_lines import run
from tests.hub import cases
from tests.hub.answers import SSE, ask, assembled, gist, read_stream, read_whole, say
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, MODELS, RESPONSES, Json, path_of
from tests.hub.vendors import Answer, Call, Thought, Words, stream, whole
from tests.kit.answers import Anthropic, Gemini, OpenAI, Responses

FOLDER = Path(__file__).parent / "golden"
PAIRS = [*permutations(DIALECTS, 2)]
VENDORS: dict[str, Any] = {CHAT: OpenAI, RESPONSES: Responses, ANTHROPIC: Anthropic, GEMINI: Gemini}
WIDTH = 110

# ---- what is said --------------------------------------------------------------------------

EMDEN, HUSUM = ('{"port":', '"Emden"}'), ('{"port"', ':"Husum"}')
BOTH = Answer((Words(("Let me ", "look.")), Call("c_tide", "tide", EMDEN), Call("c_wind", "wind", HUSUM)))
FIRST = Answer((Call("c_1", "tide", EMDEN),))
SECOND = Answer((Words(("Now the wind.",)), Call("c_2", "wind", HUSUM)))
BETWEEN = Answer((*FIRST.said, *SECOND.said))
DONE = Answer((Words(("Grüße: ", "sail at 06:12 🦔.")),))
CUT = Answer((Words(("A hedgehog that",)),), end="length")
REFUSED = Answer((Words(("I would",)),), end="filter")
THOUGHTFUL = Answer((Thought(("High water", " first.")), Words(("Because of the moon.",))), thought=10)
SHIP = ('{"ship":"Cap San', ' Diego","masts":2}')


def _ship(written: Written) -> Answer:
    """The answer to a schema, by whatever means it was asked for."""
    if written.emulated:
        return Answer((Call("c_form", written.emulated, SHIP),))
    return Answer((Words(SHIP),))


@dataclass(frozen=True)
class Scene:
    """A conversation: what is asked first, what the target answers, and what each tool says then."""

    name: str
    asked: Callable[[str], Json]
    answers: tuple[Answer | Callable[[Written], Answer], ...]
    results: tuple[tuple[str, ...], ...] = ()  # after each answer; () where the user asks on


def _sail(dialect: str) -> Json:
    return cases._asked(dialect, [cases._user(dialect, "Sail?")], **cases._tools(dialect))


def _case(name: str) -> Callable[[str], Json]:
    return lambda dialect: cases.cases(dialect)[name]


SCENES = (
    Scene("Tools in parallel", _sail, (BOTH, DONE), (("06:12", "4 Bft"),)),
    Scene("Tools in sequence", _sail, (FIRST, SECOND, DONE), (("06:12",), ("4 Bft",))),
    Scene("An image, and an answer that is cut short", _case("image"), (CUT,)),
    Scene("A schema", _case("schema"), (_ship,)),
    Scene("Reasoning", _case("reasoning"), (THOUGHTFUL, DONE), ((),)),
    Scene("An answer that is held back", _case("text"), (REFUSED,)),
)
STREAMS: tuple[tuple[str, str, Answer | Callable[[Written], Answer]], ...] = (
    ("Words", "text", DONE),
    ("Two calls, their arguments in turns where the target does that", "parallel_tools", BOTH),
    ("Words between calls", "tools_in_sequence", BETWEEN),
    ("Thoughts", "reasoning", THOUGHTFUL),
    ("A schema", "schema", _ship),
    ("Cut short", "image", CUT),
)

# ---- crossing ------------------------------------------------------------------------------


def asked_of(client: str, target: str, body: Json) -> tuple[Conversation, Written]:
    conversation = TONGUES[client].read(path_of(client), msgspec.json.encode(body))
    named = msgspec.structs.replace(conversation, model=MODELS[target])
    # as the Translate layer has it: thoughts stay with who had them
    silent = msgspec.structs.replace(conversation, thinking=Thinking(), stream_usage=True)
    return silent, TONGUES[target].write(named, Facts())


def kept(client: str, answer: Json) -> list[Json]:
    """What the client's SDK puts of an answer into the next request."""
    if client == CHAT:
        message = answer["choices"][0]["message"]
        return [{key: message[key] for key in ("role", "content", "tool_calls") if key in message}]
    if client == RESPONSES:
        return list(answer["output"])
    if client == ANTHROPIC:
        return [{"role": "assistant", "content": answer["content"]}]
    return [answer["candidates"][0]["content"]]


def _asks_on(client: str, body: Json, answer: Json, results: tuple[str, ...]) -> Json:
    place = {RESPONSES: "input", GEMINI: "contents"}.get(client, "messages")
    told = gist(read_whole(client, msgspec.json.encode(answer)))
    calls = [
        (ident, name, text)
        for ident, (_, name, _), text in zip(told["ids"], told["calls"], results, strict=True)
    ]
    more = cases._answered(client, *calls) if calls else [cases._user(client, "Are you sure?")]
    return {**body, place: [*body[place], *kept(client, answer), *more]}


# ---- files ---------------------------------------------------------------------------------


def pretty(value: Any, indent: str = "") -> str:
    """JSON that is broken only where a line would be too long."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, (dict, list)) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        rows = [f"{json.dumps(key)}: {pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + row for row in rows) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + pretty(item, inner) for item in value) + f"\n{indent}]"


def _new(before: Json, now: Json) -> Json:
    """A request without what the one before it said already; of a longer list only what was added."""
    shown: Json = {}
    for key, value in now.items():
        old = before.get(key)
        if value == old:
            continue
        known = len(old) if isinstance(old, list) and isinstance(value, list) else 0
        shown[key] = [f"… {known} as before", *value[known:]] if known and value[:known] == old else value
    return shown


def _block(who: str, text: str, kind: str = "json") -> str:
    return f"{who}\n\n```{kind}\n{text}\n```\n"


def _lost(losses: Iterable[str]) -> str:
    return f"Lost: {', '.join(losses) or 'nothing'}.\n"


def conversations(client: str, target: str) -> Iterator[str]:
    yield f"# {client} asks, {target} answers\n"
    for scene in SCENES:
        yield f"## {scene.name}\n"
        body = scene.asked(client)
        asked_before: Json = {}
        sent_before: Json = {}
        for turn, said in enumerate(scene.answers):
            asked, written = asked_of(client, target, body)
            sent = json.loads(written.body)
            yield _block(f"{client} asks:", pretty(_new(asked_before, body)))
            yield _block(f"{target} is asked, at `{written.path}`:", pretty(_new(sent_before, sent)))
            asked_before, sent_before = body, sent
            yield _lost(f"`{loss.field}` ({loss.how})" for loss in written.losses)
            answer = whole(target, said if isinstance(said, Answer) else said(written))
            deltas = read_whole(target, msgspec.json.encode(answer))
            told, losses = say(client, deltas, asked, written)
            heard = json.loads(assembled(client, told))
            yield _block(f"{target} answers:", pretty(answer))
            yield _block(f"{client} is told:", pretty(heard))
            yield _lost(losses)
            if turn + 1 < len(scene.answers):
                body = _asks_on(client, body, heard, scene.results[turn])


def _lines(said: bytes) -> str:
    return said.decode().replace("\n\n", "\n").rstrip("\n")


def streams(client: str, target: str) -> Iterator[str]:
    yield f"# {target} streams, {client} is told\n"
    for name, case, said in STREAMS:
        asked, written = asked_of(client, target, cases.cases(client)[case])
        given = stream(target, said if isinstance(said, Answer) else said(written))
        told, losses = say(client, read_stream(target, given), asked, written)
        yield f"## {name}\n"
        yield _block(f"{target} streams:", _lines(given), "text")
        yield _block(f"{client} is told:", _lines(told), "text")
        yield _lost(losses)
    yield "## An error in the middle\n"
    given, told = _broken(client, target)
    yield _block(f"{target} streams:", _lines(given), "text")
    yield _block(f"{client} is told:", _lines(told), "text")


def _broken(client: str, target: str) -> tuple[bytes, bytes]:
    """A stream that ends in an error, and what there is of it for the client."""
    begun = stream(target, DONE)
    at = begun.index(b"\n\n", begun.index("Grüße".encode())) + 2
    given = begun[:at] + VENDORS[target].error_event("overloaded_error")
    reader = DIALECT[target].reader(ask(), SSE)
    deltas: list[Delta] = [*reader.feed(given).deltas]
    trouble = next(delta for delta in deltas if isinstance(delta, Trouble))
    verdict = classify(
        provider=target, status=trouble.status or 200, headers=(), body=trouble.body, wall=1.0, streamed=True
    )
    asked, _ = asked_of(client, target, cases.cases(client)["text"])
    voice = TONGUES[client].voice(asked, ident="0123456789abcdef0123456789abcdef", created=1)
    event = DIALECT[client].error_event(
        verdict.fault, f"llm-sidecar: the answer was broken off ({verdict.fault})"
    )
    assert event is not None
    return given, voice.say(tuple(deltas)) + event


ERRORS = ("LIMIT", "QUOTA", "AUTH", "CONTEXT", "FILTER", "INVALID", "OVERLOADED", "BROKEN")


def errors(client: str, target: str) -> Iterator[str]:
    yield f"# {target} fails, {client} is told\n"
    for name in ERRORS:
        status, body = getattr(VENDORS[target], name)
        headers = {"retry-after": "7"} if name in {"LIMIT", "OVERLOADED"} else {}
        row = json.dumps({"status": status, "headers": headers, "body": json.loads(body)})
        (line,) = run([row], of=target, to=client, kind="error", wall=1.0)
        told = json.loads(line)
        wait = told["retry_after_s"]
        after = f", again after {wait:g} s" if wait else ""
        yield f"## {told['class']}{after}\n"
        hint = f", retry-after {headers['retry-after']}" if headers else ""
        yield _block(f"{target}, {status}{hint}:", pretty(json.loads(body)))
        yield _block(f"{client}, {told['status']}:", pretty(told["body"]))


KINDS = {"conversations": conversations, "streams": streams, "errors": errors}


def page(kind: str, client: str, target: str) -> str:
    return "\n".join(KINDS[kind](client, target))


def place(kind: str, client: str, target: str) -> Path:
    return FOLDER / kind / f"{client}.{target}.md"


def main() -> None:
    if sys.argv[1:] != ["--write"]:
        raise SystemExit(__doc__)
    for kind in KINDS:
        for old in (FOLDER / kind).glob("*.md"):
            old.unlink()
        (FOLDER / kind).mkdir(exist_ok=True)
        for client, target in PAIRS:
            place(kind, client, target).write_text(page(kind, client, target), encoding="utf-8")


if __name__ == "__main__":
    main()
