"""What /status says, at a glance: as lines for a terminal and as a page for a browser.

The first thing said answers the on-call's questions: which provider is ill, with what, how much of the
traffic goes there, and whether applications notice. The page is one answer without scripts, pictures or
anything from elsewhere: it comes anew every two seconds, and shows the same words as the terminal. Nothing
in it is more than /status says, and every word of it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

WARN, ILL = 0.05, 0.15  # shares of failed attempts: the thresholds of the alerts on error rates
ENOUGH = 5  # attempts, below which nobody is called ill
REFRESH = 2  # seconds
_BAD = ("provider_error", "timeout", "throttled", "quality")
_WORDS = {
    "provider_error": "errors",
    "timeout": "timeouts",
    "throttled": "rate limits",
    "quality": "bad answers",
}

Seen = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Provider:
    """One line about one provider, of the last minutes."""

    name: str
    attempts: int
    bad: float  # share of those that tell something
    traffic: float  # share of all attempts
    why: str  # what most of the bad ones were
    breaker: str  # the worst one: closed, half_open or open

    @property
    def health(self) -> str:
        if self.breaker == "open" or (self.bad >= ILL and self.attempts >= ENOUGH):
            return "ill"
        if self.breaker == "half_open" or (self.bad >= WARN and self.attempts >= ENOUGH):
            return "unwell"
        return "well"


def providers(status: Seen) -> list[Provider]:
    """The ill ones first, then by traffic."""
    total = sum(sum(counts.values()) for counts in status["providers"].values())
    found = [_provider(name, counts, total, status) for name, counts in status["providers"].items()]
    rank = {"ill": 0, "unwell": 1, "well": 2}
    return sorted(found, key=lambda one: (rank[one.health], -one.attempts, one.name))


def _provider(name: str, counts: Mapping[str, int], total: int, status: Seen) -> Provider:
    attempts = sum(counts.values())
    bad = {word: counts.get(word, 0) for word in _BAD}
    telling = counts.get("success", 0) + sum(bad.values())
    worst = max(bad, key=lambda word: bad[word])
    states = [row["state"] for row in status["breakers"] if row["provider"] == name]
    breaker = next((state for state in ("open", "half_open") if state in states), "closed")
    return Provider(
        name,
        attempts,
        sum(bad.values()) / telling if telling else 0.0,
        attempts / total if total else 0.0,
        _WORDS[worst] if bad[worst] else "",
        breaker,
    )


def headline(status: Seen) -> str:
    """Who is ill, why, how much of the traffic goes there; and who got no full answer, if anybody."""
    calls, full = status["calls"], status["tiers"].get("full", 0)
    asked = calls.get("success", 0) + calls.get("error", 0)  # as the alerts on applications count
    noticed = f" {asked - full} of {asked} calls got no full answer." if asked > full else ""
    return _who(status) + noticed


def _who(status: Seen) -> str:
    ill = [one for one in providers(status) if one.health != "well"]
    if status["bypass"]:
        return "The bypass is on: no policy is applied to any call."
    if not ill:
        return "All providers are well." if status["providers"] else "No call was made yet."
    first = ill[0]
    why = f" ({first.why})" if first.why else ""
    breaker = "" if first.breaker == "closed" else f", its breaker is {first.breaker.replace('_', ' ')}"
    more = f"; {len(ill) - 1} more not well" if len(ill) > 1 else ""
    return (
        f"{first.name} is {first.health}: {first.bad:.0%} of its attempts fail{why}{breaker}; "
        f"{first.traffic:.0%} of all attempts go there{more}."
    )


def _minutes(status: Seen) -> str:
    return f"{status['window_seconds'] // 60} min"


def _calls(status: Seen) -> str:
    """What applications got: a success is told by its tier, since a static answer is not what was asked."""
    tiers = {word: count for word, count in status["tiers"].items() if word != "none"}
    failed = {word: count for word, count in status["calls"].items() if word != "success"}
    told = [f"{word} {count}" for part in (tiers, failed) for word, count in sorted(part.items())]
    return f"{sum(status['calls'].values())} ({', '.join(told)})" if told else "none"


def _table(status: Seen) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("provider", "health", "attempts", "of traffic", "fail", "mostly", "breaker")
    ]
    rows += [
        (
            one.name,
            one.health,
            str(one.attempts),
            f"{one.traffic:.0%}",
            f"{one.bad:.0%}",
            one.why or "-",
            one.breaker.replace("_", " "),
        )
        for one in providers(status)
    ]
    return rows


def _breakers(status: Seen) -> list[tuple[str, ...]]:
    rows = [row for row in status["breakers"] if row["state"] != "closed" or row.get("forced")]
    return [
        (
            row["key"],
            row["state"].replace("_", " "),
            "forced" if row.get("forced") else f"{row.get('bad', 0)} of {row.get('samples', 0)} bad",
            f"next probe in {row['probe_in_s']:.0f} s" if row.get("probe_in_s") else "",
        )
        for row in rows
    ]


def _decisions(status: Seen, most: int) -> Iterator[tuple[str, str]]:
    for one in status["decisions"][:most]:
        at = datetime.fromtimestamp(one["at"], UTC).strftime("%H:%M:%S")
        what = " ".join(f"{key}={_plain(value)}" for key, value in one["what"].items())
        times = f" (x{one['times']})" if one["times"] > 1 else ""
        yield at, f"{one['event']}{times} {what}".rstrip()


def _plain(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


# ---- for a terminal ----------------------------------------------------------------------------


def text(status: Seen, *, decisions: int = 10) -> str:
    lines = [headline(status), ""]
    lines += _aligned(_table(status))
    lines += ["", f"calls of the last {_minutes(status)}, by tier: {_calls(status)}"]
    if status["dollars"]:
        spent = ", ".join(f"{what} ${amount:.4f}" for what, amount in status["dollars"].items())
        lines.append(f"cost: {spent}")
    lines.append(f"in flight: {status['in_flight']}" + ("" if status["ready"] else "; not ready"))
    shut = _breakers(status)
    if shut:
        lines += ["", "breakers that are not closed:", *(f"  {line}" for line in _aligned(shut))]
    said = list(_decisions(status, decisions))
    if said:
        lines += ["", "last decisions (UTC):", *(f"  {at}  {what}" for at, what in said)]
    return "\n".join(lines)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


# ---- for a browser -----------------------------------------------------------------------------

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}
h1{font-size:1.25rem;margin:0 0 1rem;padding:.6rem .8rem;border-left:.4rem solid #2a8a3c}
h1.unwell{border-color:#c98a00}h1.ill{border-color:#c62828}
h2{font-size:1rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid #8884;white-space:nowrap}
td:last-child{white-space:normal}
tr.ill td:nth-child(2){color:#c62828;font-weight:600}tr.unwell td:nth-child(2){color:#a86f00;font-weight:600}
code,td.at{font-family:ui-monospace,monospace;font-size:.9em}
p{margin:.2rem 0}small{color:#777}
"""


