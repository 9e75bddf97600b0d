"""A conversation asked of OpenAI responses.

Nothing is left at the provider: `store` is off, since nobody who asks in another dialect could look
for it. A tool whose strictness nobody named is not strict here either, which has to be said.
"""

from __future__ import annotations

from sidecar.hub.base import Facts, Written
from sidecar.hub.conversation import (
    Choice,
    Conversation,
    Json,
    MediaKind,
    MediaPart,
    OwnPart,
    Part,
    RefusalPart,
    Role,
    Shape,
    TextPart,
    ThoughtPart,
    Tool,
    ToolResultPart,
    ToolUsePart,
    Turn,
)
from sidecar.hub.emulation import constrained, in_object, instructed, says_json
from sidecar.hub.names import OF_OPENAI, renamed
from sidecar.hub.openai_writing import (
    data_of,
    detail_of,
    effort_of,
    limited,
    no_prefill,
    only_users,
    parameters_of,
    pictured,
    sampled,
    schema_of,
    shared_fields,
    written_out,
)
from sidecar.hub.reading import Object
from sidecar.hub.writing import Ledger, encode, narrowed, only_text

ASSISTANT = Role.ASSISTANT  # looking it up costs more than comparing it
LEAST_OUTPUT = 16  # tokens; less is an error


def write(conversation: Conversation, facts: Facts) -> Written:
    ledger = Ledger(conversation)
    conversation, names = renamed(narrowed(conversation, ledger), ledger, OF_OPENAI)
    no_prefill(conversation, ledger)
    conversation, enclosed = in_object(conversation, ledger)
    sampling = conversation.sampling
    if sampling.choices is not None and sampling.choices > 1:
        ledger.refuse(conversation.named_as("sampling.choices"), "one answer is all that can be asked for")
    conversation, emulated, words = constrained(
        conversation, ledger, schema=facts.schema is not False, json=facts.schema is not False
    )
    loose = conversation.format.shape is Shape.JSON
    if loose and not says_json(conversation):
        conversation = instructed(conversation)
    body: Object = {"model": conversation.model}
    turns = conversation.turns
    if (
        len(turns) > 1
        and not loose  # JSON has to be spoken of, and what stands in `instructions` does not count
        and turns[0].role is Role.SYSTEM
        and all(isinstance(p, TextPart) for p in turns[0].parts)
    ):
        body["instructions"] = _instructions(turns[0], ledger)
        turns = turns[1:]
    items: list[Object] = []
    for turn in turns:
        _add(turn, items, facts, ledger)
    body["input"] = items
    if loose:
        for item in items:
            if item.get("role") == "system":
                item["role"] = "developer"  # the same, and it counts
    if conversation.tools:
        body["tools"] = [_tool(tool, ledger) for tool in conversation.tools]
    if conversation.choice is Choice.NAMED:
        body["tool_choice"] = {"type": "function", "name": conversation.named}
    elif conversation.choice is not None and conversation.tools:
        body["tool_choice"] = conversation.choice.value
    if conversation.parallel is not None and conversation.tools:
        body["parallel_tool_calls"] = conversation.parallel
    form = conversation.format.shape
    if form is Shape.JSON:
        body["text"] = {"format": {"type": "json_object"}}
    elif form is Shape.SCHEMA:
        body["text"] = {"format": {"type": "json_schema", **schema_of(conversation, ledger)}}
    sampled(body, conversation, facts, ledger, "temperature", "top_p")
    if sampling.stop:
        ledger.lose_field("sampling.stop")
    limited(body, "max_output_tokens", conversation, facts, ledger, LEAST_OUTPUT)
    effort = effort_of(conversation, facts, ledger)
    shown = conversation.thinking.shown is True and facts.thinking is not False
    if effort is not None or shown:
        said = {"effort": effort, "summary": "auto" if shown else None}
        body["reasoning"] = {key: value for key, value in said.items() if value is not None}
    if conversation.stream:
        body["stream"] = True
    body["store"] = False
    if conversation.user:
        body["user"] = conversation.user
    shared_fields(body, conversation, facts, ledger)
    return Written("/responses", "", encode(body), ledger.losses, emulated, words, names, enclosed)


def _instructions(turn: Turn, ledger: Ledger) -> str:
    ledger.rest(turn.rest, turn.at)
    if turn.name:
        ledger.lose(f"{turn.at}.name")
    texts = []
    for part in turn.parts:
        assert isinstance(part, TextPart)
        ledger.rest(part.rest, part.at)
        texts.append(part.text)
    return "\n\n".join(texts)


