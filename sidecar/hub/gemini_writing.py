"""A conversation asked of Gemini.

Where this dialect is stricter than the others: turns alternate, so neighbours are merged; the results of
one turn's calls stand together in one user turn, first and in the order of the calls, because no id
ties them; pictures come as bytes, an address on the open web is not fetched; stop sequences are five
at the most. Gemini 3 wants a signature with every first call of a turn: for calls that another model
made, Google documents a word that says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import inf
from operator import itemgetter
from urllib.parse import quote

from sidecar.hub.base import Facts, Written
from sidecar.hub.conversation import (
    Choice,
    Conversation,
    Effort,
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
from sidecar.hub.names import OF_GEMINI, renamed
from sidecar.hub.reading import Object, address_type
from sidecar.hub.writing import (
    SILENCE,
    Ledger,
    Waiting,
    arguments_of,
    encode,
    first_words,
    narrowed,
    only_text,
    spoken_last,
    titled,
)

ASSISTANT, SYSTEM = Role.ASSISTANT, Role.SYSTEM  # looking one up costs more than comparing it
MOST_SEED = 2**31 - 1  # it is a number of 32 bits
MOST_STOPS = 5  # of Google's own reference
_PLACE = itemgetter(0)
UNSIGNED = "skip_thought_signature_validator"  # of Google's page on thought signatures
_USUAL = {"image": "image/png", "document": "application/pdf", "audio": "audio/wav", "video": "video/mp4"}
_MODES = {Choice.AUTO: "AUTO", Choice.NONE: "NONE", Choice.REQUIRED: "ANY", Choice.NAMED: "ANY"}
_OLDER = re.compile(r"gemini-(?:1\.|2\.0)")  # these fetch nothing
_NEWER = re.compile(r"gemini-(?:[3-9]|\d\d)")
_SAMPLING = (
    ("temperature", "temperature"), ("top_p", "topP"), ("top_k", "topK"), ("seed", "seed"),
    ("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty"),
)  # fmt: skip
_ALWAYS = ("temperature", "topP", "topK")  # of these some models take none


def write(conversation: Conversation, facts: Facts) -> Written:
    ledger = Ledger(conversation)
    conversation, names = renamed(narrowed(conversation, ledger), ledger, OF_GEMINI)
    newer = _NEWER.search(conversation.model) is not None
    # before Gemini 3 a form of the answer and tools exclude each other
    native = facts.schema is not False and (newer or not conversation.tools)
    source = conversation
    conversation = spoken_last(conversation, ledger)
    conversation, enclosed = (conversation, False) if native else in_object(conversation, ledger)
    conversation, emulated, instructed = constrained(conversation, ledger, schema=native, json=native)
    system, contents = _contents(conversation, facts, ledger, newer=newer)
    body: Object = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if conversation.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool, ledger) for tool in conversation.tools]}]
    if conversation.choice is not None and conversation.tools:
        calling: Object = {"mode": _MODES[conversation.choice]}
        if conversation.choice is Choice.NAMED:
            calling["allowedFunctionNames"] = [conversation.named]
        body["toolConfig"] = {"functionCallingConfig": calling}
    if source.parallel is False and source.tools:
        ledger.lose_field("parallel")
    config = _config(conversation, facts, ledger)
    thinking = _thinking(conversation, facts, ledger, newer=newer)
    if thinking:
        config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config
    if conversation.user:
        ledger.lose_field("user")
    ledger.own_fields()
    kind, _, name = conversation.model.rpartition("/")
    kind = kind if kind in {"tunedModels", "endpoints"} else "models"
    verb = "streamGenerateContent" if conversation.stream else "generateContent"
    path = f"/{kind}/{quote(name, safe='')}:{verb}"
    query = "alt=sse" if conversation.stream else ""
    return Written(path, query, encode(body), ledger.losses, emulated, instructed, names, enclosed)


# ---- turns ---------------------------------------------------------------------------------


def _contents(
    conversation: Conversation, facts: Facts, ledger: Ledger, *, newer: bool
) -> tuple[list[Object], list[Object]]:
    system: list[Object] = []
    told: list[tuple[Role, list[tuple[float, Object]], list[Object]]] = []  # who, results, other parts
    # by the ids that came, which do not go along: the calls' places among all, and their names
    asked: Waiting[tuple[float, str]] = Waiting()
    calls = 0
    speaker: Role | None = None
    unsigned = newer  # does the next call want a signature?
    for turn in conversation.turns:
        role = turn.role
        if turn.rest:
            ledger.rest(turn.rest, turn.at)
        if turn.name:
            ledger.lose(f"{turn.at}.name")
        if role is SYSTEM:
            if told:
                ledger.lose(turn.at, "hoisted")
            system += _texts(turn, ledger)
            continue
        if role is speaker:
            _, results, parts = told[-1]
        else:
            results, parts, unsigned = [], [], newer
        for part in turn.parts:
            if isinstance(part, TextPart):
                if part.rest:
                    ledger.rest(part.rest, part.at)
                if part.text:
                    parts.append({"text": part.text})
            elif isinstance(part, ToolUsePart):
                call = _call(part, facts, ledger)
                if unsigned and "thought_signature" not in call:
                    call.setdefault("thoughtSignature", UNSIGNED)
                unsigned = False
                calls += 1
                asked.add(part.id or ledger.id_of(part), (calls, part.name))
                parts.append(call)
            elif isinstance(part, ToolResultPart):
                place, name = asked.take(part.id or ledger.id_for(part)) or (inf, part.name)
                results.append((place, _result(part, name, parts, facts, ledger)))
            else:
                parts += _seldom(part, facts, ledger)
        if role is not speaker and (parts or results):  # else it said nothing
            told.append((role, results, parts))
            speaker = role
    contents: list[Object] = []
    for role, results, parts in told:
        if results:  # they come first, in the order of their calls
            results.sort(key=_PLACE)
            parts[:0] = [result for _, result in results]
        contents.append({"role": "model" if role is ASSISTANT else "user", "parts": parts})
    _check_ends(conversation, contents, ledger)
    return system, contents


def _check_ends(conversation: Conversation, contents: list[Object], ledger: Ledger) -> None:
    if not contents:
        ledger.refuse("messages", "there is nothing to answer")
    last = conversation.turns[-1]
    if contents[-1]["role"] == "model" and last.role is not ASSISTANT:
        ledger.refuse(last.at, "an empty turn asks nothing")
    if contents[0]["role"] == "model" and any("functionCall" in part for part in contents[0]["parts"]):
        ledger.lose(first_words(conversation), "emulated")
        contents.insert(0, {"role": "user", "parts": [{"text": SILENCE}]})


def _texts(turn: Turn, ledger: Ledger) -> Iterable[Object]:
    for part in turn.parts:
        if isinstance(part, TextPart):
            ledger.rest(part.rest, part.at)
            if part.text.strip():
                yield {"text": part.text}
        else:
            ledger.refuse(part.at, "a system prompt of text only")


def _call(part: ToolUsePart, facts: Facts, ledger: Ledger) -> Object:
    given = arguments_of(part, ledger) if part.given is None else part.given
    said: Object = {"functionCall": {"name": part.name, "args": given}}
    return {**said, **_signed(part, facts, ledger)} if part.rest else said


def _seldom(part: Part, facts: Facts, ledger: Ledger) -> Iterable[Object]:
    match part:
        case RefusalPart(text=text):
            ledger.rest(part.rest, part.at)
            ledger.lose(part.at, "merged")  # a text like others
            if text:
                yield {"text": text}
        case MediaPart():
            yield _media(part, ledger, facts)
        case ThoughtPart(text=text, sealed=sealed):
            if facts.same_provider and ("thoughtSignature" in sealed or "thought_signature" in sealed):
                yield {"text": text, "thought": True, **sealed}
            else:
                ledger.lose(part.at)
        case OwnPart():
            ledger.refuse(part.at, f'no other dialect has "{part.name}"')
        case _:
            pass


def _signed(part: ToolUsePart, facts: Facts, ledger: Ledger) -> Object:
    """The call's signature, for the provider who made it; all else beside the call is lost."""
    kept = {k: v for k, v in part.rest.items() if k in {"thoughtSignature", "thought_signature"}}
    if not facts.same_provider:
        kept = {}
    ledger.rest({k: v for k, v in part.rest.items() if k not in kept}, part.at)
    return kept


