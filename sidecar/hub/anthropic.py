"""Anthropic messages in the hub: its requests read, and who writes and speaks it.

What is wrapped in the blocks of this dialect and has no place elsewhere (signatures, citations, cache
marks, tools that the provider runs) stays by its name, for the writer of another dialect to tell.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.dialects.base import BadBody
from sidecar.hub.anthropic_voice import AnthropicVoice
from sidecar.hub.anthropic_writing import write
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
from sidecar.hub.reading import (
    MESSAGES,
    Object,
    Places,
    document,
    leave,
    objects,
    others,
    strings,
    take,
    text_json,
)

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
_ROLES = {role.value: role for role in Role}
_CHOICES = {"auto": Choice.AUTO, "any": Choice.REQUIRED, "none": Choice.NONE}
_KINDS = {"image": MediaKind.IMAGE, "document": MediaKind.DOCUMENT}
_CONTENT = Places(".content")


class Anthropic:
    """Implements base.Tongue."""

    name = "anthropic"

    def read(self, path: str, body: bytes) -> Conversation:
        fields = document(body)
        names: dict[str, str] = {}
        choice, named, parallel = _choice(fields)
        config = take(fields, "output_config", dict) or {}
        thinking = _thinking(fields, config)
        form = _format(config, "format")
        older = "output_format" in fields and form.shape is Shape.TEXT  # as the beta called it
        if older:
            form = _format(fields, "output_format")
        if config:
            fields["output_config"] = config
        metadata = take(fields, "metadata", dict) or {}
        user = take(metadata, "user_id", str) or ""
        if metadata:
            fields["metadata"] = metadata
        turns = (*_system(fields), *_turns(objects(fields, "messages"), names))
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
            turns=turns,
            called=frozenset(names.values()),
            continues=goes_on(turns),
            rest={key: value for key, value in fields.items() if value is not None},
            names={**NAMES, "format": "output_format"} if older else NAMES,
        )

    def write(self, conversation: Conversation, facts: Facts) -> Written:
        return write(conversation, facts)

    def voice(self, conversation: Conversation, *, ident: str, created: int) -> AnthropicVoice:
        thoughts = conversation.thinking.shown is True
        return AnthropicVoice(ident=ident, model=conversation.model, thoughts=thoughts)


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
        leave(fields, "tool_choice", said, "type", "name", "disable_parallel_tool_use")
        return Choice.NAMED, name, parallel
    if isinstance(kind, str) and kind in _CHOICES:
        fields.pop("tool_choice")
        leave(fields, "tool_choice", said, "type", "disable_parallel_tool_use")
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
        display = said.get("display")
        shown = display != "omitted"
        if kind in ("adaptive", "disabled") or (kind == "enabled" and isinstance(budget, int)):
            fields.pop("thinking")
            leave(fields, "thinking", said, "type", "budget_tokens")
        if kind == "enabled" and isinstance(budget, int):
            return Thinking(effort=wanted, budget=budget, shown=shown)
        if kind == "disabled":
            return Thinking(budget=0)
        if kind == "adaptive":
            return Thinking(effort=wanted or Effort.HIGH, shown=shown)
    return Thinking(effort=wanted)


def _format(config: Object, name: str) -> Format:
    said = config.get(name)
    if isinstance(said, dict) and said.get("type") == "json_schema" and isinstance(said.get("schema"), dict):
        config.pop(name)
        leave(config, name, said, "type", "schema")
        return Format(Shape.SCHEMA, schema=said["schema"])
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


def _turns(messages: list[Object], names: dict[str, str]) -> Iterable[Turn]:
    """`names`: of the calls so far, by id."""
    for at, message in MESSAGES.of(messages):
        said = take(message, "role", str)
        role = _ROLES.get(said or "")
        if role is None:
            raise BadBody(f'{at}.role is neither "user" nor "assistant"')
        text = take(message, "content", str)
        if text is not None:
            parts: tuple[Part, ...] = (TextPart(text, NOTHING, f"{at}.content"),)
        else:
            blocks = objects(message, "content")
            parts = tuple([_plain(block, at + _CONTENT[n], names) for n, block in enumerate(blocks)])
        yield Turn(role, parts, "", message or NOTHING, at)


def _plain(block: Object, at: str, names: dict[str, str]) -> Part:
    """A block with nothing in it but what most have: histories are long, and this is all they cost."""
    kind, fields = block.get("type"), len(block)
    if kind == "text":
        text = block.get("text")
        if fields == 2 and type(text) is str:
            return TextPart(text, NOTHING, at)
    elif kind == "tool_use":
        ident, name, given = block.get("id"), block.get("name"), block.get("input")
        if fields == 4 and type(ident) is str and type(name) is str and type(given) is dict:
            if ident:
                names[ident] = name
            return ToolUsePart(ident, name, text_json(given), NOTHING, at, given)
    elif kind == "tool_result":
        ident, text = block.get("tool_use_id"), block.get("content")
        if fields == 3 and type(ident) is str and type(text) is str:
            told = (TextPart(text, NOTHING, f"{at}.content"),)
            return ToolResultPart(ident, names.get(ident, ""), told, False, NOTHING, at)
    return _block(block, at, names)


def _block(block: Object, at: str, names: dict[str, str] | None = None) -> Part:
    names = {} if names is None else names
    kind = str(block.pop("type", ""))
    if kind == "text":
        return TextPart(take(block, "text", str) or "", block or NOTHING, at)
    if kind in _KINDS and isinstance(block.get("source"), dict):
        return _source(kind, block, at)
    if kind == "tool_use":
        ident, name = take(block, "id", str) or "", take(block, "name", str) or ""
        if ident:
            names[ident] = name
        if block.get("caller") == {"type": "direct"}:
            block.pop("caller")  # that the model called it, as ever
        arguments = text_json(block.pop("input", None) or {})
        return ToolUsePart(ident, name, arguments, block or NOTHING, at)
    if kind == "tool_result":
        ident = take(block, "tool_use_id", str) or ""
        failed = "is_error" in block and bool(take(block, "is_error", bool))
        text = take(block, "content", str)
        parts: tuple[TextPart | MediaPart, ...]
        if text is not None:
            parts = (TextPart(text, NOTHING, f"{at}.content"),)
        else:
            inner = [_block(b, f"{at}.content[{n}]") for n, b in enumerate(objects(block, "content"))]
            parts = tuple(part for part in inner if isinstance(part, (TextPart, MediaPart)))
            if len(parts) != len(inner):
                return OwnPart(kind, block, at=at)
        return ToolResultPart(ident, names.get(ident, ""), parts, failed, block or NOTHING, at)
    if kind == "thinking":
        thought = take(block, "thinking", str) or ""
        return ThoughtPart(thought, sealed={"type": kind, **block}, at=at)
    if kind == "search_result" and (found := _texts(block.get("content"))) is not None:
        return TextPart(found, others(block, "content"), at)
    if kind == "redacted_thinking":
        return ThoughtPart("", sealed={"type": kind, **block}, at=at)
    return OwnPart(kind, block, at=at)


def _texts(content: Json) -> str | None:
    """What blocks of text alone say; None: there is something else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [each["text"] for each in content if isinstance(each, dict) and set(each) == {"type", "text"}]
    return "\n\n".join(map(str, texts)) if len(texts) == len(content) else None


def _source(kind: str, block: Object, at: str) -> Part:
    source: Object = block.pop("source")
    name, named = take(block, "title", str) or "", f"{at}.title"
    kept = others(block)
    leave(kept, "source", source, "type", "media_type", "data", "url", "file_id")
    form, media = _KINDS[kind], str(source.get("media_type") or "")
    match source.get("type"):
        case "base64":
            return MediaPart(
                form, media, data=str(source.get("data")), name=name, name_at=named, rest=kept, at=at
            )
        case "url":
            return MediaPart(
                form, media, url=str(source.get("url")), name=name, name_at=named, rest=kept, at=at
            )
        case "file":
            return MediaPart(
                form, media, file=str(source.get("file_id")), name=name, name_at=named, rest=kept, at=at
            )
        case "text":
            return TextPart(str(source.get("data")), rest={**kept, "title": name}, at=at)
        case "content" if (text := _texts(source.get("content"))) is not None:
            kept.pop("source.content", None)
            return TextPart(text, rest={**kept, "title": name}, at=at)
        case _:
            return OwnPart(kind, {"source": source, **block}, at=at)


ANTHROPIC = Anthropic()
