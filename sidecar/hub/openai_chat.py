"""OpenAI chat completions in the hub: its requests read and written, its answers said.

What only this dialect has stays in `rest` under its own name (`logit_bias`, `logprobs`, `metadata`,
`store`, `prediction`, audio output): a writer of another dialect names it as lost or refuses.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.hub.base import Facts, Written
from sidecar.hub.conversation import (
    NOTHING,
    Choice,
    Conversation,
    Effort,
    Format,
    MediaKind,
    MediaPart,
    OwnPart,
    Part,
    RefusalPart,
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
)
from sidecar.hub.openai_chat_voice import ChatVoice
from sidecar.hub.openai_chat_writing import AUDIO, write
from sidecar.hub.reading import (
    MESSAGES,
    PLACE,
    Object,
    allowed_tools,
    data_url,
    document,
    leave,
    objects,
    others,
    strings,
    take,
    text_json,
)

NAMES = {
    "sampling.max_output": "max_completion_tokens",
    "sampling.choices": "n",
    "sampling.stop": "stop",
    "sampling.temperature": "temperature",
    "sampling.top_p": "top_p",
    "sampling.top_k": "top_k",
    "sampling.seed": "seed",
    "sampling.presence_penalty": "presence_penalty",
    "sampling.frequency_penalty": "frequency_penalty",
    "choice": "tool_choice",
    "parallel": "parallel_tool_calls",
    "format": "response_format",
    "format.name": "response_format.json_schema.name",
    "format.description": "response_format.json_schema.description",
    "thinking": "reasoning_effort",
    "user": "user",
    "tools": "tools",
}
USER, ASSISTANT = Role.USER, Role.ASSISTANT  # looking a member up costs more than what is done with it
_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": USER, "assistant": ASSISTANT}
_CHOICES = {"auto": Choice.AUTO, "none": Choice.NONE, "required": Choice.REQUIRED}


class OpenAIChat:
    """Implements base.Tongue."""

    name = "openai_chat"

    def read(self, path: str, body: bytes) -> Conversation:
        fields = document(body)
        names: dict[str, str] = {}
        choice, named, allowed = _choice(fields)
        output = take(fields, "max_completion_tokens", int)
        older = take(fields, "max_tokens", int) if output is None else None  # two limits: one stays, told
        options = fields.get("stream_options")
        wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        if isinstance(options, dict) and set(options) <= {"include_usage", "include_obfuscation"}:
            fields.pop("stream_options")
        return Conversation(
            model=take(fields, "model", str) or "",
            stream=bool(take(fields, "stream", bool)),
            stream_usage=wants_usage,
            tools=tuple(_tools(fields)),
            choice=choice,
            named=named,
            allowed=allowed,
            parallel=take(fields, "parallel_tool_calls", bool),
            format=_format(fields),
            thinking=_thinking(fields),
            sampling=Sampling(
                temperature=take(fields, "temperature", float),
                top_p=take(fields, "top_p", float),
                top_k=take(fields, "top_k", int),  # not OpenAI's, but of many who speak this
                stop=strings(fields, "stop"),
                seed=take(fields, "seed", int),
                presence_penalty=take(fields, "presence_penalty", float),
                frequency_penalty=take(fields, "frequency_penalty", float),
                choices=take(fields, "n", int),
                max_output=older if output is None else output,
            ),
            user=take(fields, "user", str) or "",
            turns=tuple(_turns(objects(fields, "messages"), names)),
            called=frozenset(names.values()),
            rest={key: value for key, value in fields.items() if value is not None},
            names=NAMES if output is not None else {**NAMES, "sampling.max_output": "max_tokens"},
        )

    def write(self, conversation: Conversation, facts: Facts) -> Written:
        return write(conversation, facts)

    def voice(self, conversation: Conversation, *, ident: str, created: int) -> ChatVoice:
        return ChatVoice(
            ident=ident,
            created=created,
            model=conversation.model,
            usage=conversation.stream_usage or not conversation.stream,
        )


# ---- reading -------------------------------------------------------------------------------


def _choice(fields: Object) -> tuple[Choice | None, str, tuple[str, ...]]:
    said = fields.get("tool_choice")
    if isinstance(said, str) and said in _CHOICES:
        fields.pop("tool_choice")
        return _CHOICES[said], "", ()
    if not isinstance(said, dict):
        return None, "", ()
    several = said.get("allowed_tools")
    if isinstance(several, dict) and (allowed := allowed_tools(several)):
        fields.pop("tool_choice")
        return _CHOICES[several["mode"]], "", allowed
    if said.get("type") == "function" and isinstance(said.get("function"), dict):
        name = said["function"].get("name")
        if isinstance(name, str):
            fields.pop("tool_choice")
            leave(fields, "tool_choice", said, "type", "function")
            leave(fields, "tool_choice.function", said["function"], "name")
            return Choice.NAMED, name, ()
    return None, "", ()


def _tools(fields: Object) -> Iterable[Tool]:
    for index, said in enumerate(objects(fields, "tools")):
        at = f"tools[{index}]"
        function = said.get("function")
        if said.get("type", "function") != "function" or not isinstance(function, dict):
            yield Tool(
                name="", rest=said, at=at
            )  # a server's or a custom tool: only its own dialect knows it
            continue
        yield Tool(
            name=take(function, "name", str) or "",
            description=take(function, "description", str) or "",
            schema=take(function, "parameters", dict),
            strict=take(function, "strict", bool),
            rest={**others(said, "type", "function"), **{f"function.{k}": v for k, v in function.items()}},
            at=at,
        )


def _format(fields: Object) -> Format:
    said = fields.get("response_format")
    if not isinstance(said, dict):
        return Format()
    kind = said.get("type")
    if kind == "text":
        fields.pop("response_format")
        leave(fields, "response_format", said, "type")
    elif kind == "json_object":
        fields.pop("response_format")
        leave(fields, "response_format", said, "type")
        return Format(Shape.JSON)
    elif kind == "json_schema" and isinstance(said.get("json_schema"), dict):
        fields.pop("response_format")
        form: Object = said["json_schema"]
        wanted = Format(
            Shape.SCHEMA,
            schema=take(form, "schema", dict) or {},
            name=take(form, "name", str) or "",
            description=take(form, "description", str) or "",
            strict=take(form, "strict", bool),
        )
        leave(fields, "response_format", said, "type", "json_schema")
        leave(fields, "response_format.json_schema", form)
        return wanted
    return Format()


def _thinking(fields: Object) -> Thinking:
    said = fields.get("reasoning_effort")
    if isinstance(said, str) and said in set(Effort):
        fields.pop("reasoning_effort")
        return Thinking(effort=Effort(said))
    return Thinking()


def _turns(messages: list[Object], names: dict[str, str]) -> Iterable[Turn]:
    """`names`: of the calls so far, by id: other dialects want the name with the result."""
    for at, message in MESSAGES.of(messages):
        plain = _plain(message, names, at)
        if plain is not None:
            yield plain
            continue
        role = take(message, "role", str) or "user"
        name = take(message, "name", str) or ""
        if role in {"tool", "function"}:
            ident = take(message, "tool_call_id", str) or ""
            content = _content(message, at)
            parts = tuple(part for part in content if isinstance(part, (TextPart, MediaPart)))
            result: Part = ToolResultPart(ident, names.get(ident, name), parts, at=at)
            if len(parts) < len(content):
                result = OwnPart(role, content, at=at)
            yield Turn(USER, (result,), rest=message, at=at)
            continue
        said: list[Part] = []
        thought = take(message, "reasoning_content", str)
        if thought:
            said.append(ThoughtPart(thought, at=f"{at}.reasoning_content"))
        said += _content(message, at)
        refusal = take(message, "refusal", str)
        if refusal:
            said.append(RefusalPart(refusal, at=f"{at}.refusal"))
        for number, call in enumerate(objects(message, "tool_calls")):
            part = _call(call, f"{at}.tool_calls{PLACE[number]}")
            if isinstance(part, ToolUsePart) and part.id:
                names[part.id] = part.name
            said.append(part)
        older = message.pop("function_call", None)
        if older is not None:
            said.append(_call({"function": older}, f"{at}.function_call"))
        known = _ROLES.get(role)
        if known is None:
            said = [OwnPart(role, message, at=at)]
        yield Turn(known or USER, tuple(said), name=name, rest=message if known else {}, at=at)


def _plain(message: Object, names: dict[str, str], at: str) -> Turn | None:
    """A message with nothing in it but what most have: histories are long, and this is all they cost."""
    role, text, fields = message.get("role"), message.get("content"), len(message)
    if type(role) is not str:
        return None
    if type(text) is not str:
        if text is not None or role != "assistant" or fields != 3 or "content" not in message:
            return None
        said: tuple[Part, ...] = ()
    else:
        said = (TextPart(text, NOTHING, f"{at}.content"),)
        if fields == 2 and role in _ROLES:
            return Turn(_ROLES[role], said, "", NOTHING, at)
        if fields != 3:
            return None
        ident = message.get("tool_call_id")
        if role == "tool" and type(ident) is str:
            result = ToolResultPart(ident, names.get(ident, ""), said, False, NOTHING, at)
            return Turn(USER, (result,), "", NOTHING, at)
    calls = message.get("tool_calls")
    if role != "assistant" or type(calls) is not list:
        return None
    parts: list[Part] = [*said]
    for number, call in enumerate(calls):
        if type(call) is not dict:
            return None
        part = _call(call, f"{at}.tool_calls{PLACE[number]}")
        if type(part) is ToolUsePart and part.id:
            names[part.id] = part.name
        parts.append(part)
    return Turn(ASSISTANT, tuple(parts), "", NOTHING, at)


def _call(call: Object, at: str) -> Part:
    function = call.get("function")
    if type(function) is not dict:
        return OwnPart(str(call.get("type", "")), call, at=at)
    ident, name, given = call.get("id"), function.get("name"), function.get("arguments")
    usual = len(call) == 3 and "type" in call and len(function) == 2
    if usual and type(ident) is str and type(name) is str and type(given) is str and given:
        return ToolUsePart(ident, name, given, NOTHING, at)
    beside = others(function, "name", "arguments")
    return ToolUsePart(
        take(call, "id", str) or "",
        take(function, "name", str) or "",
        text_json(given or "{}"),
        rest={**others(call, "type", "function", "index"), **{f"function.{k}": v for k, v in beside.items()}},
        at=at,
    )


def _content(message: Object, at: str) -> list[Part]:
    text = take(message, "content", str)
    if text is not None:
        return [TextPart(text, at=f"{at}.content")]
    return [
        _part(part, f"{at}.content{PLACE[number]}") for number, part in enumerate(objects(message, "content"))
    ]


def _part(part: Object, at: str) -> Part:
    kind = str(part.get("type"))
    inner = part.get(kind)
    if kind in {"text", "input_text"} and isinstance(part.get("text"), str):
        return TextPart(part["text"], rest=others(part, "type", "text"), at=at)
    if kind == "refusal" and isinstance(inner, str):
        return RefusalPart(inner, at, others(part, "type", kind))
    beside = others(part, "type", kind)
    if kind == "image_url" and isinstance(inner, dict) and isinstance(inner.get("url"), str):
        return _media(MediaKind.IMAGE, inner["url"], {**_inner(inner, kind, "url"), **beside}, at)
    if kind == "input_audio" and isinstance(inner, dict) and isinstance(inner.get("data"), str):
        form = str(inner.get("format"))
        rest = {**_inner(inner, kind, "data", "format"), **beside}
        return MediaPart(
            MediaKind.AUDIO, AUDIO.get(form, f"audio/{form}"), data=inner["data"], rest=rest, at=at
        )
    if kind == "file" and isinstance(inner, dict):
        name, named = str(inner.get("filename") or ""), f"{at}.file.filename"
        beside |= _inner(inner, kind, "filename", "file_data", "file_id")
        if isinstance(inner.get("file_data"), str):
            kind, data = data_url(inner["file_data"]) or ("", inner["file_data"])  # base64 alone: of what?
            return MediaPart(MediaKind.DOCUMENT, kind, data, name=name, name_at=named, rest=beside, at=at)
        if isinstance(inner.get("file_id"), str):
            return MediaPart(
                MediaKind.DOCUMENT, file=inner["file_id"], name=name, name_at=named, rest=beside, at=at
            )
    return OwnPart(kind, part, at=at)


def _inner(fields: Object, name: str, *taken: str) -> Object:
    """What is left of an object in a part, by names that say where it stood."""
    return {f"{name}.{key}": value for key, value in others(fields, *taken).items()}


def _media(kind: MediaKind, url: str, rest: Rest, at: str) -> MediaPart:
    held = data_url(url)
    if held is None:
        return MediaPart(kind, url=url, rest=rest, at=at)
    if held[0] == "application/pdf":
        kind = MediaKind.DOCUMENT
    return MediaPart(kind, held[0], data=held[1], rest=rest, at=at)


OPENAI_CHAT = OpenAIChat()
