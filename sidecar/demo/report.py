"""What the demo prints at the end: a table of both arms, and what the sidecar's metrics say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families

from sidecar.demo.arm import Tally


def table(straight: Tally, through: Tally, attempts: tuple[str, str]) -> str:
    """`attempts`: what the vendors saw, as text for each arm."""
    rows = [
        ("", "straight to the provider", "through the sidecar"),
        ("calls", f"{straight.calls}", f"{through.calls}"),
        ("complete", _share(straight.complete, straight), _share(through.complete, through)),
        *((f"- {name}", _part(name, straight), _part(name, through)) for name in sorted(through.asked)),
        ("wrong", _share(straight.wrong, straight), _share(through.wrong, through)),
        ("failed", _share(straight.failed, straight), _share(through.failed, through)),
        *(
            (f"p{share:.0%}"[:-1], _seconds(straight, share), _seconds(through, share))
            for share in (0.5, 0.95)
        ),
        ("requests that vendors saw", *attempts),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "-" * (sum(widths) + 4))
    return "\n".join(lines)


def _share(count: int, tally: Tally) -> str:
    return f"{count} ({count / max(1, tally.calls):.1%})"


def _part(dialect: str, tally: Tally) -> str:
    return f"{tally.answered[dialect]} of {tally.asked[dialect]}"


def _seconds(tally: Tally, share: float) -> str:
    return f"{tally.quantile(share):.2f} s"


LEGEND = """\
complete: every word arrived. wrong: the SDK reported no error, but the text is not the answer (cut, empty,
broken JSON). failed: an error, or nothing by the end of the day. p50, p95: until the application knew.
A stream that breaks after its first words cannot be taken back: the sidecar ends it with an error.
The SDKs have their default settings, and google-genai its own retries, which have to be asked for."""


def errors(tally: Tally) -> str:
    return ", ".join(f"{count} {name}" for name, count in tally.errors.most_common()) or "none"


def metrics(text: str) -> list[str]:
    """The lines to look at, from what /metrics says."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def count(name: str, label: str, **only: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for sample in samples:
            if sample.name == name and only.items() <= sample.labels.items():
                found[sample.labels.get(label, "")] += int(sample.value)
        return +found

    return [
        _line(
            "fallbacks by reason",
            "llm_sidecar_fallbacks_total",
            count("llm_sidecar_fallbacks_total", "reason"),
        ),
        _line(
            "retries by provider",
            'llm_sidecar_attempts_total{kind="retry"}',
            count("llm_sidecar_attempts_total", "provider", kind="retry"),
        ),
        _line(
            "breaker moves",
            "llm_sidecar_breaker_transitions_total",
            count("llm_sidecar_breaker_transitions_total", "to"),
        ),
    ]


def _line(title: str, name: str, found: Counter[str]) -> str:
    parts = ", ".join(f"{label} {number}" for label, number in found.most_common())
    return f"{title}: {parts or 'none'}   <- {name}"


def attempts(*counts: tuple[str, int]) -> str:
    total = sum(number for _, number in counts)
    parts: Sequence[str] = [f"{name} {number}" for name, number in counts]
    return f"{total}" if len(counts) == 1 else f"{total} ({', '.join(parts)})"
