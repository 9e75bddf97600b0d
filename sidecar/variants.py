"""Prompt variants: what is said differently to one target [R15].

A model that stands in for another often needs other words, or a lower temperature. A variant belongs to
a target and is applied when that target is asked, in one of two places: in the body, where the client's
dialect is the target's, so that everything else keeps its bytes; in the conversation, where it is
translated anyway. Both say the same.

Parameters have one name for all dialects (`temperature`, `max_output`, `effort`, ...); None takes the
client's own away. Any other name is the target's own field and is set in the body, last: `own`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from sidecar.gate import edit
from sidecar.hub.conversation import Conversation, Effort, Json, Role, Sampling, TextPart, Thinking, Turn
from sidecar.model import System, Variant

_JOINT = "\n\n"


_CHAT: dict[str, edit.Path] = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "stop": ("stop",),
    "seed": ("seed",),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "max_output": ("max_completion_tokens",),
    "effort": ("reasoning_effort",),
    "parallel": ("parallel_tool_calls",),
}
_GEMINI = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "stop": "stopSequences", "seed": "seed",
    "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
    "max_output": "maxOutputTokens",
}  # fmt: skip
PLACES: Mapping[str, Mapping[str, edit.Path]] = {
    "openai_chat": _CHAT,
    "openai_responses": {
        **{name: _CHAT[name] for name in ("temperature", "top_p", "parallel")},
        "max_output": ("max_output_tokens",),
        "effort": ("reasoning", "effort"),
    },
    "anthropic": {
        **{name: _CHAT[name] for name in ("temperature", "top_p", "top_k")},
        "stop": ("stop_sequences",),
        "max_output": ("max_tokens",),
        "effort": ("output_config", "effort"),
    },
    "gemini": {
        **{ours: ("generationConfig", theirs) for ours, theirs in _GEMINI.items()},
        "effort": ("generationConfig", "thinkingConfig", "thinkingLevel"),
    },
}
NAMES = frozenset(_CHAT)  # of parameters that every dialect may have
KINDS: Mapping[str, tuple[type, ...]] = {
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": (int,),
    "stop": (list,),
    "seed": (int,),
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "max_output": (int,),
    "effort": (str,),
    "parallel": (bool,),
}
WANTED = {int: "a number", str: "a word", list: "a list of texts", bool: "true or false"}
FORBIDDEN = frozenset({"model", "messages", "input", "contents", "stream", "system", "instructions", "tools"})


def problems(variant: Variant) -> list[str]:
    """What is wrong with it, for people; empty: nothing."""
    said = []
    system = variant.system
    if system.replace is not None and (system.prepend is not None or system.append is not None):
        said.append("`system.replace` leaves nothing to prepend or append to; use one or the other")
    for name, value in variant.parameters.items():
        kinds = KINDS.get(name)
        if name in FORBIDDEN:
            said.append(
                f"`parameters.{name}` is no parameter; a variant changes the system prompt and options"
            )
        elif kinds is not None and value is not None and not _is(value, kinds):
            wanted = WANTED[kinds[0]]
            said.append(f"`parameters.{name}` is {value!r}; it wants {wanted}")
        elif name == "effort" and value is not None and value not in set(Effort):
            said.append(f"`parameters.effort` is {value!r}; there are {', '.join(Effort)}")
    return said


def unsaid(variant: Variant, dialect: str) -> list[str]:
    """Parameters that a body of this dialect has no place for, so that `in_body` leaves them out."""
    return [name for name in variant.parameters if name in NAMES and name not in PLACES[dialect]]


def _is(value: Json, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds)


def own(variant: Variant) -> dict[str, Json]:
    """The parameters that are the target's own fields."""
    return {name: value for name, value in variant.parameters.items() if name not in NAMES}


# ---- in a conversation -------------------------------------------------------------------------


def in_conversation(conversation: Conversation, variant: Variant) -> Conversation:
    """The conversation as this target is to hear it. `own` fields are set later: see `with_own`."""
    conversation = replace(conversation, turns=_instructed(conversation.turns, variant.system))
    given = variant.parameters
    wanted = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name in Sampling.__struct_fields__
    }
    if "stop" in wanted and wanted["stop"] is None:
        wanted["stop"] = ()
    if wanted:
        conversation = replace(conversation, sampling=replace(conversation.sampling, **wanted))
    if "effort" in given:
        effort = None if given["effort"] is None else Effort(given["effort"])
        thinking = Thinking(effort=effort, shown=conversation.thinking.shown)
        conversation = replace(conversation, thinking=thinking)
    if "parallel" in given:
        conversation = replace(conversation, parallel=given["parallel"])
    return conversation


def with_own(dialect: str, body: bytes, variant: Variant) -> bytes:
    """A written body with the target's own fields in it."""
    changes: dict[edit.Path, Json | edit.Absent] = {
        (name,): edit.ABSENT if value is None else value for name, value in own(variant).items()
    }
    return edit.edited(body, changes, snake=dialect == "gemini") if changes else body


