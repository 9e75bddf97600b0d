"""A conversation asked of Anthropic.

Where this dialect is stricter than the others: turns alternate, so neighbours are merged; tool results
stand first in the user's turn; a token limit is demanded; one system prompt stands in front, so later
ones are hoisted (and told as such) unless the model takes them in place.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from sidecar.hub.anthropic_schema import fitted
from sidecar.hub.base import Facts, Written
from sidecar.hub.conversation import (
    Choice,
    Conversation,
    Effort,
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
from sidecar.hub.emulation import constrained, in_object
from sidecar.hub.names import OF_ANTHROPIC, renamed
from sidecar.hub.reading import Object
from sidecar.hub.writing import (
    IMAGES,
    LEAST_BUDGET,
    SILENCE,
    Ledger,
    arguments_of,
    encode,
    first_words,
    merged,
    narrowed,
    spoken_last,
    text_of,
    titled,
)

SYSTEM = Role.SYSTEM  # looking it up costs more than comparing it
_SAID = {Choice.AUTO: "auto", Choice.REQUIRED: "any", Choice.NONE: "none"}
DEFAULT_OUTPUT = 8192  # tokens, where neither the client nor the catalogue names a limit


def write(conversation: Conversation, facts: Facts) -> Written:
    ledger = Ledger(conversation)
    conversation, names = renamed(narrowed(conversation, ledger), ledger, OF_ANTHROPIC)
    sampling = conversation.sampling
    if sampling.choices is not None and sampling.choices > 1:
        ledger.refuse(conversation.named_as("sampling.choices"), "one answer is all that can be asked for")
    conversation = spoken_last(conversation, ledger, anywhere=facts.system_anywhere is True)
    conversation, enclosed = in_object(conversation, ledger)
    form = conversation.format
    native = fitted(form.schema) if facts.schema is True and form.schema is not None else None
    conversation, emulated, words = constrained(conversation, ledger, schema=native is not None, json=False)
    system, messages = _messages(conversation, facts, ledger)
    limit = sampling.max_output or facts.max_output or DEFAULT_OUTPUT
    if facts.max_output is not None and limit > facts.max_output:
        limit = facts.max_output
        ledger.lose_field("sampling.max_output", "clamped")
    body: Object = {"model": conversation.model, "max_tokens": limit, "messages": messages}
    tools = [_tool(tool, ledger) for tool in conversation.tools]
    choice = _choice(conversation)
    if not tools and (called := _called(conversation)):
        # a history of calls is refused without tools: they are defined, and not to be called
        tools = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in called]
        choice = {"type": "none"}
    if native is not None and conversation.format.shape is Shape.SCHEMA:
        schema, limited = native
        if limited:
            ledger.lose_field("format", "clamped")
        schema = titled(replace(form, schema=schema), ledger)
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if any(text.strip() for text in system):
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
    return Written("/messages", "", encode(body), ledger.losses, emulated, words, names, enclosed)


def _messages(conversation: Conversation, facts: Facts, ledger: Ledger) -> tuple[list[str], list[Object]]:
    system: list[str] = []
    messages: list[Object] = []
    mixed: list[list[Object]] = []  # contents in which a result stands behind something else
    speaker: Role | None = None
    for turn in conversation.turns:
        role = turn.role
        if turn.rest:
            ledger.rest(turn.rest, turn.at)
        if turn.name:
            ledger.lose(f"{turn.at}.name")
        if role is SYSTEM and (not messages or facts.system_anywhere is not True):
            if messages:
                ledger.lose(turn.at, "hoisted")
            system += _texts(turn, ledger)
            continue
        blocks: list[Object] = messages[-1]["content"] if role is speaker else []
        for part in turn.parts:
            if isinstance(part, TextPart):
                if part.rest:
                    ledger.rest(part.rest, part.at)
                if part.text and not part.text.isspace():
                    blocks.append({"type": "text", "text": part.text})
            elif isinstance(part, ToolUsePart):
                blocks.append(_call(part, ledger))
            elif isinstance(part, ToolResultPart):
                if blocks and "tool_use_id" not in blocks[-1]:
                    mixed.append(blocks)
                blocks.append(_result(part, turn, facts, ledger))
            else:
                blocks += _seldom(part, turn, facts, ledger)
        if role is not speaker and blocks:  # who says nothing is left out: an empty turn is refused there
            messages.append({"role": role._value_, "content": blocks})
            speaker = role
    for blocks in mixed:  # results first: what else the user says comes after them
        blocks.sort(key=_behind_results)
    if not messages:
        ledger.refuse("messages", "there is nothing to answer")
    if messages[0]["role"] != "user":
        ledger.lose(first_words(conversation), "emulated")
        messages.insert(0, {"role": "user", "content": [{"type": "text", "text": SILENCE}]})
    if messages[-1]["role"] == "assistant":
        last = conversation.turns[-1]
        if last.role is not Role.ASSISTANT:
            ledger.refuse(last.at, "an empty turn asks nothing")
        _unpadded(messages[-1]["content"][-1])
    return system, messages


def _called(conversation: Conversation) -> tuple[str, ...]:
    """The tools that the history has calls of, each once."""
    parts = (part for turn in conversation.turns for part in turn.parts)
    return tuple(dict.fromkeys(part.name for part in parts if isinstance(part, ToolUsePart)))


def _behind_results(block: Object) -> bool:
    return bool(block["type"] != "tool_result")


def _unpadded(block: Object) -> None:
    """White space behind an answer that was begun is refused there."""
    if "text" in block:
        block["text"] = block["text"].rstrip()


def _texts(turn: Turn, ledger: Ledger) -> Iterable[str]:
    for part in turn.parts:
        if isinstance(part, TextPart):
            ledger.rest(part.rest, part.at)
            yield part.text
        else:
            ledger.refuse(part.at, "a system prompt of text only")


def _call(part: ToolUsePart, ledger: Ledger) -> Object:
    if part.rest:
        ledger.rest(part.rest, part.at)
    given = arguments_of(part, ledger) if part.given is None else part.given
    return {"type": "tool_use", "id": ledger.id_of(part), "name": part.name, "input": given}


def _seldom(part: Part, turn: Turn, facts: Facts, ledger: Ledger) -> Iterable[Object]:
    match part:
        case RefusalPart(text=text):
            ledger.rest(part.rest, part.at)
            ledger.lose(part.at, "merged")  # a text like others
            if text.strip():
                yield {"type": "text", "text": text}
        case MediaPart():
            if turn.role is not Role.USER:
                ledger.refuse(part.at, f"{part.kind} outside of a user's turn")
            yield _media(part, ledger)
        case ThoughtPart(text=text, sealed=sealed):
            if facts.same_provider and sealed.get("type") in {"thinking", "redacted_thinking"}:
                yield {**sealed, "thinking": text} if sealed.get("type") == "thinking" else dict(sealed)
            else:
                ledger.lose(part.at)
        case OwnPart():
            ledger.refuse(part.at, f'no other dialect has "{part.name}"')
        case _:
            pass


def _result(part: ToolResultPart, turn: Turn, facts: Facts, ledger: Ledger) -> Object:
    if part.rest:
        ledger.rest(part.rest, part.at)
    content: list[Object] = []
    for inner in part.parts:
        if isinstance(inner, MediaPart):
            content += _seldom(inner, turn, facts, ledger)
            continue
        if inner.rest:
            ledger.rest(inner.rest, inner.at)
        if inner.text and not inner.text.isspace():
            content.append({"type": "text", "text": inner.text})
    result: Object = {"type": "tool_result", "tool_use_id": ledger.id_for(part), "content": content}
    if part.error:
        result["is_error"] = True
    return result


def _media(part: MediaPart, ledger: Ledger) -> Object:
    if part.file:
        ledger.refuse(part.at, "a file that only its own provider holds")
    if part.kind not in {MediaKind.IMAGE, MediaKind.DOCUMENT}:
        ledger.refuse(part.at, f"it takes no {part.kind}")
    ledger.rest(part.rest, part.at)
    if part.url.startswith("data:"):
        ledger.refuse(part.at, "a data URL that is not base64")
    source: Object = {"type": "url", "url": part.url}
    text = text_of(part)
    if text is not None:
        ledger.lose(part.at, "merged")
        source = {"type": "text", "media_type": "text/plain", "data": text}
    elif part.data:
        image = part.kind is MediaKind.IMAGE
        usual = "image/png" if image else "application/pdf"
        if part.type and part.type not in (IMAGES if image else {usual}):
            ledger.refuse(part.at, f"it takes no {part.type}")
        source = {"type": "base64", "media_type": part.type or usual, "data": part.data}
    said: Object = {"type": part.kind.value, "source": source}
    if part.name and part.kind is MediaKind.DOCUMENT:
        said["title"] = part.name
    elif part.name:
        ledger.lose(part.name_at)
    return said


def _tool(tool: Tool, ledger: Ledger) -> Object:
    if not tool.name:
        ledger.refuse(tool.at, "a tool that only its own provider runs")
    ledger.rest(tool.rest, tool.at)
    if tool.strict:
        ledger.lose(f"{tool.at}.strict")
    schema = {"type": "object", **(tool.schema or {"properties": {}})}
    said: Object = {"name": tool.name, "input_schema": schema}
    if tool.description:
        said["description"] = tool.description
    return said


def _choice(conversation: Conversation) -> Object | None:
    choice: Object | None = None
    if not conversation.tools:
        return None
    if conversation.choice is Choice.NAMED:
        choice = {"type": "tool", "name": conversation.named}
    elif conversation.choice is not None:
        choice = {"type": _SAID[conversation.choice]}
    if conversation.parallel is False and conversation.choice is not Choice.NONE:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _sampling(
    body: Object, conversation: Conversation, facts: Facts, ledger: Ledger, *, forced: bool
) -> None:
    sampling = conversation.sampling
    thinks = _think(body, facts, ledger, forced=forced)
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if name == "top_p" and "temperature" in body:  # newer models take one of the two
            if value != 1:
                ledger.lose_field("sampling.top_p")
        elif facts.sampling is False or (thinks and not (name == "temperature" and value == 1)):
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


def _think(body: Object, facts: Facts, ledger: Ledger, *, forced: bool) -> bool:
    """Set the thinking; True where it is on. Off where the dialect forbids it: beside a forced tool,
    and where the last answer is a call whose thoughts another provider had."""
    budget = ledger.budget()
    if budget is None:
        return False
    if budget != 0 and budget < LEAST_BUDGET:
        budget = 0 if budget > 0 else LEAST_BUDGET * 4
        if budget == 0:
            ledger.lose_field("thinking", "clamped")
    if budget == 0:
        if facts.thinking is True:  # some think unless they are told not to
            body["thinking"] = {"type": "disabled"}
        return False
    said = next((each for each in reversed(body["messages"]) if each["role"] == "assistant"), {"content": ()})
    looping = any(block["type"] == "tool_use" for block in said["content"])
    room = body["max_tokens"] - LEAST_BUDGET
    if forced or (looping and not facts.same_provider) or facts.thinking is False or room < LEAST_BUDGET:
        ledger.lose_field("thinking")
        return False
    if facts.adaptive_thinking:
        effort = ledger.effort() or Effort.LOW
        if effort is Effort.MINIMAL:
            effort = Effort.LOW  # told as clamped where the budget was
        body["thinking"] = {"type": "adaptive"}
        body.setdefault("output_config", {})["effort"] = effort.value
        return True
    if budget > room:
        ledger.lose_field("thinking", "clamped")
    body["thinking"] = {"type": "enabled", "budget_tokens": min(budget, room)}
    return True
