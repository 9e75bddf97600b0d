"""What every writer shares: the ledger of losses, ids that fit the target, efforts and budgets.

Between efforts and budgets: low is 1,024 tokens, medium 4,096, high 16,384; less than 1,024 is no
thinking (Anthropic's least budget). A budget becomes the nearest effort that is not above it.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Generic, NoReturn, TypeVar

import msgspec
from msgspec.structs import replace

from sidecar.hub.conversation import (
    Conversation,
    Effort,
    Format,
    Json,
    MediaKind,
    MediaPart,
    Rest,
    Role,
    TextPart,
    ThoughtPart,
    ToolResultPart,
    ToolUsePart,
    Unrepresentable,
)
from sidecar.model import Loss

T = TypeVar("T")
encode, decode = msgspec.json.encode, msgspec.json.decode

BUDGETS = {Effort.LOW: 1024, Effort.MEDIUM: 4096, Effort.HIGH: 16384}
MORE = {Effort.XHIGH: 32768, Effort.MAX: 32768}  # not of all: a budget never becomes one of these
LEAST_BUDGET = 1024
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})  # of OpenAI and Anthropic both
SILENCE = "(The user has said nothing yet.)"  # where a user has to begin, and the model did
LONGEST_ID = 40  # characters: OpenAI's limit in chat completions, the least of all
JSON_ONLY = "Answer with one JSON object and nothing else: no prose around it, no code fence."

# Fields that make their own provider the only one who can answer, once they say something.
_ONLY_THEIRS: Mapping[str, str] = {
    **dict.fromkeys(
        ("previous_response_id", "conversation", "prompt", "background", "container", "cachedContent",
         "cached_content"),
        "what only its own provider keeps",
    ),
    **dict.fromkeys(
        ("mcp_servers", "web_search_options"), "a tool that only its own provider runs"
    ),
    **dict.fromkeys(
        ("logprobs", "top_logprobs", "responseLogprobs", "response_logprobs"),
        "no other dialect gives log probabilities",
    ),
    **dict.fromkeys(("functions", "function_call"), "the older form of tools"),
    **dict.fromkeys(
        ("audio", "modalities", "responseModalities", "response_modalities"), "an answer that is not text"
    ),
}  # fmt: skip
# Fields that say nothing by these values: it is what everybody does who is not told.
_USUAL: Mapping[str, tuple[Json, ...]] = {
    **dict.fromkeys(("modalities", "responseModalities", "response_modalities"), (["text"], ["TEXT"])),
    "service_tier": ("auto", "default"),
    "store": (False,),  # nobody else keeps it either
    "truncation": ("disabled",),
    "verbosity": ("medium",),
}
_COST = frozenset({"cache_control", "prompt_cache_key", "prompt_cache_retention"})  # the bill's alone
# Fields of OpenAI's dialects both; sent on only where the same provider answers in the other one.
SHARED = frozenset(
    {"metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"}
)
_FITTING = re.compile(r"[\w-]+", re.ASCII).fullmatch


class Waiting(Generic[T]):
    """What is known of the calls without a result, by the source's ids. Some servers give two calls the same
    id: they are answered in their order.
    """

    def __init__(self) -> None:
        self._first: dict[str, T] = {}
        self._again: dict[str, list[T]] = {}  # more of the same id

    def add(self, ident: str, entry: T) -> None:
        if self._first.setdefault(ident, entry) is not entry:
            self._again.setdefault(ident, []).append(entry)

    def take(self, ident: str) -> T | None:
        found = self._first.pop(ident, None)
        if self._again and (more := self._again.get(ident)):
            self._first[ident] = more.pop(0)
        return found


class Ledger:
    """Losses of one request on its way into another dialect, told in the source's words."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._losses: dict[Loss, None] = {}
        self._unnamed = 0
        self._taken: set[str] = set()  # ids that were given out
        self._waiting: Waiting[str] = Waiting()  # the ids that the calls have now
        self._nameless: list[tuple[str, str]] = []  # the same of calls without an id, by their names

    @property
    def losses(self) -> tuple[Loss, ...]:
        return tuple(self._losses)

    @property
    def model(self) -> str:
        """Who is asked."""
        return self._conversation.model

    def lose(self, at: str, how: str = "dropped") -> None:
        """Say that what stands there does not go along."""
        self._losses[Loss(at, how)] = None

    def lose_field(self, field: str, how: str = "dropped") -> None:
        """The same of one of our fields, by the name it has in the source."""
        self.lose(self._conversation.named_as(field), how)

    def rest(self, rest: Rest, at: str) -> None:
        """What only the source's dialect has, below `at`; what says nothing is no loss."""
        for key, value in rest.items():
            if value is not None and value not in ([], {}, ""):
                self.lose(f"{at}.{key}" if at else key, "cost" if key in _COST else "dropped")

    def own_fields(self, kept: frozenset[str] = frozenset()) -> None:
        """The top-level fields that only the source's dialect has. Refuses what binds to its provider."""
        rest = {}
        for key, value in self._conversation.rest.items():
            name = key.rpartition(".")[2]
            if key in kept or value in _USUAL.get(name, ()):
                continue
            why = _ONLY_THEIRS.get(name)
            if why is None:
                rest[key] = value
            elif value or value == {}:  # {} is a wish, for whatever is usual
                self.refuse(key, why)
        self.rest(rest, "")

    def refuse(self, at: str, why: str) -> NoReturn:
        raise Unrepresentable(at, why)

    # ---- ids: the same call keeps the same id on both sides of it ------------------------------

    def id_of(self, call: ToolUsePart) -> str:
        """The id of a call in a form that every target takes. No two calls have the same, whatever the
        source says: some servers count their calls anew in every answer, and Anthropic refuses that.
        """
        if not call.id:
            self._unnamed += 1
            while (made := f"call_{self._unnamed}") in self._taken:
                self._unnamed += 1
            self._taken.add(made)
            self._nameless.append((call.name, made))
            return made
        made = call.id
        if len(made) > LONGEST_ID or not made.isascii() or not made.isidentifier():  # most are, soon seen
            made = fitting(made)
        while made in self._taken:
            made = fitting(f"{made} again")
        self._taken.add(made)
        self._waiting.add(call.id, made)
        return made

    def id_for(self, result: ToolResultPart) -> str:
        """The id of the call that this result answers: by its id, or by name and order where it has none."""
        if result.id:
            return self._waiting.take(result.id) or fitting(result.id)
        for number, (name, made) in enumerate(self._nameless):
            if not result.name or name == result.name:
                del self._nameless[number]
                return made
        return f"call_{result.name}"

    # ---- how much to think ---------------------------------------------------------------------

    def effort(self, most: Effort = Effort.MAX) -> Effort | None:
        """The effort that was asked for, or the nearest to the budget; None: neither, or a budget of 0."""
        thinking = self._conversation.thinking
        wanted = thinking.effort
        if wanted is None:
            if not thinking.budget:
                return None
            if thinking.budget < 0:  # Gemini's "as much as you like"
                return Effort.MEDIUM
            if thinking.budget not in BUDGETS.values():
                self.lose_field("thinking", "clamped")
            fitting = [effort for effort, budget in BUDGETS.items() if budget <= thinking.budget]
            return fitting[-1] if fitting else Effort.LOW
        order = list(Effort)
        if order.index(wanted) > order.index(most):
            self.lose_field("thinking", "clamped")
            return most
        return wanted

    def budget(self) -> int | None:
        """The budget that was asked for, or that stands for the effort; 0: do not think."""
        thinking = self._conversation.thinking
        if thinking.budget is not None or thinking.effort is None:
            return thinking.budget
        if thinking.effort is Effort.MINIMAL:
            self.lose_field("thinking", "clamped")  # there is no budget as small as that
        return {**BUDGETS, **MORE}.get(thinking.effort, 0)