def _add(turn: Turn, items: list[Object], facts: Facts, ledger: Ledger) -> None:
    """The items of a turn, behind those of the turns before it."""
    role, parts = turn.role, turn.parts
    if turn.rest:
        ledger.rest(turn.rest, turn.at)
    if turn.name:
        ledger.lose(f"{turn.at}.name")
    words = "output_text" if role is ASSISTANT else "input_text"
    before = place = len(items)
    content: list[Object] = []
    for part in parts:
        if isinstance(part, TextPart):
            if part.rest:
                ledger.rest(part.rest, part.at)
            if part.text:
                content.append({"type": words, "text": part.text})
        elif isinstance(part, ToolResultPart):  # it answers what was called: all of them stand in front
            items.insert(place, _result(part, ledger))
            place += 1
        elif isinstance(part, RefusalPart):
            ledger.rest(part.rest, part.at)
            content.append({"type": "refusal", "refusal": part.text})
        elif isinstance(part, MediaPart):
            only_users(turn, part, ledger)
            content.append(_media(part, ledger))
        else:
            said = _call(part, ledger) if isinstance(part, ToolUsePart) else _own_item(part, facts, ledger)
            if content and said is not None:
                items.append({"role": role._value_, "content": _alone(content)})
                content = []
            if said is not None:
                items.append(said)
    if content:
        items.append({"role": role._value_, "content": _alone(content)})
    if not parts or (len(items) == before and _was_text(turn)):
        items.append({"role": role._value_, "content": ""})  # an empty turn is a turn


def _call(part: ToolUsePart, ledger: Ledger) -> Object:
    if part.rest:
        ledger.rest(part.rest, part.at)
    ident = ledger.id_of(part)
    return {"type": "function_call", "call_id": ident, "name": part.name, "arguments": part.arguments}


def _own_item(part: Part, facts: Facts, ledger: Ledger) -> Object | None:
    """What else stands in an item of its own; None: it is left out."""
    match part:
        case ThoughtPart(text=text, sealed=sealed) if facts.same_provider and "encrypted_content" in sealed:
            summary = [{"type": "summary_text", "text": text}] if text else []
            return {"type": "reasoning", "summary": summary, **sealed}
        case OwnPart():
            ledger.refuse(part.at, f'no other dialect has "{part.name}"')
        case _:
            pass
    ledger.lose(part.at)
    return None


def _was_text(turn: Turn) -> bool:
    return any(isinstance(part, TextPart) for part in turn.parts)


def _alone(content: list[Object]) -> Json:
    """A text alone is said as a string."""
    if len(content) == 1 and "text" in content[0]:
        return content[0]["text"]
    return content


def _media(part: MediaPart, ledger: Ledger) -> Object:
    if part.file:
        ledger.refuse(part.at, "a file that only its own provider holds")
    if part.kind is MediaKind.IMAGE:
        detail = detail_of(part, ledger)
        return {"type": "input_image", "image_url": pictured(part, ledger), "detail": "auto", **detail}
    ledger.rest(part.rest, part.at)
    if (text := written_out(part, ledger)) is not None:
        return {"type": "input_text", "text": text}
    if part.kind is not MediaKind.DOCUMENT:
        ledger.refuse(part.at, f"it takes no {part.kind}")
    if part.url:
        if part.name:
            ledger.lose(part.name_at)
        return {"type": "input_file", "file_url": part.url}
    data = data_of(part, "application/pdf")
    return {"type": "input_file", "filename": part.name or "document.pdf", "file_data": data}


def _result(part: ToolResultPart, ledger: Ledger) -> Object:
    if part.rest:
        ledger.rest(part.rest, part.at)
    output: Json = only_text(part)
    if output is None:
        output = [_inner(inner, ledger) for inner in part.parts]
        output = _alone(output) if output else ""
    if part.error:
        ledger.lose(f"{part.at}.is_error", "merged")
        if isinstance(output, str):
            output = f"Error: {output}"
        else:
            output.insert(0, {"type": "input_text", "text": "Error:"})
    return {"type": "function_call_output", "call_id": ledger.id_for(part), "output": output}


def _inner(part: TextPart | MediaPart, ledger: Ledger) -> Object:
    if isinstance(part, MediaPart):
        return _media(part, ledger)
    ledger.rest(part.rest, part.at)
    return {"type": "input_text", "text": part.text}


def _tool(tool: Tool, ledger: Ledger) -> Object:
    if not tool.name:
        ledger.refuse(tool.at, "a tool that only its own provider runs")
    ledger.rest(tool.rest, tool.at)
    said: Object = {"type": "function", "name": tool.name}
    if tool.description:
        said["description"] = tool.description
    said["parameters"] = parameters_of(tool.schema)
    said["strict"] = tool.strict is True
    return said
