"""Quality signals: is this answer, whole as it is, worth giving to the application? [R10]

An answer of HTTP 200 can be no answer at all. The signals here are hard facts about one whole
answer (empty, not JSON though JSON was asked for, tool arguments that do not parse); what is done
about a finding (observe, count, reject) is the route's setting, and only held answers can be
rejected. A refusal or a content filter is the provider's decision: the application gets it as it
is, so neither is "empty".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from sidecar.model import Fault, Finding, FinishReason
from sidecar.settings import Signals
from sidecar.signals.answer import Answer

DECIDED = (FinishReason.FILTER, FinishReason.REFUSAL, FinishReason.LENGTH, FinishReason.CONTEXT_FULL)

Validator = Callable[[object], bool]


@dataclass(slots=True)
class Schemas:
    """Compiled JSON schemas, the last used ones. `compile` returns None for what is no schema."""

    compile: Callable[[bytes], Validator | None]
    size: int = 256
    _known: OrderedDict[bytes, Validator | None] = field(default_factory=OrderedDict)

    def valid(self, schema: bytes, value: object) -> bool:
        """Does `value` meet the schema? True where the schema itself cannot be compiled: then it
        is the provider's to refuse, not ours to judge by."""
        if schema in self._known:
            self._known.move_to_end(schema)
        else:
            self._known[schema] = self.compile(schema)
            if len(self._known) > self.size:
                self._known.popitem(last=False)
        validator = self._known[schema]
        return validator is None or validator(value)


def judge(answer: Answer, signals: Signals, schemas: Schemas) -> tuple[Finding, ...]:
    """All findings about a whole answer, the worst first."""
    findings = []
    if signals.empty != "off" and _empty(answer):
        findings.append(Finding("empty", signals.empty, Fault.EMPTY_OUTPUT))
    elif signals.structured != "off" and _unstructured(answer, schemas):
        findings.append(Finding("structured", signals.structured, Fault.STRUCTURED_OUTPUT_FAILED))
    if signals.tool_arguments != "off" and _bad_arguments(answer):
        findings.append(Finding("tool_arguments", signals.tool_arguments, Fault.MALFORMED_TOOL_CALL))
    if signals.truncated != "off" and answer.ask.max_output is None and answer.finished(FinishReason.LENGTH):
        findings.append(Finding("truncated", signals.truncated, Fault.TRUNCATED_OUTPUT))
    if signals.refusal != "off" and (answer.refused or answer.finished(FinishReason.REFUSAL)):
        findings.append(Finding("refusal", signals.refusal, Fault.REFUSAL))
    return tuple(findings)


def rejection(findings: tuple[Finding, ...]) -> Finding | None:
    """The finding for which a held answer is not given out, if there is one."""
    return next((finding for finding in findings if finding.action == "reject"), None)


def counted(findings: tuple[Finding, ...]) -> bool:
    """Is this a BAD sample for the quality breaker?"""
    return any(finding.action in ("count", "reject") for finding in findings)


def _empty(answer: Answer) -> bool:
    return not answer.content and not answer.finished(*DECIDED)


def _unstructured(answer: Answer, schemas: Schemas) -> bool:
    # an answer that calls tools, refuses or was cut at its length is judged by other signals
    if not answer.ask.json or answer.tools or answer.refused or not answer.whole:
        return False
    if answer.finished(*DECIDED):
        return False
    return any(not _meets("".join(texts), answer.ask.schema, schemas) for texts in answer.texts.values())


def _meets(text: str, schema: bytes | None, schemas: Schemas) -> bool:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return schema is None or schemas.valid(schema, value)


def _bad_arguments(answer: Answer) -> bool:
    if not answer.whole or answer.finished(FinishReason.LENGTH):
        return False
    for tool in answer.tools.values():
        arguments = "".join(tool.arguments)
        if answer.ask.tools and tool.name and tool.name not in answer.ask.tools:
            return True
        if not arguments.strip():
            continue  # no arguments at all is how some providers say {}
        try:
            msgspec.json.decode(arguments)
        except (msgspec.DecodeError, RecursionError):
            return True
    return False
