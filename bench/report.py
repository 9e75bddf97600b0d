"""How the figures of a run are shown."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import LATE, STEAL, TAKEN, Cell, Flow, Results, limits, many
from bench.telemetry import Telemetry
from bench.translation import Translation


def text(results: Results) -> str:
    parts = [_heading(results)]
    parts += [_requests(results, phase) for phase in results.phases]
    parts += [_streams(results, phase) for phase in results.streams]
    if results.telemetry:
        parts.append(_telemetry(results.telemetry))
    if results.translation:
        parts.append(_translation(results.translation))
    parts += [_life(results), _verdicts(results)]
    return "\n\n".join(parts)


def _heading(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    lines = [results.machine, versions]
    if results.absent:
        lines.append(f"without {', '.join(results.absent)}")
    lines.append(
        f"best of {results.rounds} rounds of {results.seconds:g} s, of streams {results.stream_rounds} "
        f"of {results.stream_seconds:g} s, subjects in turn; hypervisor steal {results.steal:.1%}"
    )
    if results.steal > STEAL:
        lines.append(f"WARNING: steal above {STEAL:.0%}; run again when the machine is quiet")
    return "\n".join(lines)


def _requests(results: Results, phase: str) -> str:
    head = ("subject", "p50 us", "p99 us", "added p50", "added p99", "x nginx p50", "x nginx p99")
    rows: list[Sequence[str]] = [(*head, "req/s", "CPU us/req", "x nginx")]
    nginx = results.phases[phase].get("nginx", Cell()).cpu
    for name, cell in results.phases[phase].items():
        added = ["-"] * 2
        ratios = ["-"] * 2
        if name != "direct":
            added = [_us(results.added(phase, name, what)) for what in ("p50", "p99")]
        if name == "sidecar":
            found = [results.ratio(phase, what) for what in ("p50", "p99")]
            ratios = ["-" if one is None else f"{one:.1f}" for one in found]
        spent = (_maybe(cell.cpu), _times(cell.cpu, nginx))
        rows.append((name, _us(cell.p50), _us(cell.p99), *added, *ratios, f"{cell.rps:.0f}", *spent))
    return f"{phase}, closed loop\n{table(rows)}"


def _streams(results: Results, phase: str) -> str:
    head = ("subject", "held", "first p50 ms", "p99", "added p50", "delay p50 us", "p99", "added p50")
    rows: list[Sequence[str]] = [
        (*head, "added p99", "CPU us/event", "x nginx", "of a core", "waited", "PSS MiB")
    ]
    flows = results.streams[phase]
    nginx = flows.get("nginx", Flow()).cpu
    for name, flow in flows.items():
        first, added = "-", ["-"] * 2
        if name != "direct":
            first = f"{results.added(phase, name, 'first_p50') * 1e3:.2f}"
            added = [_us(results.added(phase, name, what)) for what in ("delay_p50", "delay_p99")]
        rows.append(
            (
                name,
                "yes" if flow.rounds_held == flow.rounds else f"{flow.rounds_held} of {flow.rounds}",
                f"{flow.first_p50 * 1e3:.2f}",
                f"{flow.first_p99 * 1e3:.2f}",
                first,
                _us(flow.delay_p50),
                _us(flow.delay_p99),
                *added,
                _maybe(flow.cpu, 1),
                _times(flow.cpu, nginx),
                "-" if flow.share is None else f"{flow.share:.0%}",
                "-" if flow.waited is None else f"{flow.waited:.0%}",
                "-" if flow.memory is None else f"{flow.memory.pss / 2**20:.1f}",
            )
        )
    lines = [phase, table(rows)]
    lines += [
        f"{name}: at worst {flow.held} streams held; {flow.trouble}"
        for name, flow in flows.items()
        if flow.rounds_held < flow.rounds
    ]
    direct = flows["direct"]
    used = "-" if direct.harness is None else f"{direct.harness:.0%}"
    lines.append(
        f"the harness alone: {used} of its core, the vendor at most {direct.late * 1e3:.1f} ms late (p99)"
    )
    taken = [name for name, flow in flows.items() if flow.disturbed]
    if taken:
        lines.append(
            f"WARNING: other programs had the core of {', '.join(taken)} over {TAKEN:.0%} of the time"
        )
    if not results.kept_pace(phase):
        lines.append(
            f"WARNING: the harness did not keep pace (late by more than {LATE:.0%} of the gap, or direct not "
            "held): these figures say nothing of the subjects"
        )
    return "\n".join(lines)


def _life(results: Results) -> str:
    rows: list[Sequence[str]] = [("sidecar", "PSS MiB", "RSS MiB", "own MiB")]
    found = (("idle", results.idle), ("with 1,000 streams", many(results)), ("after the load", results.busy))
    for name, memory in found:
        if memory is not None:
            rows.append((name, *(f"{one / 2**20:.1f}" for one in (memory.pss, memory.rss, memory.own))))
    start = results.start
    return (
        f"{table(rows)}\nstart to listening {start.listening:.3f} s, "
        f"to the first answer {start.answered:.3f} s (best of {len(results.starts)})"
    )


def _telemetry(found: Telemetry) -> str:
    costs: list[Sequence[str]] = [
        ("telemetry", "found"),
        ("metrics of a call, us", f"{found.finish * 1e6:.1f}"),
        ("spans of a sampled call, made and encoded, us", f"{found.spans * 1e6:.1f}"),
        (f"/metrics, {found.samples} samples, ms", f"{found.scrape * 1e3:.2f}"),
        ("the same as OpenMetrics, ms", f"{found.scrape_open * 1e3:.2f}"),
        ("PSS with tracing over http, MiB", f"{found.pss / 2**20:.1f}"),
    ]
    rows: list[Sequence[str]] = [("1 connection, one core", "p50 us", "p99 us", "added p50", "added p99")]
    base = found.tracing[0]
    for one in found.tracing:
        added = ("-", "-") if one is base else (_us(one.p50 - base.p50), _us(one.p99 - base.p99))
        rows.append((one.name, _us(one.p50), _us(one.p99), *added))
    low, high = found.noise()
    return (
        f"{table(costs)}\n\n{table(rows)}\n"
        f"turn by turn, p99: a dead collector adds {_us(found.dead())} us in the median, "
        f"half of the twins' turns lie within {_us(low)} and {_us(high)} us of each other"
    )


def _translation(found: Translation) -> str:
    rows: list[Sequence[str]] = [("translation, times json.loads of the same bytes", "request", "event")]
    rows += [(pair, f"{times:.2f}", f"{found.event[pair]:.2f}") for pair, times in found.request.items()]
    return table(rows)


def _verdicts(results: Results) -> str:
    words = {True: "ok", False: "MISSED", None: "not measured"}
    rows: list[Sequence[str]] = [("limit", "found", "has to be", "")]
    rows += [(name, found, limit, words[holds]) for name, found, limit, holds in limits(results)]
    return table(rows)


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f}"


def _maybe(seconds: float | None, digits: int = 0) -> str:
    return "-" if seconds is None else f"{seconds * 1e6:.{digits}f}"


def _times(one: float | None, nginx: float | None) -> str:
    return "-" if one is None or not nginx or one == nginx else f"{one / nginx:.1f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """First column to the left, the others to the right; the first row is the head."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
