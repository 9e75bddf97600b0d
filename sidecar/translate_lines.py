"""`llm-sidecar translate`: what becomes of a call in another dialect, one JSON object a line.

A request goes from the client's dialect to the target's; an answer, a stream or an error from the
target's to the client's: `--from` is always the dialect of what is given. Nothing is sent anywhere. A
line that cannot be read or said becomes an error line of its own.

With a model a request is held against its card, as the gate does for a stand-in that has just been
configured: what targets have said since, and what configuration says of the model, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from sidecar.classify import classify, raw_headers
from sidecar.dialects import DIALECTS
from sidecar.dialects.base import BadBody
from sidecar.faults import HANDLING
from sidecar.gate.check import SAID, Skip, Way, check, losses, trimmed
from sidecar.gate.features import of_conversation
from sidecar.gate.writing import written as gated
from sidecar.hub import TONGUES, Facts, Voice, Written
from sidecar.hub.conversation import Conversation, Unrepresentable
from sidecar.model import Ask, Delta, Operation, Trouble
from sidecar.models.card import Card
from sidecar.models.catalogue import Catalogue, shipped
from sidecar.vendors import VENDORS

KINDS = ("request", "response", "stream", "error")
EVENTS = b"text/event-stream"
JSON = b"application/json"
_OWNERS = {"openai_chat": "openai", "openai_responses": "openai"}  # of dialects: the others have their names
_ASK = Ask(operation=Operation.CHAT, model="")


class _BadLineError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Asked:
    """The model that a request is for. `card` None: the catalogue does not know it."""

    name: str
    card: Card | None


def asked(name: str, dialect: str) -> Asked:
    """`name`: "anthropic/claude-sonnet-4-5", or without the provider that the dialect has its name from."""
    provider, slash, model = name.partition("/")
    if not slash or provider not in VENDORS:
        provider, model = _OWNERS.get(dialect, dialect), name
    return Asked(model, Catalogue(shipped()).card(provider, model))


def run(
    lines: Iterable[str], *, of: str, to: str, kind: str, wall: float, model: Asked | None = None
) -> Iterator[str]:
    """`of` and `to` are names of dialects in TONGUES; `wall` is Unix time, for answers that name it and for
    models that retire; `model` is for requests."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            told = _translated(line, of, to, kind, wall, model)
        except Unrepresentable as error:
            told = {"line": number, "refused": error.field, "why": error.why}
        except (_BadLineError, BadBody) as error:
            told = {"line": number, "error": str(error)}
        yield msgspec.json.encode(told).decode()


def _translated(line: str, of: str, to: str, kind: str, wall: float, model: Asked | None) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as problem:
        raise _BadLineError(f"not JSON: {problem}") from None
    match kind:
        case "request":
            return _request(row, of, to, wall, model)
        case "response":
            return _answer(msgspec.json.encode(row), JSON, of, to, wall)
        case "stream":
            if not isinstance(row, str):
                raise _BadLineError("expected a JSON string that holds the event stream")
            return _answer(row.encode(), EVENTS, of, to, wall)
        case _:
            return _error(row, of, to, wall)


def _request(row: Any, of: str, to: str, wall: float, model: Asked | None) -> dict[str, Any]:
    path, given = "", row
    if isinstance(row, dict) and isinstance(row.get("path"), str) and "body" in row:
        path, given = row["path"], row["body"]  # Gemini's model stands in the path
    body = msgspec.json.encode(given)
    conversation = TONGUES[of].read(path, body)
    if model is None:
        written = TONGUES[to].write(conversation, Facts())
        return _shown(written)
    way = Way(to, translated=of != to, same_provider=False)
    fit = check(of_conversation(conversation, len(body)), model.card, way, wall=wall)
    if isinstance(fit, Skip):
        raise Unrepresentable(conversation.named_as(fit.field), SAID[fit.reason])
    if way.translated:
        return _shown(gated(conversation, fit, model.card, way, model.name), model)
    path, body = DIALECTS[to].with_model(path, trimmed(to, body, fit.changes), model.name)
    return _shown(Written(path, "", body, losses(conversation, fit.changes)), model)


def _shown(written: Written, model: Asked | None = None) -> dict[str, Any]:
    card = model.card if model is not None else None
    return {
        "path": written.path,
        "query": written.query,
        "body": msgspec.json.decode(written.body),
        "losses": [{"field": loss.field, "how": loss.how} for loss in written.losses],
        **({} if model is None else {"card": card and f"{card.provider}/{card.name}"}),
    }


def _answer(body: bytes, kind: bytes, of: str, to: str, wall: float) -> dict[str, Any]:
    reader = DIALECTS[of].reader(_ASK, kind)
    deltas = reader.feed(body).deltas + reader.close().deltas
    if any(isinstance(delta, Trouble) for delta in deltas):
        raise _BadLineError("it holds an error: --kind error says what becomes of it")
    voice = TONGUES[to].voice(Conversation("", (), stream_usage=True), ident="0" * 32, created=int(wall))
    said = _said(voice, deltas)
    if kind == EVENTS:
        return {"stream": said.decode(), "losses": list(voice.losses)}
    assembler = DIALECTS[to].assembler(EVENTS)
    assert assembler is not None
    assembler.feed(said)
    whole = assembler.close()
    if whole is None:
        raise _BadLineError("nothing in it is an answer of that dialect")
    return {"body": msgspec.json.decode(whole), "losses": list(voice.losses)}


def _said(voice: Voice, deltas: tuple[Delta, ...]) -> bytes:
    return voice.say(deltas) + voice.end()


def _error(row: Any, of: str, to: str, wall: float) -> dict[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("status"), int):
        raise _BadLineError(
            "expected an object with `status`, and with `headers` and `body` if there are any"
        )
    given = row.get("headers")
    headers = raw_headers({str(k): str(v) for k, v in given.items()}) if isinstance(given, dict) else ()
    body = msgspec.json.encode(row.get("body"))
    verdict = classify(
        provider=of, status=row["status"], headers=headers, body=body, wall=wall, streamed=False
    )
    status = max(HANDLING[verdict.fault].status, 400)
    wire = DIALECTS[to].complain(status, verdict.fault, f"the provider failed ({verdict.fault})")
    return {
        "status": wire.head.status,
        "body": msgspec.json.decode(wire.body),
        "retry_after_s": verdict.wait,
        "class": str(verdict.fault),
    }
