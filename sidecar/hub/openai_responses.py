"""OpenAI responses in the hub: its requests read, and who writes and speaks it.

The input is a list of items, not of turns: what the model said, thought and called stands in items of
its own, one behind the other. They are one turn here. What its provider holds (earlier responses,
conversations, prompts, files) or runs (every tool but functions) binds a request to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

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
from sidecar.hub.openai_responses_voice import ResponsesVoice
from sidecar.hub.openai_responses_writing import write
from sidecar.hub.reading import (
    PLACE,
    Object,
    Places,
    allowed_tools,
    data_url,
    document,
    leave,
    objects,
    others,
    take,
    text_json,
)

NAMES = {
    "sampling.max_output": "max_output_tokens",
    "sampling.temperature": "temperature",
    "sampling.top_p": "top_p",
    "choice": "tool_choice",
    "parallel": "parallel_tool_calls",
    "format": "text.format",
    "format.name": "text.format.name",
    "format.description": "text.format.description",
    "thinking": "reasoning",
    "user": "user",
    "tools": "tools",
}
USER, ASSISTANT = Role.USER, Role.ASSISTANT  # looking a member up costs more than what is done with it
_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": USER, "assistant": ASSISTANT}
_CHOICES = {"auto": Choice.AUTO, "none": Choice.NONE, "required": Choice.REQUIRED}
_PLACES = Places("input")
_OWN = ("id", "status", "type")  # of an item: its provider's, and nothing is lost with them


class OpenAIResponses:
    """Implements base.Tongue."""

    name = "openai_responses"

    def read(self, path: str, body: bytes) -> Conversation:
        fields = document(body)
        names: dict[str, str] = {}
        choice, named, allowed = _choice(fields)
        if fields.get("stream_options") in ({"include_obfuscation": False}, {"include_obfuscation": True}):
            fields.pop("stream_options")  # a matter of the wire alone
        form = _format(fields)
        thinking = _thinking(fields)
        return Conversation(
            model=take(fields, "model", str) or "",
            stream=bool(take(fields, "stream", bool)),
            stream_usage=True,
            tools=tuple(_tools(fields)),
            choice=choice,
            named=named,
            allowed=allowed,
            parallel=take(fields, "parallel_tool_calls", bool),
            format=form,
            thinking=thinking,
            sampling=Sampling(
                temperature=take(fields, "temperature", float),
                top_p=take(fields, "top_p", float),
                max_output=take(fields, "max_output_tokens", int),
            ),
            user=take(fields, "user", str) or "",
            turns=(*_instructions(fields), *_turns(fields, names)),
            called=frozenset(names.values()),
            rest={key: value for key, value in fields.items() if value is not None},
            names=NAMES,
        )

    def write(self, conversation: Conversation, facts: Facts) -> Written:
        return write(conversation, facts)

    def voice(self, conversation: Conversation, *, ident: str, created: int) -> ResponsesVoice:
        return ResponsesVoice(conversation, ident=ident, created=created)


def _choice(fields: Object) -> tuple[Choice | None, str, tuple[str, ...]]:
    said = fields.get("tool_choice")
    if isinstance(said, str) and said in _CHOICES:
        fields.pop("tool_choice")
        return _CHOICES[said], "", ()
    if not isinstance(said, dict):
        return None, "", ()
    if said.get("type") == "function" and isinstance(said.get("name"), str):
        fields.pop("tool_choice")
        leave(fields, "tool_choice", said, "type", "name")
        return Choice.NAMED, said["name"], ()
    if said.get("type") == "allowed_tools" and (allowed := allowed_tools(said)):
        fields.pop("tool_choice")
        return _CHOICES[said["mode"]], "", allowed
    return None, "", ()


def _format(fields: Object) -> Format:
    text = take(fields, "text", dict) or {}
    said = take(text, "format", dict)
    for key, value in text.items():
        fields[f"text.{key}"] = value
    if said is None:
        return Format()
    if said.get("type") in ("text", "json_object"):
        leave(fields, "text.format", said, "type")
        return Format(Shape.JSON if said["type"] == "json_object" else Shape.TEXT)
    if said.get("type") == "json_schema":
        form = Format(
            Shape.SCHEMA,
            schema=take(said, "schema", dict) or {},
            name=take(said, "name", str) or "",
            description=take(said, "description", str) or "",
            strict=take(said, "strict", bool),
        )
        leave(fields, "text.format", said, "type")
        return form
    fields["text.format"] = said
    return Format()


def _thinking(fields: Object) -> Thinking:
    said = take(fields, "reasoning", dict) or {}
    wanted = take(said, "effort", str)
    effort = None
    if wanted is not None:
        if wanted in set(Effort):
            effort = Effort(wanted)
        else:
            said["effort"] = wanted
    shown = take(said, "summary", str) or take(said, "generate_summary", str)
    for key, value in said.items():
        fields[f"reasoning.{key}"] = value
    return Thinking(effort=effort, shown=True if shown else None)


def _tools(fields: Object) -> Iterable[Tool]:
    for index, said in enumerate(objects(fields, "tools")):
        at = f"tools[{index}]"
        if said.get("type", "function") != "function":
            yield Tool(name="", rest=said, at=at)  # its provider's, or of free text
            continue
        said.pop("type", None)
        yield Tool(
            name=take(said, "name", str) or "",
            description=take(said, "description", str) or "",
            schema=take(said, "parameters", dict),
            strict=take(said, "strict", bool),
            rest={key: value for key, value in said.items() if value is not None},
            at=at,
        )


def _instructions(fields: Object) -> Iterable[Turn]:
    said = take(fields, "instructions", str)
    if said:
        yield Turn(Role.SYSTEM, (TextPart(said, at="instructions"),), at="instructions")


def _turns(fields: Object, names: dict[str, str]) -> list[Turn]:
    """`names`: of the calls so far, by id."""
    text = take(fields, "input", str)
    if text is not None:
        return [Turn(Role.USER, (TextPart(text, at="input"),), at="input")]
    told: list[Turn] = []
    held: list[Part] | None = None  # what the model said last: it may go on
    beside: Object = {}  # what stood beside that
    called = answered = 0  # calls and results so far, when it had ended
    late = False
    for at, item in _PLACES.of(objects(fields, "input")):
        said = _plain(item, at, names) or _item(item, at, names)
        if isinstance(said, Turn) and said.role is not ASSISTANT:
            if held is not None:
                told.append(Turn(ASSISTANT, tuple(held), "", beside or NOTHING))
                held, beside, called = None, {}, len(names)
            if said.parts and type(said.parts[0]) is ToolResultPart:
                answered += 1
            else:
                late = late or answered < called
            told.append(said)
            continue
        if held is None:
            held, late = [], late or answered < called
        if isinstance(said, Turn):
            held += said.parts
            beside.update(said.rest)
        else:
            held.append(said)
    if held is not None:
        told.append(Turn(ASSISTANT, tuple(held), "", beside or NOTHING))
    return _behind_their_calls(told) if late else told


def _is_result(turn: Turn) -> bool:
    return bool(turn.parts) and type(turn.parts[0]) is ToolResultPart


def _behind_their_calls(turns: list[Turn]) -> list[Turn]:
    """Results may come late here, when others have spoken; elsewhere they follow the turn with their call."""
    results: dict[str, list[Turn]] = {}
    for turn in turns:
        if _is_result(turn) and isinstance(turn.parts[0], ToolResultPart):
            results.setdefault(turn.parts[0].id, []).append(turn)
    placed: list[Turn] = []
    for turn in turns:
        if not _is_result(turn):
            placed.append(turn)
            for part in turn.parts:
                if isinstance(part, ToolUsePart):
                    placed += results.pop(part.id, ())
    return [*placed, *(turn for orphans in results.values() for turn in orphans)]


def _plain(item: Object, at: str, names: dict[str, str]) -> Turn | Part | None:
    """An item with nothing in it but what most have: histories are long, and this is all they cost.
    What the model said is part of its turn, whose items stand one behind the other.
    """
    kind, text = item.get("type"), item.get("content")
    if type(text) is str:
        role = item.get("role")
        usual = len(item) == 2 or (kind == "message" and len(item) == 3)
        if not usual or type(role) is not str or role not in _ROLES:
            return None
        said = TextPart(text, NOTHING, f"{at}.content")
        return said if role == "assistant" else Turn(_ROLES[role], (said,), "", NOTHING, at)
    ident = item.get("call_id")
    if type(ident) is not str:
        return None
    if kind == "function_call":
        name, given = item.get("name"), item.get("arguments")
        usual = len(item) == 4 or _is_usual(item, 4)
        if usual and type(name) is str and type(given) is str and given:
            if ident:
                names[ident] = name
            return ToolUsePart(ident, name, given, NOTHING, at)
    elif kind == "function_call_output":
        text = item.get("output")
        if type(text) is str and (len(item) == 3 or _is_usual(item, 3)):
            told = (TextPart(text, NOTHING, f"{at}.output"),)
            result = ToolResultPart(ident, names.get(ident, ""), told, False, NOTHING, at)
            return Turn(USER, (result,), "", NOTHING, at)
    return None


def _is_usual(item: Object, fields: int) -> bool:
    """Has it these and its provider's own, and no more?"""
    return len(item) == fields + ("id" in item) + ("status" in item)


