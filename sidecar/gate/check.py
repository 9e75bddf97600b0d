"""Compares what a request needs with what a target can do.

Three ways out. `Skip`: the target would refuse, or could only answer another question; the reason is a
label, the field is the client's own word for it. `Fit` with changes: the request fits if these fields are
clamped or dropped, each of which is told as a loss. `Fit` without: it fits as it is.

Unknown is allowed. With `strict` it is not, and what would be dropped without the client noticing the
difference in form (stop sequences, the wish for one tool at a time) is a reason to skip as well.

What a dialect as such cannot say is its writer's to refuse or to name as lost; here stand only those of
them that decide whether it is worth beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import assert_never

import msgspec
from msgspec import Struct

from sidecar.gate import edit, tokens
from sidecar.gate.features import Features
from sidecar.hub.base import Facts
from sidecar.hub.conversation import Choice, Conversation, Effort, Json, Shape
from sidecar.model import Loss
from sidecar.models.card import Ability, Card

WARNING = timedelta(days=30)  # before a model retires
MOST_STOPS = {"openai_chat": 4, "openai_responses": 0, "gemini": 5}
MOST_CHOICES = {"openai_responses": 1, "anthropic": 1, "gemini": 8}


class Reason(StrEnum):
    """Why a target is passed over. The words are labels of a metric."""

    UNKNOWN_MODEL = "unknown_model"  # strict, and the catalogue does not know it
    RETIRED = "retired"
    CONTEXT_WINDOW = "context_window"
    IMAGES = "images"
    DOCUMENTS = "documents"
    AUDIO = "audio"
    VIDEO = "video"
    REMOTE_MEDIA = "remote_media"
    TOOLS = "tools"
    TOOL_CHOICE = "tool_choice"
    PARALLEL_TOOLS = "parallel_tools"
    SCHEMA = "schema"
    STOPS = "stops"
    CHOICES = "choices"
    LOGPROBS = "logprobs"
    PREFILL = "prefill"
    SYSTEM = "system"
    SERVER_STATE = "server_state"
    SERVER_TOOLS = "server_tools"
    DENIED = "denied"  # it said before that it does not take this field


SAID: Mapping[Reason, str] = {
    Reason.UNKNOWN_MODEL: "the catalogue does not know its model, and the route is strict",
    Reason.RETIRED: "its model is retired",
    Reason.CONTEXT_WINDOW: "the prompt and the answer's limit are more than its context window",
    Reason.IMAGES: "it takes no images",
    Reason.DOCUMENTS: "it takes no documents",
    Reason.AUDIO: "it takes no audio",
    Reason.VIDEO: "it takes no video",
    Reason.REMOTE_MEDIA: "it fetches no documents from an address",
    Reason.TOOLS: "it takes no tools",
    Reason.TOOL_CHOICE: "it cannot be made to call a tool",
    Reason.PARALLEL_TOOLS: "it cannot be kept from calling several tools at once",
    Reason.SCHEMA: "it gives no structured output",
    Reason.STOPS: "it takes fewer stop sequences",
    Reason.CHOICES: "it does not give so many choices",
    Reason.LOGPROBS: "it gives no log probabilities, or other ones",
    Reason.PREFILL: "it does not go on with a turn that was begun for it",
    Reason.SYSTEM: "it takes no system message here",
    Reason.SERVER_STATE: "only its own provider keeps this",
    Reason.SERVER_TOOLS: "only its own provider runs this tool",
    Reason.DENIED: "it has said before that it does not take this",
}


class How(StrEnum):
    CLAMPED = "clamped"
    DROPPED = "dropped"


class Change(Struct, frozen=True):
    """One field that has to change. `field` is ours ("sampling.max_output"), see PLACES."""

    field: str
    how: How
    value: Json = None


class Skip(Struct, frozen=True):
    """`field`: where the obstacle stands in the source, in our words or by its path; "" where nowhere."""

    reason: Reason
    field: str = ""


class Fit(Struct, frozen=True):
    changes: tuple[Change, ...] = ()
    retires: date | None = None  # soon: worth a warning


@dataclass(frozen=True, slots=True)
class Way:
    """From whom to whom."""

    dialect: str  # the target's
    translated: bool = False  # the client speaks another one
    same_provider: bool = False  # files and earlier answers are known there
    strict: bool = False


def reading_matters(features: Features, card: Card | None) -> bool:
    """Should a request that was not read be read, because it could be too long?"""
    if features.read or features.embedding or card is None or card.window is None:
        return False
    return tokens.matters(features.size, 0, card.window - (features.max_output or 0))


def check(
    features: Features, card: Card | None, way: Way, *, wall: float, ratio: float = tokens.START
) -> Skip | Fit:
    """`ratio`: bytes a token takes there, see tokens.Ratios. `wall`: Unix time."""
    if card is None:
        if way.strict:
            return Skip(Reason.UNKNOWN_MODEL)
        card = Card(provider="", name="")
    today = datetime.fromtimestamp(wall, UTC).date()
    if card.retires is not None and today > card.retires:
        return Skip(Reason.RETIRED)
    obstacle = (
        _bound(features, way)
        or _media(features, card, way)
        or _tooling(features, card, way)
        or _form(features, card, way)
        or _turns(features, card, way)
        or _length(features, card, ratio)
    )
    if obstacle is not None:
        return obstacle
    soon = card.retires is not None and today >= card.retires - WARNING
    return Fit(tuple(_changes(features, card, way)), card.retires if soon else None)


def retiring(card: Card | None, wall: float) -> date | None:
    """Its model's last day, if that is over or near."""
    if card is None or card.retires is None:
        return None
    return card.retires if datetime.fromtimestamp(wall, UTC).date() >= card.retires - WARNING else None


