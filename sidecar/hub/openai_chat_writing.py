"""A conversation asked of OpenAI chat completions.

Results of tools are messages of their own here and hold text only; their pictures are shown by the user,
once all results are told. The answer's figures are always
asked for: the client's dialect may need them even where it did not ask.
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

AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_FORMS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
ASSISTANT = Role.ASSISTANT  # looking it up costs more than comparing it
MOST_STOPS = 4  # of OpenAI's own reference


def write(conversation: Conversation, facts: Facts) -> Written:
    ledger = Ledger(conversation)
    conversation, names = renamed(narrowed(conversation, ledger), ledger, OF_OPENAI)
    no_prefill(conversation, ledger)
    conversation, enclosed = in_object(conversation, ledger)
    native = facts.schema is not False
    conversation, emulated, words = constrained(conversation, ledger, schema=native, json=native)
    if conversation.format.shape is Shape.JSON and not says_json(conversation):
        conversation = instructed(conversation)
    body: Object = {"model": conversation.model, "messages": _messages(conversation, ledger)}
    if conversation.tools:
        body["tools"] = [_tool(tool, ledger) for tool in conversation.tools]
    if conversation.choice is Choice.NAMED:
        body["tool_choice"] = {"type": "function", "function": {"name": conversation.named}}
    elif conversation.choice is not None and conversation.tools:
        body["tool_choice"] = conversation.choice.value
    if conversation.parallel is not None and conversation.tools:
        body["parallel_tool_calls"] = conversation.parallel
    if conversation.format.shape is Shape.JSON:
        body["response_format"] = {"type": "json_object"}
    elif conversation.format.shape is Shape.SCHEMA:
        body["response_format"] = {"type": "json_schema", "json_schema": schema_of(conversation, ledger)}
    _sampling(body, conversation, facts, ledger)
    if conversation.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if conversation.user:
        body["user"] = conversation.user
    shared_fields(body, conversation, facts, ledger)
    return Written("/chat/completions", "", encode(body), ledger.losses, emulated, words, names, enclosed)


def _messages(conversation: Conversation, ledger: Ledger) -> list[Object]:
    messages: list[Object] = []
    shown: list[Object] = []  # of results whose run may not be over
    for turn in conversation.turns:
        role, parts = turn.role, turn.parts
        if turn.rest:
            ledger.rest(turn.rest, turn.at)
        message: Object = {"role": role._value_}
        if turn.name:
            message["name"] = turn.name
        content: list[Object] = []
        calls: list[Object] = []
        answers = False
        for part in parts:
            if isinstance(part, TextPart):
                if part.rest:
                    ledger.rest(part.rest, part.at)
                content.append({"type": "text", "text": part.text})
            elif isinstance(part, ToolUsePart):
                if part.rest:
                    ledger.rest(part.rest, part.at)
                function = {"name": part.name, "arguments": part.arguments}
                calls.append({"id": ledger.id_of(part), "type": "function", "function": function})
            elif isinstance(part, ToolResultPart):
                answers = True
                messages.append(_result(part, ledger, shown))
            else:
                content += _seldom(part, turn, ledger)
        if not content and not calls and (answers or (parts and role is ASSISTANT)):
            continue  # nothing but results, or thoughts only
        if shown:
            messages.append({"role": "user", "content": shown})
            shown = []
        message["content"] = _alone(content) or (None if calls else "")
        if calls:
            message["tool_calls"] = calls
        messages.append(message)
    if shown:
        messages.append({"role": "user", "content": shown})
    return messages


def _seldom(part: Part, turn: Turn, ledger: Ledger) -> list[Object]:
    match part:
        case MediaPart():
            only_users(turn, part, ledger)
            return [_media_part(part, ledger)]
        case RefusalPart(text=text):
            ledger.rest(part.rest, part.at)
            return [{"type": "refusal", "refusal": text}]
        case OwnPart():
            ledger.refuse(part.at, f'no other dialect has "{part.name}"')
        case _:
            pass
    ledger.lose(part.at)
    return []


def _alone(content: list[Object]) -> Json:
    """A text alone is said as a string, which every server of this dialect takes."""
    return content[0]["text"] if len(content) == 1 and "text" in content[0] else content


def _media_part(part: MediaPart, ledger: Ledger) -> Object:
    if part.file:
        ledger.refuse(part.at, "a file that only its own provider holds")
    if part.kind is MediaKind.IMAGE:
        detail = detail_of(part, ledger)
        return {"type": "image_url", "image_url": {"url": pictured(part, ledger), **detail}}
    ledger.rest(part.rest, part.at)
    if (text := written_out(part, ledger)) is not None:
        return {"type": "text", "text": text}
    if part.kind is MediaKind.AUDIO and part.data:
        if part.name:
            ledger.lose(part.name_at)
        form = _FORMS.get(part.type)
        if form is None:
            ledger.refuse(part.at, f"audio of type {part.type or 'unknown'}; only wav and mp3 are taken")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}
    if part.kind is MediaKind.DOCUMENT and part.data:
        data = data_of(part, "application/pdf")
        return {"type": "file", "file": {"filename": part.name or "document.pdf", "file_data": data}}
    ledger.refuse(part.at, f"{part.kind} by address" if part.url else f"it takes no {part.kind}")
    raise AssertionError


def _result(part: ToolResultPart, ledger: Ledger, shown: list[Object]) -> Object:
    """The result as text; what of it is to be seen is added to `shown`."""
    if part.rest:
        ledger.rest(part.rest, part.at)
    said: Json = only_text(part)
    if said is None:
        said = []
        for inner in part.parts:
            if isinstance(inner, MediaPart):
                ledger.lose(inner.at or part.at, "merged")
                whose = f"From {part.name or 'the tool'}:"
                shown += {"type": "text", "text": whose}, _media_part(inner, ledger)
                said.append({"type": "text", "text": f"({inner.kind}: see the next message of the user)"})
            else:
                ledger.rest(inner.rest, inner.at)
                said.append({"type": "text", "text": inner.text})
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
        function["parameters"] = parameters_of(tool.schema)
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _sampling(body: Object, conversation: Conversation, facts: Facts, ledger: Ledger) -> None:
    sampling = conversation.sampling
    names = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")
    sampled(body, conversation, facts, ledger, *names)
    if sampling.stop:
        body["stop"] = list(sampling.stop[:MOST_STOPS])
        if len(sampling.stop) > MOST_STOPS:
            ledger.lose_field("sampling.stop", "clamped")
    if sampling.choices not in {None, 1}:
        body["n"] = sampling.choices
    limited(body, "max_completion_tokens", conversation, facts, ledger)
    effort = effort_of(conversation, facts, ledger)
    if effort is not None:
        body["reasoning_effort"] = effort