def narrowed(conversation: Conversation, ledger: Ledger) -> Conversation:
    """With those tools alone that may be called, which comes to the same and is understood by everybody."""
    allowed = conversation.allowed
    if not allowed:
        return conversation
    for tool in conversation.tools:
        if tool.name and tool.name not in allowed:
            ledger.lose(tool.at)
    tools = tuple(tool for tool in conversation.tools if not tool.name or tool.name in allowed)
    return replace(conversation, tools=tools)


def first_words(conversation: Conversation) -> str:
    """Where the model speaks first."""
    parts = (part for turn in conversation.turns if turn.role is Role.ASSISTANT for part in turn.parts)
    return next(part.at for part in parts if not isinstance(part, ThoughtPart))


def spoken_last(conversation: Conversation, ledger: Ledger, *, anywhere: bool = False) -> Conversation:
    """Where instructions go to the front: those behind the model's last words are the user's instead.

    Else those words would be the end, which reads as a wish that the model goes on with them. Where there
    are instructions and nothing else, the last of them is the user's: somebody has to ask. That holds too
    where they may stand `anywhere`.
    """
    turns = conversation.turns
    first = len(turns)
    while first and turns[first - 1].role is Role.SYSTEM:
        first -= 1
    if not first and turns:
        first = len(turns) - 1
    elif anywhere or first in {0, len(turns)} or turns[first - 1].role is not Role.ASSISTANT:
        return conversation
    for turn in turns[first:]:
        ledger.lose(turn.at, "merged")
    users = [replace(turn, role=Role.USER) for turn in turns[first:]]
    return replace(conversation, turns=(*turns[:first], *users))


