"""What targets said they do not take, learned from their own words for the life of the process.

Lists of abilities have gaps and errors; a 400 that names a field has not. So whoever refused a field
once is not sent it again: an optional one is dropped (and told), one that carries meaning makes the
target unfit for requests that have it. A value that is refused denies that value, a pair denies the
second where the first is there, and a field with a new name gets the new name.

A denial is used for stand-ins only. The client's own target sees the client's own bytes: if they
are wrong, the client has to see the complaint, each time.

Nothing that a provider writes gets further than a name of plain characters; what a refusal
says about messages, tools or schemas in detail is about that request and teaches nothing.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sidecar.gate import edit
from sidecar.gate.check import Change, How, Reason, Skip
from sidecar.models.card import Ability, Card

KEPT = 256  # targets; the least recently used go first
EACH = 32  # denials of one target; the oldest go first
LARGEST = 64 * 1024  # bytes of a refusal that are read
_AT_ONCE = 8  # denials of one refusal

# what a request means: never dropped, whoever refuses it
ESSENTIAL = frozenset(
    {
        "n", "candidateCount", "stream", "logprobs", "top_logprobs", "responseLogprobs", "modalities",
        "responseModalities", "audio", "prompt", "previous_response_id", "conversation", "container",
        "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "cachedContent",
    }
)  # fmt: skip
# what a refusal can only complain about for this one request
_CONTENT = frozenset(
    {
        "model", "messages", "contents", "input", "system", "instructions", "systemInstruction", "tools",
        "functions", "tool_choice", "toolConfig", "response_format", "text", "safetySettings",
    }
)  # fmt: skip
_SHAPES = frozenset({"responseSchema", "responseJsonSchema", "responseMimeType", "format", "output_format"})
_BY_VALUE = frozenset({"reasoning_effort", "effort", "verbosity", "service_tier", "thinkingLevel", "summary"})
_CONFIG = frozenset(
    {
        "temperature", "topP", "topK", "seed", "presencePenalty", "frequencyPenalty", "stopSequences",
        "thinkingConfig", "candidateCount", "maxOutputTokens", "responseLogprobs", "logprobs",
    }
)  # fmt: skip


class Denial(Struct, frozen=True):
    """A field of the target's own dialect (or an ability) that it does not take.

    `value`: only this one; `beside`: only together with that one; `instead`: its new name.
    """

    field: str = ""  # a path with dots
    ability: Ability | None = None
    value: str = ""
    beside: str = ""
    instead: str = ""

    @property
    def path(self) -> edit.Path:
        return tuple(self.field.split("."))


# ---- reading a refusal --------------------------------------------------------------------------

_NAME = r"([A-Za-z_]\w{0,39}(?:\.\w{1,40}){0,3})"
_QUOTED = r"[`'\"]" + _NAME + r"[`'\"]"
_FIELD_RULES = tuple(
    re.compile(rule, re.IGNORECASE)
    for rule in (
        rf"unsupported (?:parameter|value|argument)s?:? {_QUOTED}",
        rf"unknown (?:parameter|argument|field)s?:? {_QUOTED}",
        rf"unrecognized request arguments? supplied: {_NAME}",
        rf"property {_QUOTED} is unsupported",
        rf"argument not supported on this model: {_NAME}",
        rf"does not support (?:the )?(?:parameter|argument) (?:{_QUOTED}|{_NAME})",
        rf"^(?:[\w .:-]{{0,40}}: )?{_QUOTED}(?: parameter)? is (?:not|no longer) supported",
        rf"^(?:[\w .:-]{{0,40}}: )?{_QUOTED}(?: parameter)? is (?:deprecated|unsupported)",
        rf"^{_NAME}: extra inputs are not permitted",
        rf"extra inputs are not permitted, field: {_QUOTED}",
        rf"parameter {_QUOTED} (?:is|are) (?:not supported|unsupported)",
    )
)
_VALUE = re.compile(
    r"does not support '([\w-]{1,32})' with|unsupported value: '([\w-]{1,32})' is not", re.IGNORECASE
)
_REFUSED = frozenset({"unsupported_parameter", "unknown_parameter", "unsupported_value"})
_INSTEAD = re.compile(rf"use {_QUOTED} instead", re.IGNORECASE)
_PAIR = re.compile(rf"{_QUOTED} and {_QUOTED} cannot both be", re.IGNORECASE)
_BARE_PAIR = re.compile(r"\b(temperature) and (top_p) cannot both be", re.IGNORECASE)
_UNKNOWN_NAME = re.compile(
    r"unknown name \"(\w{1,64})\"(?: at '([\w.]{1,64})')?: cannot find field", re.IGNORECASE
)
_EXTRA = frozenset({"extra_forbidden", "value_error.extra"})  # pydantic's word, and its older one
_FORBIDDEN = re.compile(r"'extra_forbidden', 'loc': \('body', '(\w{1,64})'\)")
_PENALTY = re.compile(r"penalty is not enabled", re.IGNORECASE)
_FORM = r"json mode|json_schema|structured outputs?|response_format\S*(?: of type \S+)?"
_NOT = r"(?:is|are) (?:not|only) (?:supported|enabled|available)"
_DOES_NOT = r"(?:does not|doesn't|do not|cannot) (?:support|accept|process|handle)(?: \w+)?"
_ABILITY_RULES = tuple(
    (re.compile(rule, re.IGNORECASE), ability)
    for rule, ability in (
        (rf"(?:function calling|tool calling|tool use|tools) {_NOT}", Ability.TOOLS),
        (rf"{_DOES_NOT} (?:tools?\b|function calling|tool calling|tool use)", Ability.TOOLS),
        (
            rf"(?:json mode|json_schema|structured outputs?|response_format\S*(?: of type \S+)?) {_NOT}",
            Ability.SCHEMA,
        ),
        (rf"{_DOES_NOT} (?:json_schema|structured outputs?|response_format|response format)", Ability.SCHEMA),
        (rf"(?:image_url|images?(?: inputs?)?|vision) {_NOT}", Ability.IMAGES),
        (rf"{_DOES_NOT} (?:images?\b|vision|image input)", Ability.IMAGES),
        (rf"(?:pdfs?|documents?|pdf input) {_NOT}|{_DOES_NOT} (?:pdfs?\b|documents?\b)", Ability.DOCUMENTS),
        (rf"audio(?: input)? {_NOT}|{_DOES_NOT} audio", Ability.AUDIO),
        (rf"{_DOES_NOT} (?:message )?prefill|prefill\w* {_NOT}", Ability.PREFILL),
        (rf"(?:developer instruction|system (?:role|prompt|instruction|message)s?) {_NOT}", Ability.SYSTEM),
        (rf"adaptive thinking {_NOT}", Ability.ADAPTIVE),
        (
            rf"(?<!adaptive )thinking(?: level| budget)? {_NOT}|{_DOES_NOT} (?:thinking|reasoning)\b",
            Ability.THINKING,
        ),
    )
)


def learned(dialect: str, status: int, body: bytes) -> tuple[Denial, ...]:
    """What this refusal teaches; mostly nothing."""
    if status not in {400, 422} or len(body) > LARGEST:
        return ()
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ()
    if isinstance(said, list):  # Gemini, where a stream was asked for
        said = said[0] if said else None
    found: dict[Denial, None] = {}
    for denial in _denials(dialect, said):
        if len(found) < _AT_ONCE:
            found[denial] = None
    return tuple(found)


def _denials(dialect: str, said: Any) -> Iterator[Denial]:
    if not isinstance(said, dict):
        return
    details = said.get("detail")
    inner = said.get("message")
    if isinstance(inner, dict):
        details = inner.get("detail", details)
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("type") in _EXTRA:
            yield from _named(dialect, _last(detail.get("loc")))
    error = said.get("error", said)
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        return
    message = error.get("message")
    message = message[:4096] if isinstance(message, str) else ""
    found = False
    for denial in _fields(dialect, error, message):
        found = True
        yield denial
    if not found:
        yield from (Denial(ability=ability) for rule, ability in _ABILITY_RULES if rule.search(message))


def _fields(dialect: str, error: dict[str, Any], message: str) -> Iterator[Denial]:
    pair = _PAIR.search(message) or _BARE_PAIR.search(message)
    if pair is not None:
        yield from _named(dialect, pair[2], beside=pair[1])
        return
    for match in _UNKNOWN_NAME.finditer(message):
        around = _camel(match[2]) if match[2] else ""
        if "." not in around:
            yield from _named(dialect, f"{around}.{_camel(match[1])}" if around else match[1])
    for match in _FORBIDDEN.finditer(message):
        yield from _named(dialect, match[1])
    if _PENALTY.search(message):
        for name in ("presence_penalty", "frequency_penalty"):
            yield from _named(dialect, name)
    name, value, instead = "", "", ""
    refused = _VALUE.search(message)
    if refused is not None or str(error.get("code")) in _REFUSED:
        name = error["param"] if isinstance(error.get("param"), str) else ""
    matches = (rule.search(message) for rule in _FIELD_RULES)
    for found in matches if not name else ():
        name = name or next((group for group in (found.groups() if found else ()) if group), "")
    new = _INSTEAD.search(message)
    if new is not None:
        instead = new[1]
    if refused is not None and name.rpartition(".")[2] in _BY_VALUE:
        value = refused[1] or refused[2]
    yield from _named(dialect, name, value=value, instead=instead)


def _named(
    dialect: str, name: str, *, value: str = "", beside: str = "", instead: str = ""
) -> Iterator[Denial]:
    """A denial of this field; of an ability where the field is one; nothing where it is content."""
    if not re.fullmatch(_NAME, name):
        return
    if dialect == "gemini":
        name = ".".join(map(_camel, name.split(".")))
        if name in _CONFIG:
            name = f"generationConfig.{name}"
    elif any(letter.isupper() for letter in name):
        name = re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)
    first, _, last = name.partition(".")
    if (last or first).rpartition(".")[2] in _SHAPES or name in {"response_format", "response_format.type"}:
        yield Denial(ability=Ability.SCHEMA)
    elif name in {"tools", "functions"}:
        yield Denial(ability=Ability.TOOLS)
    elif name == "tool_choice":
        yield Denial(ability=Ability.CHOICE)
    elif first not in _CONTENT or name == "text.verbosity":
        yield Denial(field=name, value=value, beside=beside, instead=instead)


def _last(where: Any) -> str:
    steps = [step for step in where if step != "body"] if isinstance(where, list) else []
    return ".".join(steps) if all(isinstance(step, str) for step in steps) else ""


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda letter: letter[1].upper(), name)


# ---- what is remembered ---------------------------------------------------------------------------


@dataclass(slots=True)
class Denials:
    """By target."""

    _known: OrderedDict[str, dict[Denial, None]] = field(default_factory=OrderedDict)

    def learn(self, target: str, denials: Iterable[Denial]) -> tuple[Denial, ...]:
        """Remember; returns those that are new."""
        new = []
        for denial in denials:
            known = self._known.setdefault(target, {})
            if denial not in known:
                new.append(denial)
                known[denial] = None
                while len(known) > EACH:
                    del known[next(iter(known))]
        if target in self._known:
            self._known.move_to_end(target)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return tuple(new)

    def of(self, target: str) -> tuple[Denial, ...]:
        return tuple(self._known.get(target, ()))

    def card(self, target: str, card: Card | None) -> Card | None:
        """The card with the abilities taken off that the target denied."""
        denied = {denial.ability for denial in self._known.get(target, ()) if denial.ability is not None}
        if not denied:
            return card
        card = card or Card(provider="", name="")
        return replace(card, yes=card.yes - denied, no=card.no | denied)


def obeyed(dialect: str, body: bytes, denials: Iterable[Denial]) -> tuple[bytes, tuple[Change, ...]] | Skip:
    """A body, ready for its target, without what that target denied. Raises BadBody.

    The changes name fields as the target does.
    """
    made: dict[edit.Path, Any] = {}
    changes = []
    snake = dialect == "gemini"
    fields = [denial for denial in denials if denial.field]
    if not fields:
        return body, ()
    look = edit.members(body, snake=snake)
    for denial in fields:
        held = look(denial.path)
        if held is edit.ABSENT or (denial.value and held != denial.value):
            continue
        if denial.beside and look(tuple(denial.beside.split("."))) is edit.ABSENT:
            continue
        made[denial.path] = edit.ABSENT
        if denial.instead:
            made[tuple(denial.instead.split("."))] = held
            continue  # the same wish by another name is no loss
        if denial.path[-1] in ESSENTIAL:
            return Skip(Reason.DENIED, denial.field)
        changes.append(Change(denial.field, How.DROPPED))
    return (edit.edited(body, made, snake=snake), tuple(changes)) if made else (body, ())