def facts(card: Card | None, way: Way) -> Facts:
    """What a writer has to know of its target."""
    if card is None:
        return Facts(same_provider=way.same_provider)
    native = card.can(Ability.NATIVE_SCHEMA)
    if way.dialect != "anthropic":  # there the plain word means "by a forced tool" as well
        native = native or card.can(Ability.SCHEMA)
    return Facts(
        max_output=card.output,
        system_anywhere=card.can(Ability.SYSTEM_ANYWHERE),
        schema=native,
        sampling=card.can(Ability.SAMPLING),
        thinking=card.can(Ability.THINKING),
        adaptive_thinking=card.can(Ability.ADAPTIVE),
        same_provider=way.same_provider,
    )


# ---- obstacles ---------------------------------------------------------------------------------


def _lacks(card: Card, ability: Ability, way: Way) -> bool:
    can = card.can(ability)
    return can is False or (can is None and way.strict)


def _bound(features: Features, way: Way) -> Skip | None:
    if way.same_provider:
        return None
    if features.state_at:
        return Skip(Reason.SERVER_STATE, features.state_at)
    return Skip(Reason.SERVER_TOOLS, features.server_tool_at) if features.server_tool_at else None


def _media(features: Features, card: Card, way: Way) -> Skip | None:
    if features.images and _lacks(card, Ability.IMAGES, way):
        return Skip(Reason.IMAGES)
    if features.documents and _lacks(card, Ability.DOCUMENTS, way):
        return Skip(Reason.DOCUMENTS)
    deaf = way.translated and way.dialect in {"anthropic", "openai_responses"}
    if features.audio and (deaf or _lacks(card, Ability.AUDIO, way)):
        return Skip(Reason.AUDIO)
    blind = way.translated and way.dialect != "gemini"
    if features.video and (blind or _lacks(card, Ability.VIDEO, way)):
        return Skip(Reason.VIDEO)
    if way.translated and way.dialect == "openai_chat" and features.remote_document_at:
        return Skip(Reason.REMOTE_MEDIA, features.remote_document_at)
    return None