def _instructed(turns: tuple[Turn, ...], system: System) -> tuple[Turn, ...]:
    """The leading system turns are the system prompt; later ones are part of the conversation."""
    count = next((n for n, turn in enumerate(turns) if turn.role is not Role.SYSTEM), len(turns))
    head = turns[:count]
    if system.replace is not None:
        head = (_told(system.replace),) if system.replace else ()
    if system.prepend:
        head = (_told(system.prepend), *head)
    if system.append:
        head = (*head, _told(system.append))
    return (*head, *turns[count:])


def _told(text: str) -> Turn:
    return Turn(Role.SYSTEM, (TextPart(text),))


# ---- in a body ---------------------------------------------------------------------------------


def in_body(dialect: str, body: bytes, variant: Variant) -> bytes:
    """The same for a body of the target's own dialect. Raises BadBody."""
    changes: dict[edit.Path, Json | edit.Absent] = dict(_prompt(dialect, body, variant.system))
    snake = dialect == "gemini"
    for name, value in variant.parameters.items():
        path = PLACES[dialect].get(name) if name in NAMES else (name,)
        if path is None:
            continue  # this dialect has no such parameter
        if name == "max_output" and dialect == "openai_chat":
            path = _limit_of(body)
        changes[path] = edit.ABSENT if value is None else value
    return edit.edited(body, changes, snake=snake) if changes else body


def _limit_of(body: bytes) -> edit.Path:
    """Chat completions has an old and a new name; the client's is the one that its server knows."""
    older = edit.member(body, ("max_tokens",))
    return ("max_completion_tokens",) if older is edit.ABSENT else ("max_tokens",)


def _prompt(dialect: str, body: bytes, system: System) -> dict[edit.Path, Json | edit.Absent]:
    if system == System():
        return {}
    match dialect:
        case "openai_chat":
            held = isinstance(edit.member(body, ("messages",)), list)
            return {("messages",): _messages(body, system)} if held else {}
        case "openai_responses":
            said = edit.member(body, ("instructions",))
            return {("instructions",): _joined(said, system) or edit.ABSENT}
        case "anthropic":
            return {("system",): _blocks(edit.member(body, ("system",)), system) or edit.ABSENT}
        case "gemini":
            return {
                ("systemInstruction",): _instruction(
                    edit.member(body, ("systemInstruction",), snake=True), system
                )
            }
        case _:
            return {}


def _instruction(said: Json, system: System) -> Json | edit.Absent:
    """Gemini's: a turn whose parts may be written as one part alone."""
    content = said if isinstance(said, dict) else {}
    parts = content.get("parts") or []
    parts = _parts(parts if isinstance(parts, list) else [parts], system, {})
    return {**content, "parts": parts} if parts else edit.ABSENT


def _joined(said: Json, system: System) -> str:
    text = said if isinstance(said, str) else ""
    text = text if system.replace is None else system.replace
    return _JOINT.join(piece for piece in (system.prepend, text, system.append) if piece)


def _parts(parts: list[Json], system: System, kind: dict[str, str]) -> list[Json]:
    def part(text: str | None) -> list[Json]:
        return [{**kind, "text": text}] if text else []

    kept = parts if system.replace is None else part(system.replace)
    return [*part(system.prepend), *kept, *part(system.append)]


def _blocks(said: Json, system: System) -> Json:
    """Anthropic's: a text, or a list of blocks that may be marked for the cache."""
    if isinstance(said, list):
        return _parts(said, system, {"type": "text"})
    return _joined(said, system)


def _messages(body: bytes, system: System) -> list[Json]:
    """One message with the prompt where there was one: some servers take no second one. The bytes of
    all the others stay."""
    raws = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["messages"]
    messages: list[msgspec.Raw] = msgspec.json.decode(raws, type=list[msgspec.Raw])
    first = next(
        (n for n, raw in enumerate(messages) if _role(raw) not in {"system", "developer"}), len(messages)
    )
    head: list[Json] = [msgspec.json.decode(raw) for raw in messages[:first]]
    if system.replace is not None:
        role = head[0]["role"] if head else "system"
        head = [{"role": role, "content": system.replace}] if system.replace else []
    for text, place in ((system.prepend, 0), (system.append, -1)):
        if not text:
            continue
        if not head:
            head = [{"role": "system", "content": text}]
            continue
        content = head[place].get("content")
        if isinstance(content, list):
            new = {"type": "text", "text": text}
            head[place]["content"] = [new, *content] if place == 0 else [*content, new]
        else:
            pieces = (text, content) if place == 0 else (content, text)
            head[place]["content"] = _JOINT.join(piece for piece in pieces if piece)
    return [*head, *messages[first:]]


def _role(raw: msgspec.Raw) -> Json:
    message = msgspec.json.decode(raw)
    return message.get("role") if isinstance(message, dict) else None
