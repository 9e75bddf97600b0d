"""Gemini's generateContent in the hub: its requests read, and who writes and speaks it.

The path says the model, and whether the answer is streamed. Every name may be written in either
case, so what a field is called in the source is noted while it is read.

Calls have no ids here, as a rule. A result then belongs to the oldest call of its name that has
none yet; that is looked up while reading, so that a client may give ids, or some, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from urllib.parse import unquote

from msgspec.structs import replace

from sidecar.dialects.base import BadBody
from sidecar.hub.base import Facts, Written
from sidecar.hub.conversation import (
    NOTHING,
    Choice,
    Conversation,
    Effort,
    Format,
    Json,
    MediaKind,
    MediaPart,
    OwnPart,
    Part,
    Rest,
    Role,
    Sampling,
    Shape,
    TextPart,
    Thinking,
    ThoughtPart,
    Tool,
    ToolResultPart,
    ToolUsePart,
    Turn,
    goes_on,
)
from sidecar.hub.gemini_schema import as_json_schema
from sidecar.hub.gemini_voice import GeminiVoice
from sidecar.hub.gemini_writing import write
from sidecar.hub.reading import Fields, Object, Places, address_type, document
from sidecar.hub.writing import encode

_PATH = re.compile(r"/(?P<kind>models|tunedModels|endpoints)/(?P<model>[^/:]+?)(?::|%3[aA])(?P<verb>\w+)$")
_UNCHOSEN: tuple[Choice | None, str, tuple[str, ...]] = (None, "", ())
_MODES = {"AUTO": Choice.AUTO, "NONE": Choice.NONE, "ANY": Choice.REQUIRED}
ASSISTANT = Role.ASSISTANT  # looking it up costs more than comparing it
_WORDS = ("output", "result", "error")  # for what a function said; the last for its failure
_ROLES = {"user": Role.USER, "model": Role.ASSISTANT, "function": Role.USER, "tool": Role.USER, "": Role.USER}
_PLACES, _PARTS = Places("contents"), Places(".parts")
_KINDS = {"image": MediaKind.IMAGE, "audio": MediaKind.AUDIO, "video": MediaKind.VIDEO}
_SAMPLING = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "stop": "stopSequences", "seed": "seed",
    "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
    "choices": "candidateCount", "max_output": "maxOutputTokens",
}  # fmt: skip


class Gemini:
    """Implements base.Tongue."""

    name = "gemini"

    def read(self, path: str, body: bytes) -> Conversation:
        found = _PATH.search(path)
        if found is None:
            raise BadBody("the path names no model and no method")
        model = unquote(found["model"])
        top = Fields(document(body), "")
        config = top.inner("generationConfig")
        names, form, thinking, sampling = _configured(config) if config.fields else _BARE
        choice, named, allowed = _UNCHOSEN
        if "toolConfig" in top.fields or "tool_config" in top.fields:
            names = {**names, "choice": top.at("toolConfig")}
            choice, named, allowed = _choice(top)
        tools = tuple(_tools(top))
        waiting: dict[str, list[str]] = {}
        turns = (*_system(top), *_turns(top, waiting))
        return Conversation(
            model=model if found["kind"] == "models" else f"{found['kind']}/{model}",
            stream=found["verb"] == "streamGenerateContent",
            stream_usage=True,
            tools=tools,
            choice=choice,
            named=named,
            allowed=allowed,
            format=form,
            thinking=thinking,
            sampling=sampling,
            turns=turns,
            called=frozenset(waiting),
            continues=goes_on(turns),
            rest={**config.rest(), **top.rest()},
            names=names,
        )

    def write(self, conversation: Conversation, facts: Facts) -> Written:
        return write(conversation, facts)

    def voice(self, conversation: Conversation, *, ident: str, created: int) -> GeminiVoice:
        return GeminiVoice(
            ident=ident, model=conversation.model, thoughts=conversation.thinking.shown is True
        )


def _configured(config: Fields) -> tuple[Mapping[str, str], Format, Thinking, Sampling]:
    """What the configuration says, and what its fields are called there."""
    names = {f"sampling.{ours}": config.at(theirs) for ours, theirs in _SAMPLING.items()}
    forms = ("responseJsonSchema", "_responseJsonSchema", "responseSchema", "responseMimeType")
    names["format"] = config.at(next((form for form in forms if config.peek(form)), forms[-1]))
    names["thinking"] = config.at("thinkingConfig")
    names["choice"] = "toolConfig"
    form, thinking = _format(config), _thinking(config)
    sampling = Sampling(
        temperature=config.take("temperature", float),
        top_p=config.take("topP", float),
        top_k=config.whole("topK"),
        stop=config.strings("stopSequences"),
        seed=config.whole("seed"),
        presence_penalty=config.take("presencePenalty", float),
        frequency_penalty=config.take("frequencyPenalty", float),
        choices=config.whole("candidateCount"),
        max_output=config.whole("maxOutputTokens"),
    )
    return names, form, thinking, sampling


def _format(config: Fields) -> Format:
    kind = config.peek("responseMimeType")
    if kind == "text/plain":
        config.drop("responseMimeType")
        return Format()
    if kind != "application/json":
        return Format()  # another type stays where it is, and is told
    config.drop("responseMimeType")
    for name in ("responseJsonSchema", "_responseJsonSchema"):
        schema = config.take(name, dict)
        if schema is not None:
            return Format(Shape.SCHEMA, schema=schema)
    schema = config.peek("responseSchema")
    if isinstance(schema, dict):
        known = as_json_schema(schema)
        if known is not None:
            config.drop("responseSchema")
            return Format(Shape.SCHEMA, schema=known)
    return Format(Shape.JSON)


def _thinking(config: Fields) -> Thinking:
    said = config.inner("thinkingConfig")
    level = said.peek("thinkingLevel")
    effort = None
    if isinstance(level, str) and level.lower() in set(Effort):
        said.drop("thinkingLevel")
        effort = Effort(level.lower())
    thinking = Thinking(
        effort=effort, budget=said.whole("thinkingBudget"), shown=said.take("includeThoughts", bool)
    )
    config.put_back(said)
    return thinking


def _choice(top: Fields) -> tuple[Choice | None, str, tuple[str, ...]]:
    config = top.inner("toolConfig")
    calling = config.inner("functionCallingConfig")
    mode = calling.peek("mode")
    choice = _MODES.get(mode.upper()) if isinstance(mode, str) else None
    names: tuple[str, ...] = ()
    if choice is not None:
        calling.drop("mode")
        if choice is Choice.REQUIRED:
            names = calling.strings("allowedFunctionNames")
    config.put_back(calling)
    top.put_back(config)
    return (Choice.NAMED, names[0], ()) if len(names) == 1 else (choice, "", names)


def _tools(top: Fields) -> Iterable[Tool]:
    for at, said in top.each("tools"):
        tool = Fields(said, at)
        for place, declared in tool.each("functionDeclarations"):
            yield _tool(Fields(declared, place))
        if tool.fields:  # what the provider runs itself
            yield Tool(name="", rest=tool.fields, at=tool.path)


def _tool(said: Fields) -> Tool:
    schema = said.take("parametersJsonSchema", dict)
    if schema is None:
        older = said.peek("parameters")
        schema = as_json_schema(older) if isinstance(older, dict) else None
        if schema is not None:
            said.drop("parameters")
    return Tool(
        name=said.take("name", str) or "",
        description=said.take("description", str) or "",
        schema=schema,
        rest=said.fields,
        at=said.path,
    )


def _system(top: Fields) -> Iterable[Turn]:
    place = top.at("systemInstruction")
    said = top.peek("systemInstruction")
    if isinstance(said, str):
        top.drop("systemInstruction")
        yield Turn(Role.SYSTEM, (TextPart(said, at=place),), at=place)
    elif isinstance(said, dict):
        content = top.inner("systemInstruction")
        content.take("role", str)  # it says nothing here
        yield Turn(Role.SYSTEM, tuple(_parts(content, {})), rest=content.fields, at=place)


def _turns(top: Fields, waiting: dict[str, list[str]]) -> list[Turn]:
    """`waiting`: by the name of each function that was called, the ids of the calls without a result."""
    turns: list[Turn] = []
    last: Role | None = None
    neighbours = False
    alone = type(top.peek("contents")) is dict
    for at, said in top.each("contents") if alone else _PLACES.of(top.objects("contents")):
        role = _ROLES.get(name) if type(name := said.get("role")) is str else None
        if role is ASSISTANT:
            if last is ASSISTANT:
                neighbours = True
            else:
                for idents in waiting.values():
                    idents.clear()
        last = role
        parts = said.get("parts")
        if role is not None and len(said) == 2 and type(parts) is list and parts:
            told = []
            for number, part in enumerate(parts):
                if type(part) is not dict:
                    break  # all of them stay where they are, and are told
                told.append(_plain(part, waiting, at + _PARTS[number]))
            else:
                turns.append(Turn(role, tuple(told), "", NOTHING, at))
                continue
        content = Fields(said, at)
        known = _ROLES.get(str(content.take("role", str) or ""))
        if known is None:
            raise BadBody(f'{content.path}.role is neither "user" nor "model"')
        turns.append(Turn(known, tuple(_parts(content, waiting)), rest=content.fields, at=content.path))
    return _joined(turns) if neighbours else turns


def _joined(turns: list[Turn]) -> list[Turn]:
    """The model's neighbours as one turn: of a stream Google's SDK keeps every chunk as a content."""
    joined: list[Turn] = []
    for role, group in groupby(turns, attrgetter("role")):
        said = [*group]
        if role is not ASSISTANT or len(said) == 1:
            joined += said
            continue
        rest = {f"{turn.at}.{key}": value for turn in said for key, value in turn.rest.items()}
        parts = tuple([part for turn in said for part in turn.parts])
        joined.append(Turn(ASSISTANT, parts, "", rest or NOTHING))
    return joined


def _parts(content: Fields, waiting: dict[str, list[str]]) -> Iterable[Part]:
    for at, said in content.each("parts"):
        yield _part(Fields(said, at), waiting)


def _plain(part: Object, waiting: dict[str, list[str]], at: str) -> Part:
    """A part with nothing in it but what most have: histories are long, and this is all they cost."""
    if len(part) == 1:
        text = part.get("text")
        if type(text) is str:
            return TextPart(text, NOTHING, at)
        call = part.get("functionCall")
        said = part.get("functionResponse") if call is None else call
        if type(said) is dict:
            ident, name = said.get("id", ""), said.get("name")
            inner = said.get("response" if call is None else "args")
            usual = len(said) == (3 if ident else 2) and type(inner) is dict
            if usual and type(name) is str and type(ident) is str:
                if call is None:
                    return _answered(ident, name, inner, waiting, at)
                waiting.setdefault(name, []).append(ident)
                return ToolUsePart(ident, name, encode(inner).decode(), NOTHING, at, inner)
    return _part(Fields(part, at), waiting)


def _part(part: Fields, waiting: dict[str, list[str]]) -> Part:
    if isinstance(part.peek("text"), str):
        text = part.take("text", str) or ""
        if part.take("thought", bool):
            return ThoughtPart(text, sealed=part.fields, at=part.path)
        return TextPart(text, rest=part.fields, at=part.path)
    if isinstance(part.peek("functionCall"), dict):
        call = part.inner("functionCall")
        ident, name = call.take("id", str) or "", call.take("name", str) or ""
        arguments = call.peek("args")
        call.drop("args")
        waiting.setdefault(name, []).append(ident)
        text = encode(arguments or {}).decode()
        return ToolUsePart(ident, name, text, rest={**call.rest(), **part.fields}, at=part.path)
    if isinstance(part.peek("functionResponse"), dict):
        return _result(part, waiting)
    for field, address in (("inlineData", False), ("fileData", True)):
        if isinstance(part.peek(field), dict):
            return _media(part, field, address=address)
    return OwnPart(next(iter(part.fields), "part"), part.fields, at=part.path)


def _result(part: Fields, waiting: dict[str, list[str]]) -> Part:
    said = part.inner("functionResponse")
    ident, name = said.take("id", str) or "", said.take("name", str) or ""
    response = said.peek("response")
    said.drop("response")
    plain = _answered(ident, name, response, waiting, part.path)
    media = [_part(Fields(inner, at), {}) for at, inner in said.each("parts")]
    if not all(isinstance(each, MediaPart) for each in media):
        return OwnPart("functionResponse", said.fields, at=part.path)
    shown = [each for each in media if isinstance(each, MediaPart)]
    return replace(plain, parts=(*plain.parts, *shown), rest={**said.rest(), **part.fields})


def _answered(
    ident: str, name: str, response: Json, waiting: dict[str, list[str]], at: str
) -> ToolResultPart:
    unanswered = waiting.get(name)
    if unanswered:
        if ident in unanswered:
            unanswered.remove(ident)
        else:  # one of the two sides has no id: by order
            ident = unanswered.pop(0)
    error = False
    if response is None:
        response = {}
    elif type(response) is dict and len(response) == 1:
        for word in _WORDS:
            if word in response:
                error, response = word == "error", response[word]
                break
    text = response if type(response) is str else encode(response).decode()
    return ToolResultPart(ident, name, (TextPart(text, NOTHING, at),), error, NOTHING, at)


def _media(part: Fields, field: str, *, address: bool) -> Part:
    said = part.inner(field)
    kind = (said.take("mimeType", str) or "").lower()
    name_at = said.at("displayName")
    name = said.take("displayName", str) or ""
    form = _KINDS.get(kind.partition("/")[0], MediaKind.DOCUMENT)
    rest: Rest = {**said.rest(), **part.fields}
    if not address:
        data = said.take("data", str) or ""
        return MediaPart(
            form, kind, data=data, name=name, name_at=name_at, rest=_without(rest, "data"), at=part.path
        )
    uri = said.take("fileUri", str) or ""
    kind = kind or address_type(uri)  # it may be left out
    form = _KINDS.get(kind.partition("/")[0], MediaKind.DOCUMENT)
    rest = _without(rest, "fileUri", "file_uri")
    if uri.startswith("https://") and "generativelanguage.googleapis.com" not in uri:
        return MediaPart(form, kind, url=uri, name=name, name_at=name_at, rest=rest, at=part.path)
    return MediaPart(form, kind, file=uri, name=name, name_at=name_at, rest=rest, at=part.path)


def _without(rest: Rest, *names: str) -> Object:
    return {key: value for key, value in rest.items() if key.rpartition(".")[2] not in names}


_BARE = _configured(Fields({}, "generationConfig"))  # of a request without one
GEMINI = Gemini()
