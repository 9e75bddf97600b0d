"""What both of OpenAI's dialects share where they are written."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.hub.base import Facts
from sidecar.hub.conversation import Conversation, Effort, Json, MediaPart, Role, Turn
from sidecar.hub.reading import Object
from sidecar.hub.writing import IMAGES, SHARED, Ledger, schema_name, strict_ready, text_of

_SCHEMAS = frozenset({"items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties"})
_NAMED = frozenset({"properties", "$defs", "definitions"})  # schemas by name
_PLAIN = ("string", "integer", "number", "boolean", "null")
_DEMANDED = {"object": "properties", "array": "items"}  # without it a type is refused here


def schema_of(conversation: Conversation, ledger: Ledger) -> Object:
    """A schema with its name. What is strict enough is asked for strictly, if the client left it open."""
    form = conversation.format
    schema = form.schema or {}
    name = schema_name(form)
    if form.name and form.name != name:
        ledger.lose_field("format.name", "merged")
    said: Object = {"name": name, "schema": schema}
    if form.description:
        said["description"] = form.description
    strict = form.strict
    if strict is None and strict_ready(schema):
        strict = True
    if strict is not None:
        said["strict"] = strict
    return said


def no_prefill(conversation: Conversation, ledger: Ledger) -> None:
    """Nobody goes on with an answer here: the client would get two beginnings."""
    if conversation.continues:
        ledger.refuse(conversation.turns[-1].at, "an answer that was begun is not gone on with")


def effort_of(conversation: Conversation, facts: Facts, ledger: Ledger) -> str | None:
    """How much to think, in OpenAI's words. What it cannot turn off by a budget of 0 it does least."""
    wanted = conversation.thinking
    if wanted.effort is None and wanted.budget is None:
        return None
    effort = ledger.effort()
    if facts.thinking is False:
        if effort not in {None, Effort.NONE}:
            ledger.lose_field("thinking")
        return None
    if effort is not None:
        return effort.value
    if facts.thinking is None:  # no thinking is wanted, and it may be a model that never does
        ledger.lose_field("thinking")
        return None
    ledger.lose_field("thinking", "clamped")
    return Effort.LOW.value


def shared_fields(body: Object, conversation: Conversation, facts: Facts, ledger: Ledger) -> None:
    """The top-level fields that only OpenAI has: taken along only where it is the same one."""
    kept = SHARED if facts.same_provider else frozenset()
    for key in kept & conversation.rest.keys():
        body[key] = conversation.rest[key]
    ledger.own_fields(kept)


def parameters_of(schema: Mapping[str, Json] | None) -> Json:
    """The schema of a tool's arguments. An object has to name its properties here and a list its items, which
    tools behind MCP often leave out.
    """
    return _completed({"type": "object", **(schema or {})})


def _completed(schema: Json) -> Json:
    if type(schema) is not dict:
        return [_completed(each) for each in schema] if type(schema) is list else schema
    kind = schema.get("type")
    if kind in _PLAIN:  # most are
        return schema
    said = dict(schema)
    for key, inner in schema.items():
        if type(inner) is dict and key in _NAMED:
            said[key] = {name: _completed(each) for name, each in inner.items()}
        elif key in _SCHEMAS:
            said[key] = _completed(inner)
    for one, place in _DEMANDED.items():
        if kind == one or (type(kind) is list and one in kind):
            said.setdefault(place, {})
    return said


def detail_of(part: MediaPart, ledger: Ledger) -> Object:
    """How closely a picture is to be looked at, as each of OpenAI's dialects has it; all else is lost."""
    rest = dict(part.rest)
    said = [rest.pop(name) for name in ("detail", "image_url.detail") if name in rest]
    ledger.rest(rest, part.at)
    return {"detail": said[0]} if said else {}


def written_out(part: MediaPart, ledger: Ledger) -> str | None:
    """A document that is a text, as that: only PDFs are documents everywhere here. None: it is none."""
    text = text_of(part)
    if text is not None:
        ledger.lose(part.at, "merged")
        if part.name:
            ledger.lose(part.name_at)
    return text


def pictured(part: MediaPart, ledger: Ledger) -> str:
    """The address of an image."""
    if part.type and part.type not in IMAGES:
        ledger.refuse(part.at, f"it takes no {part.type}")
    if part.name:
        ledger.lose(part.name_at)
    return part.url or data_of(part, "image/png")


def data_of(part: MediaPart, usual: str) -> str:
    return f"data:{part.type or usual};base64,{part.data}"


def only_users(turn: Turn, part: MediaPart, ledger: Ledger) -> None:
    """Media that the model made, or that an instruction holds, can be shown by no other turn."""
    if turn.role is not Role.USER:
        ledger.refuse(part.at, f"{part.kind} outside of a user's turn")


def sampled(body: Object, conversation: Conversation, facts: Facts, ledger: Ledger, *names: str) -> None:
    """Sampling parameters by the same name here; those that it does not have are lost."""
    sampling = conversation.sampling
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "top_k"):
        value: Json = getattr(sampling, name)
        if value is None:
            continue
        if name not in names or (facts.sampling is False and name != "seed"):
            if value != 0 or name in {"temperature", "top_p", "seed"}:
                ledger.lose_field(f"sampling.{name}")
        else:
            body[name] = value


def limited(
    body: Object, name: str, conversation: Conversation, facts: Facts, ledger: Ledger, least: int = 1
) -> None:
    """The output limit, within what the model has."""
    wanted = conversation.sampling.max_output
    if wanted is None:
        return
    most = facts.max_output or max(wanted, least)
    body[name] = min(max(wanted, least), most)
    if body[name] != wanted:
        ledger.lose_field("sampling.max_output", "clamped")