def page(status: Seen) -> str:
    found = providers(status)
    health = "ill" if status["bypass"] else found[0].health if found else "well"
    head, *rows = _table(status)
    body = [f'<h1 class="{health}">{escape(headline(status))}</h1>']
    marked = [(one.health, row) for one, row in zip(found, rows, strict=True)]
    body.append(_html_table("Providers", head, marked))
    body += [
        f"<h2>The last {_minutes(status)}</h2>",
        f"<p>Calls by tier: {escape(_calls(status))}</p>",
    ]
    if status["dollars"]:
        spent = ", ".join(f"{what} ${amount:.4f}" for what, amount in status["dollars"].items())
        body.append(f"<p>Cost: {escape(spent)}</p>")
    body.append(f"<p>In flight: {int(status['in_flight'])}{'' if status['ready'] else '; not ready'}</p>")
    shut = _breakers(status)
    if shut:
        body.append(_html_table("Breakers that are not closed", (), [("", row) for row in shut]))
    said = list(_decisions(status, 20))
    if said:
        body.append(_html_table("Last decisions, UTC", (), [("", row) for row in said]))
    body.append(
        f"<p><small>This page comes anew every {REFRESH} seconds. /status has it as JSON.</small></p>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{REFRESH}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>llm-sidecar: {escape(health)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>"
    )


def _html_table(title: str, head: tuple[str, ...], rows: list[tuple[str, tuple[str, ...]]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(
        f'<tr class="{escape(kind)}">{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>'
        for kind, row in rows
    )
    thead = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f"<h2>{escape(title)}</h2><table>{thead}<tbody>{lines}</tbody></table>"
