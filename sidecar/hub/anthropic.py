"""Anthropic messages in the hub: its requests read and written, its answers said.

Where this dialect is stricter than the others: turns alternate, so neighbours are merged; tool results
stand first in the user's turn; a token limit is demanded; one system prompt stands in front, so later
ones are hoisted (and told as such) unless the model takes them in place.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.dialects.base import BadBody
from sidecar.hub.anthropic_voice import AnthropicVoice
from sidecar.hub.base import Facts, Written
from sidecar.hub.conversation import (
    Choice,
    Conversation,
    Effort,
    Format,
    MediaKind,
    MediaPart,
    OwnPart,
    Part,
    RefusalPart,
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
from sidecar.hub.reading import Object, document, objects, strings, take, text_json
from sidecar.hub.writing import LEAST_BUDGET, Ledger, as_object, encode, merged

NAMES = {
    "sampling.max_output": "max_tokens",
    "sampling.stop": "stop_sequences",
    "sampling.temperature": "temperature",
    "sampling.top_p": "top_p",
    "sampling.top_k": "top_k",
    "choice": "tool_choice",
    "parallel": "tool_choice.disable_parallel_tool_use",
    "format": "output_config.format",
    "thinking": "thinking",
    "user": "metadata.user_id",
}
_CHOICES = {"auto": Choice.AUTO, "any": Choice.REQUIRED, "none": Choice.NONE}
_SAID = {choice: word for word, choice in _CHOICES.items()}
_KINDS = {"image": MediaKind.IMAGE, "document": MediaKind.DOCUMENT}
DEFAULT_OUTPUT = 8192  # tokens, where neither the client nor the catalogue names a limit
ANSWER = "answer"  # the tool that stands in for a schema
JSON_ONLY = "Answer with one JSON object and nothing else: no prose around it, no code fence."


class Anthropic:
    """Implements base.Tongue."""

    name = "anthropic"

    def read(self, path: str, body: bytes) -> Conversation:
        fields = document(body)
        choice, named, parallel = _choice(fields)
        config = take(fields, "output_config", dict) or {}
        thinking = _thinking(fields, config)
        form = _format(config)
        if config:
            fields["output_config"] = config
        metadata = take(fields, "metadata", dict) or {}
        user = take(metadata, "user_id", str) or ""
        if metadata:
            fields["metadata"] = metadata
        system = list(_system(fields))
        return Conversation(
            model=take(fields, "model", str) or "",
            stream=bool(take(fields, "stream", bool)),
            stream_usage=True,
            tools=tuple(_tools(fields)),
            choice=choice,
            named=named,
            parallel=parallel,
            format=form,
            thinking=thinking,
            sampling=Sampling(
                temperature=take(fields, "temperature", float),
                top_p=take(fields, "top_p", float),
                top_k=take(fields, "top_k", int),
                stop=strings(fields, "stop_sequences"),
                max_output=take(fields, "max_tokens", int),
            ),
            user=user,
            turns=(*system, *_turns(objects(fields, "messages"))),
            rest={key: value for key, value in fields.items() if value is not None},
            names=NAMES,
        )

    def write(self, conversation: Conversation, facts: Facts) -> Written:
        ledger = Ledger(conversation)
        sampling = conversation.sampling
        if sampling.choices is not None and sampling.choices > 1:
            ledger.refuse(
                conversation.named_as("sampling.choices"), "one answer is all that can be asked for"
            )
        system, messages = _messages(conversation, facts, ledger)
        limit = sampling.max_output or facts.max_output or DEFAULT_OUTPUT
        if facts.max_output is not None and limit > facts.max_output:
            limit = facts.max_output
            ledger.lose_field("sampling.max_output", "clamped")
        body: Object = {"model": conversation.model, "max_tokens": limit, "messages": messages}
        tools = [_tool(tool, ledger) for tool in conversation.tools]
        choice, emulated = _constrain(body, conversation, facts, tools, system, ledger)
        if system:
            body["system"] = merged(system)
        if tools:
            body["tools"] = tools
        if choice is not None:
            body["tool_choice"] = choice
        _sampling(
            body, conversation, facts, ledger, forced=choice is not None and choice["type"] in {"any", "tool"}
        )
        if conversation.stream:
            body["stream"] = True
        if conversation.user:
            body["metadata"] = {"user_id": conversation.user}
        ledger.own_fields()
        return Written("/messages", "", encode(body), ledger.losses, emulated)

    def voice(self, conversation: Conversation, *, ident: str, created: int) -> AnthropicVoice:
        return AnthropicVoice(ident=ident, model=conversation.model)


# ---- reading -------------------------------------------------------------------------------


def _choice(fields: Object) -> tuple[Choice | None, str, bool | None]:
    said = fields.get("tool_choice")
    if not isinstance(said, dict):
        return None, "", None
    single = said.get("disable_parallel_tool_use")
    parallel = not single if isinstance(single, bool) else None
    kind, name = said.get("type"), said.get("name")
    if kind == "tool" and isinstance(name, str):
        fields.pop("tool_choice")
        return Choice.NAMED, name, parallel
    if isinstance(kind, str) and kind in _CHOICES:
        fields.pop("tool_choice")
        return _CHOICES[kind], "", parallel
    return None, "", None


def _thinking(fields: Object, config: Object) -> Thinking:
    effort = config.get("effort")
    wanted = None
    if isinstance(effort, str) and effort in set(Effort):
        config.pop("effort")
        wanted = Effort(effort)
    said = fields.get("thinking")
    if isinstance(said, dict):
        kind, budget = said.get("type"), said.get("budget_tokens")
        if kind == "enabled" and isinstance(budget, int):
            fields.pop("thinking")
            return Thinking(effort=wanted, budget=budget, shown=True)
        if kind == "disabled":
            fields.pop("thinking")
            return Thinking(effort=Effort.NONE)
        if kind == "adaptive":
            fields.pop("thinking")
            return Thinking(effort=wanted or Effort.HIGH, shown=True)
    return Thinking(effort=wanted)


def _format(config: Object) -> Format:
    said = config.get("format")
    if isinstance(said, dict) and said.get("type") == "json_schema" and isinstance(said.get("schema"), dict):
        config.pop("format")
        return Format(Shape.SCHEMA, schema=said["schema"], strict=True)
    return Format()


def _system(fields: Object) -> Iterable[Turn]:
    text = take(fields, "system", str)
    if text is not None:
        yield Turn(Role.SYSTEM, (TextPart(text, at="system"),), at="system")
        return
    parts = tuple(_block(block, f"system[{n}]") for n, block in enumerate(objects(fields, "system")))
    if parts:
        yield Turn(Role.SYSTEM, parts, at="system")


def _tools(fields: Object) -> Iterable[Tool]:
    for index, said in enumerate(objects(fields, "tools")):
        at = f"tools[{index}]"
        if said.get("type", "custom") != "custom":
            yield Tool(name="", rest=said, at=at)  # a tool that the provider runs
            continue
        said.pop("type", None)
        yield Tool(
            name=take(said, "name", str) or "",
            description=take(said, "description", str) or "",
            schema=take(said, "input_schema", dict),
            strict=take(said, "strict", bool),
            rest={k: v for k, v in said.items() if v is not None},
            at=at,
        )


def _turns(messages: list[Object]) -> Iterable[Turn]:
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        role = take(message, "role", str)
        if role not in {"user", "assistant", "system"}:
            raise BadBody(f'{at}.role is neither "user" nor "assistant"')
        text = take(message, "content", str)
        if text is not None:
            parts: tuple[Part, ...] = (TextPart(text, at=f"{at}.content"),)
        else:
            blocks = objects(message, "content")
            parts = tuple(_block(block, f"{at}.content[{n}]", names) for n, block in enumerate(blocks))
        yield Turn(Role(role), parts, rest=message, at=at)


def _block(block: Object, at: str, names: dict[str, str] | None = None) -> Part:
    names = {} if names is None else names
    kind = str(block.pop("type", ""))
    if kind == "text":
        return TextPart(take(block, "text", str) or "", rest=block, at=at)
    if kind in _KINDS and isinstance(block.get("source"), dict):
        return _source(kind, block, at)
    if kind == "tool_use":
        ident, name = take(block, "id", str) or "", take(block, "name", str) or ""
        names[ident] = name
        arguments = text_json(block.pop("input", None) or {})
        return ToolUsePart(ident, name, arguments, rest=block, at=at)
    if kind == "tool_result":
        ident = take(block, "tool_use_id", str) or ""
        failed = bool(take(block, "is_error", bool))
        text = take(block, "content", str)
        parts: tuple[TextPart | MediaPart, ...]
        if text is not None:
            parts = (TextPart(text, at=f"{at}.content"),)
        else:
            inner = [_block(b, f"{at}.content[{n}]") for n, b in enumerate(objects(block, "content"))]
            parts = tuple(part for part in inner if isinstance(part, (TextPart, MediaPart)))
            if len(parts) != len(inner):
                return OwnPart(kind, block, at=at)
        return ToolResultPart(ident, names.get(ident, ""), parts, error=failed, rest=block, at=at)
    if kind == "thinking":
        thought = take(block, "thinking", str) or ""
        return ThoughtPart(thought, sealed={"type": kind, **block}, at=at)
    if kind == "redacted_thinking":
        return ThoughtPart("", sealed={"type": kind, **block}, at=at)
    return OwnPart(kind, block, at=at)


def _source(kind: str, block: Object, at: str) -> Part:
    source: Object = block.pop("source")
    name = take(block, "title", str) or ""
    kept = {key: value for key, value in block.items() if value is not None}
    form, media = _KINDS[kind], str(source.get("media_type") or "")
    match source.get("type"):
        case "base64":
            return MediaPart(form, media, data=str(source.get("data")), name=name, rest=kept, at=at)
        case "url":
            return MediaPart(form, media, url=str(source.get("url")), name=name, rest=kept, at=at)
        case "file":
            return MediaPart(form, media, file=str(source.get("file_id")), name=name, rest=kept, at=at)
        case "text":
            return TextPart(str(source.get("data")), rest=kept, at=at)
        case _:
            return OwnPart(kind, {"source": source, **block}, at=at)


# ---- writing -------------------------------------------------------------------------------


def _messages(conversation: Conversation, facts: Facts, ledger: Ledger) -> tuple[list[str], list[Object]]:
    system: list[str] = []
    messages: list[Object] = []
    for turn in conversation.turns:
        ledger.rest(turn.rest, turn.at)
        if turn.name:
            ledger.lose(f"{turn.at}.name")
        if turn.role is Role.SYSTEM and (not messages or facts.system_anywhere is not True):
            if messages:
                ledger.lose(turn.at, "hoisted")
            system += _texts(turn, ledger)
            continue
        blocks = [block for part in turn.parts for block in _written(part, turn, facts, ledger)]
        if not blocks:
            continue  # said nothing: an empty turn is refused there
        if messages and messages[-1]["role"] == turn.role.value:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": turn.role.value, "content": blocks})
    for message in messages:  # results first: what else the user says comes after them
        message["content"].sort(key=lambda block: block["type"] != "tool_result")
    if not messages or messages[0]["role"] != Role.USER:
        ledger.refuse(conversation.turns[0].at if conversation.turns else "messages", "no user begins it")
    return system, messages


def _texts(turn: Turn, ledger: Ledger) -> Iterable[str]:
    for part in turn.parts:
        if isinstance(part, TextPart):
            ledger.rest(part.rest, part.at)
            yield part.text
        else:
            ledger.refuse(part.at, "a system prompt of text only")


def _written(part: Part, turn: Turn, facts: Facts, ledger: Ledger) -> Iterable[Object]:
    match part:
        case TextPart(text=text):
            ledger.rest(part.rest, part.at)
            if text.strip():
                yield {"type": "text", "text": text}
        case RefusalPart(text=text):
            yield {"type": "text", "text": text}
        case MediaPart():
            yield _media(part, ledger)
        case ToolUsePart():
            ledger.rest(part.rest, part.at)
            given = as_object(part.arguments)
            if given is None:
                ledger.refuse(part.at, "arguments that are no JSON object")
            yield {"type": "tool_use", "id": ledger.id_of(part), "name": part.name, "input": given}
        case ToolResultPart():
            ledger.rest(part.rest, part.at)
            content = [block for inner in part.parts for block in _written(inner, turn, facts, ledger)]
            result: Object = {"type": "tool_result", "tool_use_id": ledger.id_for(part), "content": content}
            if part.error:
                result["is_error"] = True
            yield result
        case ThoughtPart(text=text, sealed=sealed):
            if facts.same_provider and sealed:
                yield {**sealed, "thinking": text} if sealed.get("type") == "thinking" else dict(sealed)
            else:
                ledger.lose(part.at)
        case OwnPart():
            ledger.refuse(part.at, f'no other dialect has "{part.name}"')


def _media(part: MediaPart, ledger: Ledger) -> Object:
    if part.file:
        ledger.refuse(part.at, "a file that only its own provider holds")
    if part.kind not in {MediaKind.IMAGE, MediaKind.DOCUMENT}:
        ledger.refuse(part.at, f"it takes no {part.kind}")
    ledger.rest(part.rest, part.at)
    source: Object = {"type": "url", "url": part.url}
    if part.data:
        usual = "image/png" if part.kind is MediaKind.IMAGE else "application/pdf"
        source = {"type": "base64", "media_type": part.type or usual, "data": part.data}
    said: Object = {"type": part.kind.value, "source": source}
    if part.name and part.kind is MediaKind.DOCUMENT:
        said["title"] = part.name
    return said


def _tool(tool: Tool, ledger: Ledger) -> Object:
    if not tool.name:
        ledger.refuse(tool.at, "a tool that only its own provider runs")
    ledger.rest(tool.rest, tool.at)
    if tool.strict:
        ledger.lose(f"{tool.at}.strict")
    said: Object = {"name": tool.name, "input_schema": tool.schema or {"type": "object", "properties": {}}}
    if tool.description:
        said["description"] = tool.description
    return said


def _constrain(
    body: Object,
    conversation: Conversation,
    facts: Facts,
    tools: list[Object],
    system: list[str],
    ledger: Ledger,
) -> tuple[Object | None, str]:
    """The tool choice, with what a schema makes of it; and the tool that stands in for the schema."""
    choice: Object | None = None
    emulated = ""
    if conversation.choice is Choice.NAMED:
        choice = {"type": "tool", "name": conversation.named}
    elif conversation.choice is not None and tools:
        choice = {"type": _SAID[conversation.choice]}
    form = conversation.format
    if form.shape is Shape.JSON:
        system.append(JSON_ONLY)
        ledger.lose_field("format", "emulated")
    elif form.shape is Shape.SCHEMA and facts.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": form.schema}}
    elif form.shape is Shape.SCHEMA and conversation.choice in {Choice.NAMED, Choice.REQUIRED}:
        ledger.lose_field("format")  # this answer is a call; the schema is for the one after it
    elif form.shape is Shape.SCHEMA:
        emulated = ANSWER
        while any(tool["name"] == emulated for tool in tools):
            emulated += "_"
        text = form.description or "Gives the final answer in the form that was asked for."
        real = conversation.choice is not Choice.NONE and bool(tools)
        tools.append({"name": emulated, "description": text, "input_schema": form.schema})
        choice = {"type": "any"} if real else {"type": "tool", "name": emulated}
        ledger.lose_field("format", "emulated")
    if conversation.parallel is False and tools:
        choice = {**(choice or {"type": "auto"})}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    return choice, emulated


def _sampling(
    body: Object, conversation: Conversation, facts: Facts, ledger: Ledger, *, forced: bool
) -> None:
    sampling = conversation.sampling
    thinks = _think(body, conversation, facts, ledger, forced=forced)
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if facts.sampling is False or (thinks and not (name == "temperature" and value == 1)):
            ledger.lose_field(f"sampling.{name}")
        else:
            body[name] = value
    if sampling.temperature is not None and sampling.temperature > 1 and "temperature" in body:
        body["temperature"] = 1.0
        ledger.lose_field("sampling.temperature", "clamped")
    stops = [stop for stop in sampling.stop if stop.strip()]
    if stops:
        body["stop_sequences"] = stops
    if len(stops) < len(sampling.stop):
        ledger.lose_field("sampling.stop")  # white space alone is refused there
    for name in ("seed", "presence_penalty", "frequency_penalty"):
        if getattr(sampling, name) not in {None, 0}:
            ledger.lose_field(f"sampling.{name}")


def _think(body: Object, conversation: Conversation, facts: Facts, ledger: Ledger, *, forced: bool) -> bool:
    """Set the thinking; True where it is on. Off where the dialect forbids it: beside a forced tool,
    and in the middle of a tool loop whose thoughts another provider had."""
    budget = ledger.budget()
    if budget is None:
        return False
    if budget != 0 and budget < LEAST_BUDGET:
        budget = 0 if budget > 0 else LEAST_BUDGET * 4
        if budget == 0:
            ledger.lose_field("thinking", "clamped")
    if budget == 0:
        return False
    last = conversation.turns[-1].parts if conversation.turns else ()
    looping = any(isinstance(part, ToolResultPart) for part in last) and not facts.same_provider
    room = body["max_tokens"] - LEAST_BUDGET
    if forced or looping or facts.thinking is False or room < LEAST_BUDGET:
        ledger.lose_field("thinking")
        return False
    if facts.adaptive_thinking:
        effort = ledger.effort()
        body["thinking"] = {"type": "adaptive"}
        if effort in {Effort.LOW, Effort.MEDIUM, Effort.HIGH}:
            body.setdefault("output_config", {})["effort"] = effort.value
        return True
    if budget > room:
        ledger.lose_field("thinking", "clamped")
    body["thinking"] = {"type": "enabled", "budget_tokens": min(budget, room)}
    return True


ANTHROPIC = Anthropic()