def fitting(ident: str) -> str:
    """An id of a call in a form that every dialect takes; the same for the same id, always."""
    if len(ident) <= LONGEST_ID and ident.isascii() and _FITTING(ident):
        return ident
    return f"call_{hashlib.sha256(ident.encode()).hexdigest()[:24]}"


def only_text(result: ToolResultPart) -> str | None:
    """What the tool said, if that is one text with nothing beside it, as it mostly is."""
    parts = result.parts
    if len(parts) == 1 and isinstance(parts[0], TextPart) and not parts[0].rest:
        return parts[0].text
    return None


def as_object(arguments: str) -> dict[str, Json] | None:
    """A tool's arguments as an object; None: they are none."""
    try:
        value = decode(arguments or "{}")
    except msgspec.DecodeError:
        return None
    if value is None:  # some models say null where a tool takes nothing
        return {}
    return value if isinstance(value, dict) else None


def arguments_of(call: ToolUsePart, ledger: Ledger) -> dict[str, Json]:
    """The arguments as an object. What the model wrote and is none stands in one: its tool has told it so."""
    given = as_object(call.arguments)
    if given is None:
        ledger.lose(call.at, "merged")
        given = {"arguments": call.arguments}
    return given


def text_of(part: MediaPart) -> str | None:
    """A document that is a text, for who takes no such document but its words. None: it is none."""
    if part.kind is not MediaKind.DOCUMENT or not part.data or not part.type.startswith("text/"):
        return None
    try:
        return b64decode(part.data, validate=True).decode() or None
    except ValueError:
        return None


def merged(texts: Iterable[str]) -> str:
    """Texts that the target takes as one."""
    return "\n\n".join(text for text in texts if text)


def strict_ready(schema: Json) -> bool:
    """Is it what OpenAI demands of a strict schema? Every object closed, every property required."""
    if isinstance(schema, list):
        return all(strict_ready(inner) for inner in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict) or schema.get("type") == "object":
        named = properties if isinstance(properties, dict) else {}
        required = schema.get("required") or []
        if schema.get("additionalProperties") is not False or not isinstance(required, list):
            return False
        if named.keys() != set(map(str, required)):
            return False
        return all(
            strict_ready(inner)
            for inner in (*named.values(), *(v for k, v in schema.items() if k != "properties"))
        )
    return all(strict_ready(inner) for inner in schema.values())


def titled(form: Format, ledger: Ledger) -> dict[str, Json]:
    """The schema, with its name and description in it: for who has no other place for them."""
    schema = dict(form.schema or {})
    for key, said in (("title", form.name), ("description", form.description)):
        if said and schema.setdefault(key, said) != said:
            ledger.lose_field(f"format.{'name' if key == 'title' else key}")
    return schema


def schema_name(form: Format) -> str:
    """A name for the schema that OpenAI takes."""
    title = (form.schema or {}).get("title")
    for name in (form.name, title):
        if isinstance(name, str) and 0 < len(name) <= 64 and _FITTING(name):
            return name
    return "answer"


def is_object_schema(schema: Mapping[str, Json]) -> bool:
    """Can only an object meet it, as far as its root says? Lists and texts are no answer everywhere."""
    return bool(schema.get("type", "object") == "object")


def is_whole(arguments: str) -> bool:
    """Are these the arguments of a call, all of them? An object that has ended takes no more pieces."""
    return arguments.rstrip().endswith("}") and as_object(arguments) is not None
