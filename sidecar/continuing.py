"""Going on with a text that was cut: may it be, and what is asked then.

Why so little may. Whoever goes on sees the text so far and nothing else: not the thoughts behind it, not
the call that was half written, not the grammar that held the words. So only plain text is continued, of a
request in which nothing but text is in play; anything else ends with an error that says so.

How. The request is the client's own with one turn more, the model's own words so far. Providers that take
such a prefill go on right behind it. It may not end in white space (Anthropic refuses that), so white space
at the seam is left out of the question and, where the answer repeats it, out of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.dialects.base import BadBody
from sidecar.gate import edit
from sidecar.gate.tokens import START
from sidecar.hub import TONGUES
from sidecar.hub.conversation import Conversation, Effort, Json, Role, Shape, TextPart, Thinking
from sidecar.models.card import Ability, Card
from sidecar.variants import PLACES

LONGEST = 256 * 1024  # characters of text that are asked to be continued

# in other dialects it takes a field of the server's own
_PREFILLED = frozenset({"anthropic", "gemini"})
# where the turns stand
_TURNS: Mapping[str, edit.Path] = {
    "openai_chat": ("messages",),
    "openai_responses": ("input",),
    "anthropic": ("messages",),
    "gemini": ("contents",),
}


def takes(dialect: str, card: Card | None) -> bool:
    """Does this target go on with a last turn of its own? Only who is known to does."""
    return dialect in _PREFILLED and card is not None and card.can(Ability.PREFILL) is True


def plain(dialect: str, path: str, body: bytes) -> Conversation | None:
    """The conversation, if nothing but text is in play in it; else None."""
    tongue = TONGUES.get(dialect)
    if tongue is None:
        return None
    try:
        asked = tongue.read(path, body)
    except BadBody:
        return None
    thinks = asked.thinking not in (Thinking(), Thinking(effort=Effort.NONE))
    if asked.tools or thinks or asked.format.shape is not Shape.TEXT:
        return None
    if (asked.sampling.choices or 1) != 1 or not asked.turns or asked.turns[-1].role is Role.ASSISTANT:
        return None
    words = all(isinstance(part, TextPart) for turn in asked.turns for part in turn.parts)
    return asked if words and not asked.rest.keys() & _BOUND else None


# what only one provider holds, or what makes the answer more than text
_BOUND = frozenset({"previous_response_id", "conversation", "prompt", "audio", "modalities", "container"})


def prefilled(dialect: str, body: bytes, text: str, max_output: int | None) -> bytes:
    """The request with `text` as the model's own last words. `max_output`: tokens the client allowed in
    all; what was said is taken off, by a guess. Raises BadBody.
    """
    place, snake = _TURNS[dialect], dialect == "gemini"
    turns = edit.member(body, place, snake=snake)
    listed: list[Json] = turns if isinstance(turns, list) else [_first(dialect, turns)]
    changes: dict[edit.Path, Json | edit.Absent] = {place: [*listed, _own(dialect, text)]}
    if max_output is not None:
        left = max(1, max_output - int(len(text.encode()) / START))
        changes |= {
            path: left
            for path in _limits(dialect)
            if edit.member(body, path, snake=snake) not in (edit.ABSENT, None)
        }
    return edit.edited(body, changes, snake=snake)


def _limits(dialect: str) -> tuple[edit.Path, ...]:
    path = PLACES[dialect]["max_output"]
    return (path, ("max_tokens",)) if dialect == "openai_chat" else (path,)


def _first(dialect: str, turns: Json) -> Json:
    """Responses and Gemini take one text, or one turn, where others want a list."""
    if isinstance(turns, str):
        return {"role": "user", "content": turns}
    if not isinstance(turns, dict):
        raise BadBody(f"{'.'.join(_TURNS[dialect])} is no list of turns")
    return turns


def _own(dialect: str, text: str) -> Json:
    match dialect:
        case "gemini":
            return {"role": "model", "parts": [{"text": text}]}
        case "openai_responses":
            return {"role": "assistant", "content": [{"type": "output_text", "text": text}]}
        case _:
            return {"role": "assistant", "content": text}


class Seam:
    """What of a continuation is new: white space that was said before the cut is not said again."""

    __slots__ = ("_said",)

    def __init__(self, said: str) -> None:
        self._said = said[len(said.rstrip()) :]

    def new(self, text: str) -> str:
        while text and self._said:
            if text[0] != self._said[0]:
                self._said = ""
                break
            text, self._said = text[1:], self._said[1:]
        return text