def _tooling(features: Features, card: Card, way: Way) -> Skip | None:
    if not features.tools:
        return None
    if _lacks(card, Ability.TOOLS, way):
        return Skip(Reason.TOOLS, "tools")
    forced = features.choice in {Choice.REQUIRED, Choice.NAMED}
    if forced and (_lacks(card, Ability.CHOICE, way) or card.can(Ability.FORCED) is False):
        return Skip(Reason.TOOL_CHOICE, "choice")
    if features.parallel is False and way.strict and not _switches(card, way):
        return Skip(Reason.PARALLEL_TOOLS, "parallel")
    return None


def _form(features: Features, card: Card, way: Way) -> Skip | None:
    if features.shape is Shape.SCHEMA and not _answers_schema(card, way):
        return Skip(Reason.SCHEMA, "format")
    if features.choices > MOST_CHOICES.get(way.dialect, features.choices):
        return Skip(Reason.CHOICES, "sampling.choices")
    if features.logprobs_at and way.translated:
        return Skip(Reason.LOGPROBS, features.logprobs_at)
    most = MOST_STOPS.get(way.dialect)
    if way.strict and way.translated and most is not None and features.stops > most:
        return Skip(Reason.STOPS, "sampling.stop")
    return None


def _answers_schema(card: Card, way: Way) -> bool:
    """Natively, or by a forced tool, which only a translated request can be given."""
    if not _lacks(card, Ability.SCHEMA, way) or card.can(Ability.NATIVE_SCHEMA):
        return True
    return way.translated and not _lacks(card, Ability.TOOLS, way) and card.can(Ability.FORCED) is not False


def _turns(features: Features, card: Card, way: Way) -> Skip | None:
    if features.prefill_at:
        starts_anew = way.dialect in {"openai_chat", "openai_responses"} and way.translated
        if (starts_anew and features.continues) or (
            way.dialect == "anthropic" and card.can(Ability.PREFILL) is False
        ):
            return Skip(Reason.PREFILL, features.prefill_at)
    if features.system and card.can(Ability.SYSTEM) is False:
        return Skip(Reason.SYSTEM)
    if features.late_system_at and not way.translated and card.can(Ability.SYSTEM_ANYWHERE) is False:
        return Skip(Reason.SYSTEM, features.late_system_at)
    return None


def _length(features: Features, card: Card, ratio: float) -> Skip | None:
    if not features.read or features.embedding or card.window is None:
        return None
    wanted = min(features.max_output or 0, card.output or features.max_output or 0)
    room, fixed = card.window - wanted, tokens.media(features)
    if not tokens.matters(features.size, fixed, room):
        return None
    if (tokens.tokens(features.size, ratio) + fixed) * tokens.SAFETY > room:
        return Skip(Reason.CONTEXT_WINDOW)
    return None


# ---- changes -----------------------------------------------------------------------------------


def _switches(card: Card, way: Way) -> bool:
    return way.dialect != "gemini" and card.can(Ability.SWITCH) is not False


def _changes(features: Features, card: Card, way: Way) -> list[Change]:
    changes = []
    most = card.output
    if most is not None and features.max_output is not None and features.max_output > most:
        changes.append(Change("sampling.max_output", How.CLAMPED, most))
    if card.can(Ability.SAMPLING) is False:
        changes += [Change(f"sampling.{name}", How.DROPPED) for name in features.sampling]
    if features.tools and features.parallel is False and not _switches(card, way):
        changes.append(Change("parallel", How.DROPPED))
    if card.can(Ability.THINKING) is False and (features.thinks or features.effort is not None):
        changes.append(Change("thinking", How.DROPPED))
    elif features.effort is not None:
        effort = _nearest(features.effort, card)
        if effort is not features.effort:
            changes.append(Change("thinking", How.CLAMPED, effort.value))
    return changes


