"""What no single alert shows: births, a quiet night, a fleet that vanishes, the answer in 30 seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts import recordings as r
from sidecar.telemetry import catalog as c
from tests.alerts.cases import TRANSPORT
from tests.alerts.scenes import Scene, Series, alive, attempts, calls, histogram, of, target, written
from tests.alerts.test_alerts import ALERTS, RULES, firing, needed
from tests.alerts.test_alerts import of as fired
from tests.kit.promtool import Night


def always(night: Night, namespace: str, scene: Scene, minutes: tuple[float, float, float]) -> None:
    for series in alive(scene):
        night.add(series.text(namespace), series.values(minutes, night.step))


def row(name: str, namespace: str, pod: str = "web-1", **labels: str) -> str:
    return written(name, target(namespace, pod) | labels)


# ---- alerts whose series come and go ---------------------------------------------------------


def test_absence_is_told_after_a_quarter_of_an_hour_and_ends_with_the_first_scrape(tmp_path: Path) -> None:
    night, name = Night(), "LLMSidecarAbsent"
    night.add(row("up", "shop"), "1x20 stale _x39 1x20")  # away from 10:30 to 30:00
    night.add(row("up", "shop").replace('job="llm-sidecar"', 'job="other"'), "1x100")
    night.ask(fired(name), 25)
    night.ask(fired(name), 26, (firing(ALERTS[name], {"job": "llm-sidecar"}), 1))
    night.ask(fired(name), 31)
    night.check(needed(name), tmp_path)


def test_one_sidecar_that_starts_thrice_in_half_an_hour_is_told_and_a_rollout_is_not(tmp_path: Path) -> None:
    night, name = Night(), "LLMSidecarRestarting"
    night.add(row("process_start_time_seconds", "fires"), "0x20 600x10 900x10 1200x200")
    night.add(row("process_start_time_seconds", "under"), "0x20 600x10 900x210")
    for n in range(20):
        night.add(row("process_start_time_seconds", "quiet", pod=f"web-{n}"), "0x20 600x220")
    night.ask(fired(name), 19)
    night.ask(
        fired(name), 22, (firing(ALERTS[name], {"namespace": "fires", "app": "web", "pod": "web-1"}), 1)
    )
    night.ask(fired(name), 60)
    night.check(needed(name), tmp_path)


def test_two_configurations_at_once_are_drift_unless_it_is_a_rollout_or_nobody_says_whose(
    tmp_path: Path,
) -> None:
    night, name = Night(), "LLMSidecarConfigDrift"
    for namespace, away in (("fires", 40), ("under", 28)):
        night.add(row(c.CONFIG.name, namespace, "web-0", config_hash="new"), "1x200")
        night.add(row(c.CONFIG.name, namespace, "web-1", config_hash="old"), f"1x{away} stale")
        night.add(row(c.CONFIG.name, namespace, "web-1", config_hash="new"), f"_x{away + 1} 1x100")
    for n, digest in enumerate(("a", "b")):  # two applications without a label
        night.add(row(c.CONFIG.name, "quiet", f"pod-{n}", config_hash=digest, app=""), "1x200")
    night.ask(fired(name), 14)
    night.ask(fired(name), 16, (firing(ALERTS[name], {"namespace": "fires", "app": "web"}), 1))
    night.ask(fired(name), 25)
    night.check(needed(name), tmp_path)


def test_it_waits_for_as_long_as_it_says(tmp_path: Path) -> None:
    night, name = Night(), "LLMProviderErrorRateHigh"
    always(night, "fires", (attempts((100, 0, 0)), attempts((0, 100, 0), "timeout", "timeout")), (10, 20, 0))
    night.ask(fired(name), 15)  # the first bad sample came at 10:30
    night.ask(fired(name), 16, (firing(ALERTS[name], {"namespace": "fires", "provider": "openai"}), 1))
    night.check(needed(name), tmp_path)


def test_latency_is_compared_with_a_day_of_history_that_the_incident_does_not_poison(tmp_path: Path) -> None:
    night, name = Night(step=60), "LLMProviderLatencyDegraded"
    slow = histogram(
        c.ATTEMPT_DURATION, (50, 50, 50), (1.28, 10.24, 1.28), provider="openai", model="m", outcome="success"
    )
    always(night, "fires", slow, (26 * 60, 110, 30))  # the incident lasts nearly two hours
    labels = {"namespace": "fires", "provider": "openai", "model": "m"}
    night.ask(fired(name), 26 * 60 + 109, (firing(ALERTS[name], labels), 1))
    night.ask(fired(name), 26 * 60 + 140)
    night.check(needed(name), tmp_path)


# ---- births ----------------------------------------------------------------------------------

MOVE = {
    "from_provider": "openai",
    "from_model": "m",
    "to_provider": "groq",
    "to_model": "m",
    "reason": "server_error",
}


def test_a_counter_born_at_its_first_burst_counts_and_one_that_was_only_met_does_not(tmp_path: Path) -> None:
    night, name = Night(), "LLMFallbackBurst"
    for namespace in ("born", "restarted"):
        night.add(row(c.FALLBACKS.name, namespace, **MOVE), "_x20 11x40")
    night.add(row("process_start_time_seconds", "born"), "-1000000x60")
    night.add(row("process_start_time_seconds", "restarted"), "_x20 590x40")
    night.add(row(c.FALLBACKS.name, "met", **MOVE), "_x20 5000x40")
    night.add(row("process_start_time_seconds", "met"), "_x20 -1000000x40")
    expected = [
        (firing(ALERTS[name], {"namespace": namespace, "app": "web"}), 1.0)
        for namespace in ("born", "restarted")
    ]
    night.ask(fired(name), 9)
    night.ask(fired(name), 11, *expected)
    night.ask(fired(name), 17)
    night.check(needed(name), tmp_path)


@pytest.mark.parametrize(
    ("name", "series", "labels"),
    [
        (
            "LLMProviderQuotaExhausted",
            of(c.ALERTS, 0.0, provider="openai", model="m", error_type="billing"),
            {"provider": "openai", "model": "m", "error_type": "billing"},
        ),
        ("LLMSidecarInternalErrors", of(c.BUGS, 0.0), {"app": "web"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_event_is_enough_where_one_is_too_many(
    name: str, series: Series, labels: dict[str, str], tmp_path: Path
) -> None:
    night = Night()
    night.add(series.text("shop"), "_x40 1x60")
    night.add(row("process_start_time_seconds", "shop"), "-1000000x100")
    night.ask(fired(name), 19)
    night.ask(fired(name), 21, (firing(ALERTS[name], {"namespace": "shop"} | labels), 1))
    night.ask(fired(name), 38)
    night.check(needed(name), tmp_path)


# ---- nobody is woken -------------------------------------------------------------------------


def test_a_quiet_night_tells_nobody(tmp_path: Path) -> None:
    """Three hours of all rules over what goes wrong by chance, restarts, idle pods and a new Prometheus."""
    night = Night(step=60)
    now_and_then = 1 / 40
    target_of = {"provider": "openai", "model": "gpt-4o"}
    chance: Scene = (
        calls(0.2),
        calls(now_and_then, "error", "none"),
        calls(now_and_then, path="fallback"),
        calls(now_and_then, tier="static", path="degraded"),
        attempts(0.2),
        attempts(now_and_then, "timeout", "ttft_timeout"),
        attempts(now_and_then, "success", kind="retry"),
        attempts(now_and_then, "provider_error", "server_error", "fallback"),
        of(c.FALLBACKS, now_and_then, **MOVE),
        of(c.NESTED, now_and_then, source="sdk_header"),
        of(c.EVALUATIONS, now_and_then, provider="openai", model="other", signal="empty"),
        of(c.QUALITY, now_and_then, signal="empty", action="served", **target_of),
        of(c.INTERRUPTIONS, now_and_then, provider="openai", phase="mid", recovered="false"),
        of(c.SHED, now_and_then, reason="concurrency"),
        of(c.REFUSED, now_and_then, reason="malformed"),
        of(c.RETRIES_DENIED, now_and_then, provider="openai", cause="budget"),
    )
    always(night, "chance", chance, (60, 60, 60))
    idle: Scene = (
        calls(0),
        attempts(0),
        of(c.BREAKER_STATE, 2.0, kind="transport", **target_of),  # open since the evening, nobody calls
        of(c.BREAKER_TRANSITIONS, 0.0, kind="transport", to="open", trigger="run", **target_of),
        of(c.BREAKER_REJECTED, 0.0, **target_of),
        of(c.RELOAD_OK, 1.0),
        of(c.LAG, 0.01),
    )
    always(night, "idle", idle, (60, 60, 60))
    for series in alive(chance):  # a pod that is a week old, met by a Prometheus that is new
        value = 1 if series.name == "up" else -1e6 if series.gauge else 5000
        night.add(series.text("met"), f"_x60 {value:.0f}x120")
    for series in chance:  # a container that restarts at one o'clock
        night.add(series.text("restarted"), "5x60 0x120")
    night.add(row("up", "restarted"), "1x60 0 1x119")
    night.add(row("process_start_time_seconds", "restarted"), "-1000000x60 3660x120")
    night.ask('group by (alertname, namespace) (count_over_time(ALERTS{alertstate="firing"}[3h]))', 180)
    night.check(RULES, tmp_path)


# ---- which provider, why, how much -----------------------------------------------------------


def about(expr: str, value: float) -> str:
    return f"sum(abs({expr} - {value}) < bool 0.01)"


def test_the_two_recordings_answer_in_time(tmp_path: Path) -> None:
    night = Night()
    wants = [
        of(
            c.REQUESTS,
            rate,
            route="chat",
            operation="chat",
            primary_provider=provider,
            outcome="success",
            tier="full",
            path="direct",
        )
        for provider, rate in (("openai", 70.0), ("groq", 30.0))
    ]
    gets = [
        attempts((70, 35, 0)),
        attempts((0, 35, 0), "provider_error", "overloaded"),
        attempts((30, 65, 100), provider="groq"),
    ]
    breaker = [
        of(c.BREAKER_STATE, (0, 0, 2), **TRANSPORT),
        of(c.BREAKER_TRANSITIONS, (0, 0, 0.2), to="open", trigger="ratio", **TRANSPORT),
        of(c.BREAKER_REJECTED, (0, 0, 10), provider="openai", model="gpt-4o"),
    ]
    bad_answers = [
        of(c.EVALUATIONS, 10, provider="groq", model="other", signal="empty"),
        of(c.QUALITY, (0, 0, 2), provider="groq", model="gpt-4o", signal="empty", action="rejected"),
    ]
    always(night, "shop", (*wants, *gets, *breaker, *bad_answers), (20, 20, 20))

    def degraded(provider: str, cause: str) -> tuple[str, float]:
        labels = {"namespace": "shop", "provider": provider, "cause": cause}
        return written(r.DEGRADED, labels), 1.0

    def exposed(provider: str) -> str:
        return f'{r.EXPOSED_SHARE}{{provider="{provider}"}}'

    night.ask(f"{r.DEGRADED} > 0", 20)
    night.ask(f"count({r.DEGRADED})", 20, ("{}", 8))  # each provider and cause is there, at 0
    night.ask(about(r.ON_DEGRADED, 0), 20, ("{}", 1))
    night.ask(f"{r.DEGRADED} > 0", 22, degraded("openai", "errors"))  # two minutes into the incident
    night.ask(about(r.ON_DEGRADED, 0.7), 22, ("{}", 1))
    night.ask(f"{r.DEGRADED} > 0", 40, degraded("openai", "errors"))
    night.ask(about(f'{r.ASSIGNED_SHARE}{{provider="openai"}}', 0.7), 40, ("{}", 1))
    night.ask(about(f'{r.CARRIED_SHARE}{{provider="openai"}}', 70 / 135), 40, ("{}", 1))
    night.ask(about(exposed("openai"), 0.7), 40, ("{}", 1))
    night.ask(about(exposed("groq"), 0), 40, ("{}", 1))
    night.ask(f"{r.DEGRADED} > 0", 60, degraded("openai", "breaker"), degraded("groq", "quality"))
    night.ask(about(f'{r.CARRIED_SHARE}{{provider="openai"}}', 0), 60, ("{}", 1))
    night.ask(about(r.ON_DEGRADED, 1), 60, ("{}", 1))
    night.check(needed_recordings(), tmp_path)


def needed_recordings() -> dict[str, object]:
    return {"groups": [group for group in RULES["groups"] if group["name"] == "llm-sidecar.recordings"]}


def test_a_slow_provider_is_degraded_for_latency(tmp_path: Path) -> None:
    night = Night()
    slow = histogram(
        c.ATTEMPT_DURATION, (50, 50, 50), (0.64, 5.12, 0.64), provider="openai", model="m", outcome="success"
    )
    always(night, "shop", (attempts(50), *slow), (60, 12, 30))
    labels = {"namespace": "shop", "provider": "openai", "cause": "latency"}
    night.ask(f"{r.DEGRADED} > 0", 60)
    night.ask(f"{r.DEGRADED} > 0", 72, (written(r.DEGRADED, labels), 1))
    night.ask(f"{r.DEGRADED} > 0", 102)
    night.check(needed_recordings(), tmp_path)
