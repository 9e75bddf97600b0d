"""Findings for people, one line each with what to do below, and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sidecar.doctor.values import Finding, Level

Section = tuple[str, Sequence[Finding]]


def text(sections: Sequence[Section]) -> str:
    lines: list[str] = []
    for title, findings in sections:
        if not findings:
            continue
        width = max(len(finding.subject) for finding in findings)
        lines += ["", title] if lines else [title]
        for finding in findings:
            lines.append(f"  {finding.level:<9}  {finding.subject:<{width}}  {finding.said}".rstrip())
            if finding.do and finding.level is not Level.OK:
                lines.append(f"  {'':<9}  {'':<{width}}  -> {finding.do}")
    return "\n".join([*lines, "", _verdict(sections)])


def _verdict(sections: Sequence[Section]) -> str:
    levels = [finding.level for _, findings in sections for finding in findings]
    counts = [(levels.count(level), level) for level in (Level.BROKEN, Level.ATTENTION)]
    said = ", ".join(f"{number} {level}" for number, level in counts if number)
    return f"{said} of {len(levels)}" if said else f"all {len(levels)} ok"


def as_json(sections: Sequence[Section], *, version: str, place: str) -> str:
    found = [
        {
            "section": title,
            "level": finding.level.value,
            "subject": finding.subject,
            "said": finding.said,
            "do": finding.do,
        }
        for title, findings in sections
        for finding in findings
    ]
    return json.dumps(
        {"version": version, "place": place, "ok": not broken(sections), "findings": found}, indent=2
    )


def broken(sections: Sequence[Section]) -> bool:
    return any(finding.level is Level.BROKEN for _, findings in sections for finding in findings)