def _result(part: ToolResultPart, name: str, beside: list[Object], facts: Facts, ledger: Ledger) -> Object:
    """The result, which holds text only; what of it is to be seen goes `beside` it."""
    if part.rest:
        ledger.rest(part.rest, part.at)
    if not name:
        ledger.refuse(part.at, "the result of a call that the conversation does not hold")
    text = only_text(part)
    if text is None:
        texts = []
        for inner in part.parts:
            if isinstance(inner, MediaPart):
                ledger.lose(inner.at or part.at, "merged")
                beside += {"text": f"From {name}:"}, _media(inner, ledger, facts)
                texts.append(f"({inner.kind}: see below)")
            else:
                ledger.rest(inner.rest, inner.at)
                texts.append(inner.text)
        text = "\n\n".join(texts)
    return {"functionResponse": {"name": name, "response": {"error" if part.error else "output": text}}}


def _media(part: MediaPart, ledger: Ledger, facts: Facts) -> Object:
    ledger.rest(part.rest, part.at)
    if part.name:
        ledger.lose(part.name_at)
    if part.type == "image/gif":
        ledger.refuse(part.at, "it takes no image/gif")
    if part.data:
        return {"inlineData": {"mimeType": part.type or _USUAL[part.kind], "data": part.data}}
    if part.file and facts.same_provider:
        return {"fileData": {"mimeType": part.type or _USUAL[part.kind], "fileUri": part.file}}
    if part.file:
        ledger.refuse(part.at, "a file that only its own provider holds")
    kind = part.type or address_type(part.url)
    if _OLDER.search(ledger.model) or not kind or not part.url.startswith("https:"):
        ledger.refuse(part.at, f"{part.kind} by address: it has to come as bytes")
    return {"fileData": {"mimeType": kind, "fileUri": part.url}}


