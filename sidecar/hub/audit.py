"""The conservation audit: what the client said must be in what the target is asked, or named as lost.

It knows no dialect and trusts no reader: it compares the leaves of two JSON documents. Every text,
name, argument and payload of the source has to stand somewhere in the target, whole or as a part of
a longer text (turns are merged, prompts are hoisted). What does not, and is under no reported loss,
was lost silently: a bug of ours, found without anybody having thought of that field.

Only words that dialects spell differently are left out: roles, types, ids, modes; but below arguments and
schemas every word is the client's own. JSON inside
strings (arguments of tool calls) is opened on both sides, so spacing and key order do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from sidecar.hub.reading import data_url, decoded
from sidecar.model import Loss

# keys whose values are the dialect's own vocabulary, or ours to map
WORDS = frozenset(
    {
        # whose and what it is
        "role", "type", "object", "model", "media_type", "mime_type", "mimeType",
        "id", "call_id", "tool_call_id", "tool_use_id",
        # modes, each dialect in its own words
        "tool_choice", "toolChoice", "mode", "status", "finish_reason", "stop_reason", "detail", "verbosity",
        "response_mime_type", "responseMimeType", "format", "stream", "stream_options", "include_usage",
        "parallel_tool_calls", "disable_parallel_tool_use", "strict", "is_error",
        # how much to think
        "effort", "reasoning_effort", "thinkingLevel", "thinking_level", "budget_tokens", "thinkingBudget",
        "thinking_budget", "include_thoughts", "includeThoughts", "summary",
    }
)  # fmt: skip
# below these, if they are objects, every word is the client's own
OWN = frozenset(
    {"input", "args", "response", "schema", "input_schema", "parametersJsonSchema", "responseJsonSchema"}
)
ORDERS = frozenset({"propertyOrdering", "property_ordering"})  # told by the order of what they name
# fields at the top that say nothing by these values: what everybody does
USUAL: Mapping[str, tuple[float | str, ...]] = {
    **dict.fromkeys(("n", "candidateCount", "candidate_count", "top_p", "topP"), (1,)),
    **dict.fromkeys(("presence_penalty", "presencePenalty", "frequency_penalty", "frequencyPenalty"), (0,)),
    "top_logprobs": (0,),
    **dict.fromkeys(("modalities", "responseModalities", "response_modalities"), ("text", "TEXT")),
    "service_tier": ("auto", "default"),
    "truncation": ("disabled",),
}
_AT_THE_TOP = re.compile(r"(?:generation_?[Cc]onfig\.)?(\w+)(?:\[0\])?").fullmatch
OPENED = 64 * 1024  # characters of a string that may be JSON


def silent(source: bytes, target: bytes, losses: Iterable[Loss]) -> list[str]:
    """Paths of leaves of `source` that neither `target` nor `losses` account for, in order."""
    named = tuple(loss.field for loss in losses)
    strings: list[str] = []
    numbers: set[float] = set()
    for _, leaf in _leaves(msgspec.json.decode(target), "", words=True):
        if isinstance(leaf, str):
            strings.append(leaf)
        else:
            numbers.add(leaf)
    exact = frozenset(strings)
    everything = "\x00".join(strings)
    missing = []
    for path, leaf in _leaves(decoded(source), "", words=False):
        if isinstance(leaf, str):
            held = data_url(leaf)  # its type is a word of each dialect's own
            found = leaf in exact or _stands((leaf if held is None else held[1]).strip(), everything)
            found = found or (leaf.isdecimal() and float(leaf) in numbers)  # of protocol buffers
        else:
            found = leaf in numbers or f"{leaf:g}" in exact
        if not found and not _usual(path, leaf) and not any(covers(field, path) for field in named):
            missing.append(path)
    return missing


def _usual(path: str, leaf: str | float) -> bool:
    top = _AT_THE_TOP(path)
    return top is not None and leaf in USUAL.get(top[1], ())


def covers(field: str, path: str) -> bool:
    """Does `path` stand in what `field` names?"""
    return path == field or (path.startswith(field) and path[len(field)] in ".[")


def _stands(leaf: str, everything: str) -> bool:
    """Does it stand there as words of their own? "us" is not said in "user"."""
    start = everything.find(leaf)
    while start >= 0:
        end = start + len(leaf)
        begun = start > 0 and leaf[:1].isalnum() and everything[start - 1].isalnum()
        goes_on = end < len(everything) and leaf[-1:].isalnum() and everything[end].isalnum()
        if not begun and not goes_on:
            return True
        start = everything.find(leaf, start + 1)
    return False


def _leaves(value: Any, path: str, *, words: bool) -> Iterator[tuple[str, str | float]]:
    if isinstance(value, dict):
        value = {key: inner for key, inner in value.items() if key not in ORDERS}
        for key, inner in value.items():
            if words or key not in WORDS or isinstance(inner, (dict, list)):
                own = words or (key in OWN and isinstance(inner, dict))
                yield from _leaves(inner, f"{path}.{key}" if path else key, words=own)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]", words=words)
    elif isinstance(value, str):
        if value:
            opened = _opened(value)
            if opened is None:
                yield path, value
            else:
                yield from _leaves(opened, path, words=True)
                if words:
                    yield path, value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            yield path, float(value)
        except OverflowError:
            yield path, str(value)


def _opened(text: str) -> Any | None:
    if len(text) > OPENED or text[:1] not in "{[":
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