def _nearest(effort: Effort, card: Card) -> Effort:
    """The nearest effort that the model knows, if it does not know this one. Of the highest two the catalogue
    names those that a model has, so one that it does not name beside the other is not there.
    """
    most, more = card.can(Ability.MAX_EFFORT), card.can(Ability.XHIGH_EFFORT)
    if effort is Effort.MAX and (most is False or (most is None and more is not None)):
        effort = Effort.XHIGH
    if effort is Effort.XHIGH and (more is False or (more is None and most)):
        return Effort.HIGH
    if effort is Effort.NONE and card.can(Ability.NO_EFFORT) is False:
        effort = Effort.MINIMAL
    if effort is Effort.MINIMAL and card.can(Ability.MINIMAL_EFFORT) is False:
        return Effort.LOW
    return effort


# ---- changes made ------------------------------------------------------------------------------

_CHAT: dict[str, tuple[edit.Path, ...]] = {
    "sampling.max_output": (("max_completion_tokens",), ("max_tokens",)),
    "sampling.temperature": (("temperature",),),
    "sampling.top_p": (("top_p",),),
    "sampling.top_k": (("top_k",),),
    "parallel": (("parallel_tool_calls",),),
    "thinking": (("reasoning_effort",),),
}
PLACES: dict[str, dict[str, tuple[edit.Path, ...]]] = {
    "openai_chat": _CHAT,
    "openai_responses": {
        **_CHAT,
        "sampling.max_output": (("max_output_tokens",),),
        "thinking": (("reasoning", "effort"),),
    },
    "anthropic": {
        **_CHAT,
        "sampling.max_output": (("max_tokens",),),
        "parallel": (("tool_choice", "disable_parallel_tool_use"),),
        "thinking": (("thinking",), ("output_config", "effort")),
    },
    "gemini": {
        "sampling.max_output": (("generationConfig", "maxOutputTokens"),),
        "sampling.temperature": (("generationConfig", "temperature"),),
        "sampling.top_p": (("generationConfig", "topP"),),
        "sampling.top_k": (("generationConfig", "topK"),),
        "parallel": (),
        "thinking": (("generationConfig", "thinkingConfig"),),
    },
}
_LEVEL = {
    "anthropic": ("output_config", "effort"),
    "gemini": ("generationConfig", "thinkingConfig", "thinkingLevel"),
}


def trimmed(dialect: str, body: bytes, changes: tuple[Change, ...]) -> bytes:
    """The body with the changes made, for a target of the client's own dialect. Raises BadBody."""
    snake = dialect == "gemini"
    made: dict[edit.Path, Json | edit.Absent] = {}
    for change in changes:
        match change.how:
            case How.DROPPED:
                made |= dict.fromkeys(PLACES[dialect][change.field], edit.ABSENT)
            case How.CLAMPED:
                places = PLACES[dialect][change.field]
                if change.field == "thinking" and dialect in _LEVEL:
                    places = (_LEVEL[dialect],)
                made |= {
                    place: change.value
                    for place in places
                    if edit.member(body, place, snake=snake) not in (edit.ABSENT, None)
                }
            case other:
                assert_never(other)
    return edit.edited(body, made, snake=snake) if made else body


def settled(conversation: Conversation, changes: tuple[Change, ...]) -> Conversation:
    """The same for a conversation, before it is written for another dialect."""
    for change in changes:
        group, _, name = change.field.partition(".")
        value = change.value if change.how is How.CLAMPED else None
        if group == "sampling":
            sampling = msgspec.structs.replace(conversation.sampling, **{name: value})
            conversation = msgspec.structs.replace(conversation, sampling=sampling)
        elif group == "parallel":
            conversation = msgspec.structs.replace(conversation, parallel=None)
        elif group == "thinking":
            effort = Effort(value) if value is not None else None
            thinking = type(conversation.thinking)(effort=effort, shown=conversation.thinking.shown)
            conversation = msgspec.structs.replace(conversation, thinking=thinking)
    return conversation


def losses(conversation: Conversation | None, changes: tuple[Change, ...]) -> tuple[Loss, ...]:
    """What to tell the client, in its own words where its conversation was read."""
    named = conversation.named_as if conversation is not None else str
    return tuple(Loss(named(change.field), change.how.value) for change in changes)
