"""OpenAI chat completions in the hub: its requests read and written, its answers said.

What only this dialect has stays in `rest` under its own name (`logit_bias`, `logprobs`, `metadata`,
`store`, `prediction`, audio output): a writer of another dialect names it as lost or refuses.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.hub.base import Facts, Written
from sidecar.hub.conversation import (
    Choice,
    Conversation,
    Effort,
    Format,
    Json,
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
from sidecar.hub.reading import Object, data_url, document, objects, strings, take, text_json
from sidecar.hub.writing import Ledger, encode

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
    "thinking": "reasoning_effort",
    "user": "user",
    "tools": "tools",
}
_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_CHOICES = {"auto": Choice.AUTO, "none": Choice.NONE, "required": Choice.REQUIRED}
MOST_STOPS = 4  # of OpenAI's own reference


class OpenAIChat:
    """Implements base.Tongue."""

    name = "openai_chat"

    def read(self, path: str, body: bytes) -> Conversation:
        fields = document(body)
        choice, named = _choice(fields)
        output = take(fields, "max_completion_tokens", int)
        older = take(fields, "max_tokens", int)
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
            turns=tuple(_turns(objects(fields, "messages"))),
            rest={key: value for key, value in fields.items() if value is not None},
            names=NAMES if output is not None else {**NAMES, "sampling.max_output": "max_tokens"},
        )

    def write(self, conversation: Conversation, facts: Facts) -> Written:
        ledger = Ledger(conversation)
        body: Object = {"model": conversation.model, "messages": _messages(conversation, ledger)}
        if conversation.tools:
            body["tools"] = [_tool(tool, ledger) for tool in conversation.tools]
        if conversation.choice is Choice.NAMED:
            body["tool_choice"] = {"type": "function", "function": {"name": conversation.named}}
        elif conversation.choice is not None:
            body["tool_choice"] = conversation.choice.value
        if conversation.parallel is not None and conversation.tools:
            body["parallel_tool_calls"] = conversation.parallel
        if conversation.format.shape is not Shape.TEXT:
            body["response_format"] = _response_format(conversation.format)
        _sampling(body, conversation, facts, ledger)
        if conversation.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}  # the client's dialect may need the figures
        if conversation.user:
            body["user"] = conversation.user
        ledger.own_fields()
        return Written("/chat/completions", "", encode(body), ledger.losses)

    def voice(self, conversation: Conversation, *, ident: str, created: int) -> ChatVoice:
        return ChatVoice(
            ident=ident, created=created, model=conversation.model, usage=conversation.stream_usage
        )


# ---- reading -------------------------------------------------------------------------------


def _choice(fields: Object) -> tuple[Choice | None, str]:
    said = fields.get("tool_choice")
    if isinstance(said, str) and said in _CHOICES:
        fields.pop("tool_choice")
        return _CHOICES[said], ""
    if isinstance(said, dict) and said.get("type") == "function" and isinstance(said.get("function"), dict):
        name = said["function"].get("name")
        if isinstance(name, str):
            fields.pop("tool_choice")
            return Choice.NAMED, name
    return None, ""


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
            rest={k: v for k, v in function.items() if v is not None},
            at=at,
        )


def _format(fields: Object) -> Format:
    said = fields.get("response_format")
    if not isinstance(said, dict):
        return Format()
    kind = said.get("type")
    if kind == "text":
        fields.pop("response_format")
    elif kind == "json_object":
        fields.pop("response_format")
        return Format(Shape.JSON)
    elif kind == "json_schema" and isinstance(said.get("json_schema"), dict):
        fields.pop("response_format")
        form: Object = said["json_schema"]
        return Format(
            Shape.SCHEMA,
            schema=take(form, "schema", dict) or {},
            name=take(form, "name", str) or "",
            description=take(form, "description", str) or "",
            strict=take(form, "strict", bool),
        )
    return Format()


def _thinking(fields: Object) -> Thinking:
    said = fields.get("reasoning_effort")
    if isinstance(said, str) and said in set(Effort):
        fields.pop("reasoning_effort")
        return Thinking(effort=Effort(said))
    return Thinking()


def _turns(messages: list[Object]) -> Iterable[Turn]:
    names: dict[str, str] = {}  # of the calls so far, by id: other dialects want the name with the result
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        role = take(message, "role", str) or "user"
        name = take(message, "name", str) or ""
        if role in {"tool", "function"}:
            ident = take(message, "tool_call_id", str) or ""
            parts = tuple(p for p in _content(message, at) if isinstance(p, (TextPart, MediaPart)))
            result = ToolResultPart(ident, names.get(ident, name), parts, at=at)
            yield Turn(Role.USER, (result,), rest=message, at=at)
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
            part = _call(call, f"{at}.tool_calls[{number}]")
            if isinstance(part, ToolUsePart):
                names[part.id] = part.name
            said.append(part)
        known = _ROLES.get(role)
        if known is None:
            said = [OwnPart(role, message, at=at)]
        yield Turn(known or Role.USER, tuple(said), name=name, rest=message if known else {}, at=at)


def _call(call: Object, at: str) -> Part:
    function = call.get("function")
    if not isinstance(function, dict):
        return OwnPart(str(call.get("type", "")), call, at=at)
    return ToolUsePart(
        take(call, "id", str) or "",
        take(function, "name", str) or "",
        text_json(function.get("arguments") or "{}"),
        at=at,
    )


def _content(message: Object, at: str) -> list[Part]:
    text = take(message, "content", str)
    if text is not None:
        return [TextPart(text, at=f"{at}.content")]
    return [_part(part, f"{at}.content[{number}]") for number, part in enumerate(objects(message, "content"))]


def _part(part: Object, at: str) -> Part:
    kind = part.get("type")
    inner = part.get(str(kind))
    if kind in {"text", "input_text"} and isinstance(part.get("text"), str):
        return TextPart(part["text"], rest=_others(part, "type", "text"), at=at)
    if kind == "refusal" and isinstance(inner, str):
        return RefusalPart(inner, at=at)
    if kind == "image_url" and isinstance(inner, dict) and isinstance(inner.get("url"), str):
        return _media(MediaKind.IMAGE, inner["url"], _others(inner, "url"), at)
    if kind == "input_audio" and isinstance(inner, dict) and isinstance(inner.get("data"), str):
        form = str(inner.get("format"))
        return MediaPart(MediaKind.AUDIO, _AUDIO.get(form, f"audio/{form}"), data=inner["data"], at=at)
    if kind == "file" and isinstance(inner, dict):
        name = str(inner.get("filename") or "")
        if isinstance(inner.get("file_data"), str):
            media = _media(MediaKind.DOCUMENT, inner["file_data"], {}, at)
            return MediaPart(media.kind, media.type, media.data, media.url, name=name, at=at)
        if isinstance(inner.get("file_id"), str):
            return MediaPart(MediaKind.DOCUMENT, file=inner["file_id"], name=name, at=at)
    return OwnPart(str(kind), part, at=at)


def _media(kind: MediaKind, url: str, rest: Rest, at: str) -> MediaPart:
    held = data_url(url)
    if held is None:
        return MediaPart(kind, url=url, rest=rest, at=at)
    return MediaPart(kind, held[0], data=held[1], rest=rest, at=at)


def _others(fields: Object, *taken: str) -> Object:
    return {key: value for key, value in fields.items() if key not in taken and value is not None}


# ---- writing -------------------------------------------------------------------------------


def _messages(conversation: Conversation, ledger: Ledger) -> list[Object]:
    messages: list[Object] = []
    for turn in conversation.turns:
        ledger.rest(turn.rest, turn.at)
        message: Object = {"role": turn.role.value}
        if turn.name:
            message["name"] = turn.name
        content: list[Object] = []
        calls: list[Object] = []
        for part in turn.parts:
            match part:
                case TextPart(text=text):
                    ledger.rest(part.rest, part.at)
                    content.append({"type": "text", "text": text})
                case MediaPart():
                    content.append(_media_part(part, ledger))
                case ToolUsePart():
                    function = {"name": part.name, "arguments": part.arguments}
                    calls.append({"id": ledger.id_of(part), "type": "function", "function": function})
                case ToolResultPart():
                    messages.append(_result(part, ledger))
                case ThoughtPart():
                    ledger.lose(part.at)
                case RefusalPart(text=text):
                    content.append({"type": "refusal", "refusal": text})
                case OwnPart():
                    ledger.refuse(part.at, f'no other dialect has "{part.name}"')
        if not content and not calls and any(isinstance(p, ToolResultPart) for p in turn.parts):
            continue
        if turn.role is Role.ASSISTANT and turn.parts and not content and not calls:
            continue  # thoughts only
        message["content"] = _alone(content) or (None if calls else "")
        if calls:
            message["tool_calls"] = calls
        messages.append(message)
    return messages


def _alone(content: list[Object]) -> Json:
    """A text alone is said as a string, which every server of this dialect takes."""
    return content[0]["text"] if [part["type"] for part in content] == ["text"] else content


def _media_part(part: MediaPart, ledger: Ledger) -> Object:
    if part.file:
        ledger.refuse(part.at, "a file that only its own provider holds")
    if part.kind is MediaKind.IMAGE:
        rest = {k: v for k, v in part.rest.items() if k != "detail"}
        ledger.rest(rest, part.at)
        url = part.url or f"data:{part.type or 'image/png'};base64,{part.data}"
        detail = {"detail": part.rest["detail"]} if "detail" in part.rest else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}
    ledger.rest(part.rest, part.at)
    if part.kind is MediaKind.AUDIO and part.data:
        form = next((name for name, kind in _AUDIO.items() if kind == part.type), None)
        if form is None:
            ledger.refuse(part.at, f"audio of type {part.type or 'unknown'}; only wav and mp3 are taken")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}
    if part.kind is MediaKind.DOCUMENT and part.data:
        file = {
            "filename": part.name or "document.pdf",
            "file_data": f"data:{part.type or 'application/pdf'};base64,{part.data}",
        }
        return {"type": "file", "file": file}
    ledger.refuse(part.at, f"{part.kind} by address")
    raise AssertionError


def _result(part: ToolResultPart, ledger: Ledger) -> Object:
    ledger.rest(part.rest, part.at)
    texts = []
    for inner in part.parts:
        if isinstance(inner, MediaPart):
            ledger.refuse(inner.at or part.at, "a tool's result holds text only")
        ledger.rest(inner.rest, inner.at)
        texts.append(inner)
    said: Json = [{"type": "text", "text": inner.text} for inner in texts]
    if len(said) <= 1:
        said = said[0]["text"] if said else ""
    if part.error:
        ledger.lose(f"{part.at}.is_error", "merged")
        said = f"Error: {said}" if isinstance(said, str) else [{"type": "text", "text": "Error:"}, *said]
    return {"role": "tool", "tool_call_id": ledger.id_for(part), "content": said}


def _tool(tool: Tool, ledger: Ledger) -> Object:
    if not tool.name:
        ledger.refuse(tool.at, "a tool that only its own provider runs")
    ledger.rest(tool.rest, tool.at)
    function: Object = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _response_format(form: Format) -> Object:
    if form.shape is Shape.JSON:
        return {"type": "json_object"}
    schema: Object = {"name": form.name or "answer", "schema": form.schema or {}}
    if form.description:
        schema["description"] = form.description
    if form.strict is not None:
        schema["strict"] = form.strict
    return {"type": "json_schema", "json_schema": schema}


def _sampling(body: Object, conversation: Conversation, facts: Facts, ledger: Ledger) -> None:
    sampling = conversation.sampling
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        value = getattr(sampling, name)
        if value is not None:
            if facts.sampling is False:
                ledger.lose_field(f"sampling.{name}")
            else:
                body[name] = value
    if sampling.top_k is not None:
        ledger.lose_field("sampling.top_k")
    if sampling.stop:
        body["stop"] = list(sampling.stop[:MOST_STOPS])
        if len(sampling.stop) > MOST_STOPS:
            ledger.lose_field("sampling.stop", "clamped")
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.choices not in {None, 1}:
        body["n"] = sampling.choices
    if sampling.max_output is not None:
        most = facts.max_output
        if most is not None and sampling.max_output > most:
            ledger.lose_field("sampling.max_output", "clamped")
        body["max_completion_tokens"] = min(sampling.max_output, most or sampling.max_output)
    effort = ledger.effort()
    if effort is not None and facts.thinking is not False:
        body["reasoning_effort"] = effort.value
    elif effort is not None:
        ledger.lose_field("thinking")


OPENAI_CHAT = OpenAIChat()