# ---- the rest of the request ---------------------------------------------------------------


def _tool(tool: Tool, ledger: Ledger) -> Object:
    if not tool.name:
        ledger.refuse(tool.at, "a tool that only its own provider runs")
    ledger.rest(tool.rest, tool.at)
    if tool.strict:
        ledger.lose(f"{tool.at}.strict")
    said: Object = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    if tool.schema is not None:
        said["parametersJsonSchema"] = tool.schema
    return said


def _config(conversation: Conversation, facts: Facts, ledger: Ledger) -> Object:
    sampling = conversation.sampling
    config: Object = {}
    for ours, theirs in _SAMPLING:
        value = getattr(sampling, ours)
        if value is None:
            continue
        if (facts.sampling is False and theirs in _ALWAYS) or (theirs == "seed" and abs(value) > MOST_SEED):
            ledger.lose_field(f"sampling.{ours}")
        else:
            config[theirs] = value
    if sampling.stop:
        config["stopSequences"] = list(sampling.stop[:MOST_STOPS])
        if len(sampling.stop) > MOST_STOPS:
            ledger.lose_field("sampling.stop", "clamped")
    if sampling.choices is not None and sampling.choices > 1:
        if sampling.choices > 8:
            ledger.refuse(conversation.named_as("sampling.choices"), "eight answers are the most")
        config["candidateCount"] = sampling.choices
    if sampling.max_output is not None:
        most = facts.max_output
        if most is not None and sampling.max_output > most:
            ledger.lose_field("sampling.max_output", "clamped")
        config["maxOutputTokens"] = min(sampling.max_output, most or sampling.max_output)
    form = conversation.format
    if form.shape is not Shape.TEXT:
        config["responseMimeType"] = "application/json"
    if form.shape is Shape.SCHEMA:
        config["responseJsonSchema"] = titled(form, ledger)
    return config


def _thinking(conversation: Conversation, facts: Facts, ledger: Ledger, *, newer: bool) -> Object:
    said: Object = {}
    wanted = conversation.thinking
    if wanted.effort is None and wanted.budget is None:
        return {"includeThoughts": True} if wanted.shown and facts.thinking is not False else {}
    if facts.thinking is False:
        if wanted.budget != 0 and wanted.effort is not Effort.NONE:
            ledger.lose_field("thinking")
        return {}
    if facts.adaptive_thinking if facts.adaptive_thinking is not None else newer:
        effort = ledger.effort(Effort.HIGH)
        if effort is None or effort is Effort.NONE:  # it cannot be turned off
            ledger.lose_field("thinking", "clamped")
            effort = Effort.LOW
        said["thinkingLevel"] = effort.value
    else:
        budget = ledger.budget()
        if budget == 0 and "pro" in conversation.model:
            ledger.lose_field("thinking", "clamped")
            budget = 128  # as little as it takes
        most = 24576
        if budget is not None and budget > most:
            ledger.lose_field("thinking", "clamped")
            budget = most
        said["thinkingBudget"] = budget
    if wanted.shown:
        said["includeThoughts"] = True
    return said