def _item(item: Object, at: str, names: dict[str, str]) -> Turn:
    kind = str(item.get("type") or "message")
    for key in _OWN:
        item.pop(key, None)
    if kind == "message":
        role = _ROLES.get(str(item.pop("role", "user")))
        if role is None:
            return Turn(Role.USER, (OwnPart(kind, item, at=at),), at=at)
        parts = tuple(_content(item, at))
        if role is Role.ASSISTANT:  # a turn of several items: what they have beside them is told by its place
            return Turn(role, parts, rest={f"{at}.{key}": value for key, value in item.items()})
        return Turn(role, parts, rest=item, at=at)
    if kind == "function_call":
        call = ToolUsePart(
            take(item, "call_id", str) or "",
            take(item, "name", str) or "",
            text_json(item.pop("arguments", None) or "{}"),
            rest=item,
            at=at,
        )
        if call.id:
            names[call.id] = call.name
        return Turn(Role.ASSISTANT, (call,))
    if kind == "function_call_output":
        return Turn(Role.USER, (_result(item, at, names),), at=at)
    if kind == "reasoning":
        texts = [each.get("text") for key in ("summary", "content") for each in objects(item, key)]
        thought = "\n\n".join(text for text in texts if isinstance(text, str))
        return Turn(Role.ASSISTANT, (ThoughtPart(thought, sealed=item, at=at),))
    return Turn(Role.USER, (OwnPart(kind, item, at=at),), at=at)


