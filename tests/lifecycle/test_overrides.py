"""Overrides as a file, and what they make of routes and breakers."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from sidecar import config, overrides
from sidecar.config import ConfigError
from sidecar.events import BreakerMoved, Event
from sidecar.layers.withhold import Withhold
from sidecar.memory import Memory
from sidecar.model import BreakerState, RefusedBy
from sidecar.overrides import NONE, Overrides, Watch, parse
from sidecar.routing import Router
from sidecar.settings import BreakerRules, Route, Settings
from sidecar.switchboard import Switchboard

TEXT = """
routes:
  - name: support
    match: {provider: openai, model: "gpt*"}
    chain: [openai, {provider: groq, model: llama}, mistral]
    chains: {context_window: [together]}
    static: {text: Please call us.}
"""
SETTINGS = config.parse(TEXT)


def shaped(text: str, name: str = "support", settings: Settings = SETTINGS) -> Route:
    routes = Router(settings, parse(text).shape).routes
    return next(route for route in routes if route.name == name)


def names(route: Route) -> list[str]:
    return [target.name for target in route.chain]


# ---- the file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bypass: perhaps", "bypass: expected true or false"),
        ("brakers: {}", 'did you mean "breakers"'),
        ("until: tomorrow", "until: expected a moment such as"),
        ("until: 2026-11-22T18:00:00", "until: expected a moment such as"),  # of which place?
        ("breakers: {openai: half}", "breakers.openai: expected one of open, closed"),
        ("chains: {support: []}", "to ask nobody use `static` or `disable`"),
        ("chains: {support: [a, a]}", "names a target twice"),
        ("timeouts: {support: {headers: 0s}}", "timeouts.support.headers: expected a duration"),
        ("timeouts: {support: {linger: 1s}}", "timeouts.support.linger: unknown key"),
        ("disable: openai", "disable: expected a list"),
        ("- bypass", "expected a mapping"),
        ("bypass: {", "this is not YAML"),
        ("static: [sk-abcdefghijklmnop1234]", "looks like a key"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, said: str):
    with pytest.raises(ConfigError) as caught:
        parse(text)

    assert said in str(caught.value)
    assert "sk-abc" not in str(caught.value)


def test_what_fits_nothing_here_is_told_and_does_no_harm():
    made = parse(
        "chains: {suport: [groq], support: [cerebras]}\nstatic: [openai]\ndisable: [opena]\n"
        "breakers: {opnai/*: open, 'quality:x/y': open}\ntimeouts: {nobody: {answer: 1s}}\n"
    )

    idle = made.idle(SETTINGS, Router(SETTINGS).routes)

    assert [
        'chains.suport: no route has this name; did you mean "support"?',
        "timeouts.nobody: no route has this name",
        "static.openai: this route has no static answer in the configuration",
        "chains.support: it has no target cerebras",
        'disable.opena: no target and no provider has this name; did you mean "openai"?',
        'breakers.opnai/*: no provider has this name; did you mean "openai"?',
    ] == list(idle)
    assert ["openai", "groq/llama", "mistral"] == names(made.shape(SETTINGS.routes[0]))


def test_nothing_changes_nothing():
    assert SETTINGS.routes[0] == NONE.shape(SETTINGS.routes[0])
    assert () == NONE.active() == NONE.idle(SETTINGS, SETTINGS.routes)
    assert NONE == parse("") == parse("{}")


# ---- routes ---------------------------------------------------------------------------------


def test_a_chain_is_put_in_another_order_or_shortened():
    assert ["mistral", "openai"] == names(shaped("chains: {support: [mistral, openai]}"))
    assert ["groq/llama"] == names(shaped("chains: {'s*': [groq]}"))
    assert ["together", "openai"] == names(shaped("chains: {support: [together, nobody, openai]}"))


def test_disabled_targets_are_not_asked_wherever_they_stand():
    route = shaped("disable: [openai, 'together']")

    assert ["groq/llama", "mistral"] == names(route)
    assert {} == route.chains
    assert [] == names(shaped("disable: [openai]", "openai"))


def test_static_mode_asks_nobody_where_there_is_a_static_answer():
    route = shaped("static: ['*']")

    assert ([], {}) == (names(route), dict(route.chains))
    assert route.static is not None
    assert ["openai"] == names(shaped("static: ['*']", "openai"))


def test_limits_and_deadline_change_and_the_rest_stays():
    route = shaped("timeouts: {support: {deadline: 9s, first_content: 500ms}}")
    implicit = shaped("timeouts: {'*': {deadline: 9s}}", "groq")

    assert (9.0, 0.5, 3.0) == (route.deadline, route.limits.first_content, route.limits.connect)
    assert (9.0, False) == (implicit.deadline, implicit.implicit)  # its deadline is configured now


def test_a_route_is_chosen_as_before_whatever_became_of_its_chain():
    from sidecar.model import Ask, Operation

    router = Router(SETTINGS, parse("chains: {support: [mistral]}\nstatic: [support]").shape)
    ask = Ask(operation=Operation.CHAT, model="gpt-4o")

    assert "support" == router.choose(provider="openai", ask=ask).route.name
    assert (
        "openai" == router.choose(provider="openai", ask=Ask(operation=Operation.CHAT, model="x")).route.name
    )


def test_nobody_left_is_a_refusal_that_says_why():
    from tests.telemetry.events import call

    outcome: Any = asyncio.run(Withhold()(call(), Any))  # type: ignore[arg-type]  # it never looks

    assert RefusedBy.BREAKER is outcome.by
    assert "override" in outcome.detail


# ---- breakers ---------------------------------------------------------------------------------


class Still:
    def now(self) -> float:
        return 1000.0

    def wall(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def board(told: list[Event]) -> tuple[Memory, Switchboard]:
    memory = Memory(random.Random(1))
    routes = Router(SETTINGS).routes
    return memory, Switchboard(memory, lambda: routes, Still(), told.append)


@pytest.mark.parametrize(
    "pattern", ["openai", "openai/*", "openai/gpt-4o", "transport:openai/gpt-4o/*", "transport:*"]
)
def test_a_pattern_forces_breakers_that_are_there_and_those_that_come(pattern: str):
    told: list[Event] = []
    memory, switches = board(told)
    there = memory.breaker("openai", "gpt-4o", "abcd", BreakerRules())
    other = memory.breaker("groq", "llama", "abcd", BreakerRules())

    switches.order(Overrides(breakers={pattern: "open"}))
    later = memory.breaker("openai", "gpt-4o", "ef01", BreakerRules())

    assert (BreakerState.OPEN, BreakerState.OPEN) == (there.shown, later.shown)
    assert (
        BreakerState.OPEN if "*" == pattern[-1:] == pattern[10:11] else BreakerState.CLOSED
    ) == other.shown
    assert any(isinstance(event, BreakerMoved) and event.provider == "openai" for event in told)


def test_what_is_said_no_more_is_given_back_and_a_verbs_word_stays():
    memory, switches = board([])
    ours = memory.breaker("openai", "m", "k", BreakerRules())
    theirs = memory.breaker("groq", "m", "k", BreakerRules())
    assert switches.force("transport:groq/m/k", "open")

    switches.order(Overrides(breakers={"openai": "open"}))
    switches.order(NONE)
    after = memory.breaker("openai", "m2", "k", BreakerRules())

    assert (None, BreakerState.OPEN, None) == (ours.forced, theirs.forced, after.forced)
    assert not switches.force("transport:nobody/m/k", "open")


def test_the_first_pattern_that_fits_counts():
    made = Overrides(breakers={"openai/gpt-4o": "closed", "openai/*": "open"})

    assert BreakerState.CLOSED is made.breaker("transport:openai/gpt-4o/k", "openai", "gpt-4o")
    assert BreakerState.OPEN is made.breaker("transport:openai/o1/k", "openai", "o1")
    assert made.breaker("quality:support/openai", "openai", "o1") is None


# ---- the file as it comes and goes -----------------------------------------------------------


def test_the_file_comes_changes_breaks_and_goes(tmp_path: Path):
    file = tmp_path / "overrides.yaml"
    watch = Watch(file, lambda: 0.0)

    assert (False, NONE) == (watch.look(), watch.held)
    file.write_text("bypass: true\n")
    assert (True, True) == (watch.look(), watch.held.bypass)
    assert not watch.look()
    file.write_text("bypass: tru\n")
    assert (True, True) == (watch.look(), watch.held.bypass)  # the last good one
    assert ('line 1: bypass: expected true or false, got "tru"',) == watch.problems
    file.unlink()
    assert (True, NONE, ()) == (watch.look(), watch.held, watch.problems)


def test_from_until_on_none_of_it_holds(tmp_path: Path):
    file = tmp_path / "overrides.yaml"
    file.write_text("until: 1970-01-01T01:00:00+00:00\nbypass: true\n")
    wall = [3599.0]
    watch = Watch(file, lambda: wall[0])

    assert (True, True) == (watch.look(), watch.held.bypass)
    wall[0] = 3600.0
    assert (True, NONE) == (watch.look(), watch.held)
    assert not watch.look()


def test_a_folder_that_is_not_mounted_is_no_mistake(tmp_path: Path):
    watch = Watch(tmp_path / "nowhere" / "overrides.yaml", lambda: 0.0)

    assert (False, ()) == (watch.look(), watch.problems)
    assert overrides.load(tmp_path / "nowhere" / "overrides.yaml") is None


def test_a_moment_at_the_beginning_of_time_is_over(tmp_path: Path):
    file = tmp_path / "overrides.yaml"
    file.write_text("until: 1970-01-01T00:00:00Z\nbypass: true\n")
    watch = Watch(file, lambda: 1.0)

    watch.look()
    assert NONE == watch.held


def test_a_file_that_cannot_be_looked_at_is_told_and_the_last_good_one_holds(tmp_path: Path):
    file = tmp_path / "overrides.yaml"
    file.symlink_to(file)
    watch = Watch(file, lambda: 0.0)

    assert (True, ("cannot be read: Too many levels of symbolic links",)) == (watch.look(), watch.problems)
    file.unlink()
    file.write_text("bypass: true\n")
    assert (True, True, ()) == (watch.look(), watch.held.bypass, watch.problems)
    file.unlink()
    file.symlink_to(file)
    assert (True, True) == (watch.look(), watch.held.bypass)