def _result(item: Object, at: str, names: dict[str, str]) -> Part:
    ident = take(item, "call_id", str) or ""
    text = take(item, "output", str)
    name = names.get(ident, "")
    if text is not None:
        return ToolResultPart(ident, name, (TextPart(text, at=f"{at}.output"),), rest=item, at=at)
    said = [_part(part, f"{at}.output[{n}]") for n, part in enumerate(objects(item, "output"))]
    parts = tuple(part for part in said if isinstance(part, (TextPart, MediaPart)))
    if len(parts) != len(said):
        return OwnPart("function_call_output", item, at=at)
    return ToolResultPart(ident, name, parts, rest=item, at=at)


def _content(item: Object, at: str) -> Iterable[Part]:
    text = take(item, "content", str)
    if text is not None:
        yield TextPart(text, at=f"{at}.content")
        return
    for number, part in enumerate(objects(item, "content")):
        yield _part(part, f"{at}.content{PLACE[number]}")


def _part(part: Object, at: str) -> Part:
    kind = str(part.get("type"))
    if kind in {"input_text", "output_text", "text"} and isinstance(part.get("text"), str):
        return TextPart(part["text"], rest=others(part, "type", "text"), at=at)
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return RefusalPart(part["refusal"], at, others(part, "type", kind))
    if kind == "input_image":
        rest = others(part, "type", "image_url", "file_id")
        url, file = part.get("image_url"), part.get("file_id")
        return _media(MediaKind.IMAGE, url, file, MediaPart(MediaKind.IMAGE, rest=rest, at=at))
    if kind == "input_file":
        name = str(part.get("filename") or "")
        rest = others(part, "type", "filename", "file_data", "file_url", "file_id")
        form = MediaPart(MediaKind.DOCUMENT, name=name, name_at=f"{at}.filename", rest=rest, at=at)
        data = part.get("file_data")
        if isinstance(data, str) and data and data_url(data) is None:  # base64 alone
            return replace(form, data=data)
        return _media(MediaKind.DOCUMENT, data or part.get("file_url"), part.get("file_id"), form)
    return OwnPart(kind, part, at=at)


def _media(kind: MediaKind, url: object, file: object, form: MediaPart) -> MediaPart:
    held = data_url(url) if isinstance(url, str) else None
    return MediaPart(
        kind,
        held[0] if held else "",
        data=held[1] if held else "",
        url=url if isinstance(url, str) and not held else "",
        file=file if isinstance(file, str) and not url else "",
        name=form.name,
        name_at=form.name_at,
        rest=form.rest,
        at=form.at,
    )


OPENAI_RESPONSES = OpenAIResponses()
