"""Scripts: what they mean, and what is said about wrong ones."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sidecar.provider import CATALOGUE, BadScript, Behaviour, Rule, Script, When, do, parse
from sidecar.provider.behaviour import CHOICES, ERRORS, OPTIONS
from sidecar.provider.faults import PLAYS
from sidecar.provider.script import span
from sidecar.provider.server import SHUT
from sidecar.provider.voices import VOICES


def test_a_script_reads_as_it_is_written() -> None:
    script = parse(
        """
        name: primary
        seed: 7
        rules:
          - when: {calls: 1-3, p: 0.5}
            do: {rate_limit: {retry_after: 2, headers: {x-a: b}}}
          - when: {seconds: 10-20.5}
            do: refuse
          - when: {model: "gpt-*", stream: true, calls: 5}
            do: {ok: {gap: 1, json: {a: 1}}}
          - do: hang
        """
    )

    assert (
        Script(
            name="primary",
            seed=7,
            rules=(
                Rule(do("rate_limit", retry_after=2, headers={"x-a": "b"}), When(calls="1-3", p=0.5)),
                Rule(do("refuse"), When(seconds="10-20.5")),
                Rule(do("ok", gap=1.0, json='{"a": 1}'), When(model="gpt-*", stream=True, calls=5)),
                Rule(do("hang")),
            ),
        )
        == script
    )


def test_steps_are_one_behaviour_per_call() -> None:
    script = parse("steps: [server_error, {stall: {after: 3}}, ok]")

    assert ["1", "2", "3-"] == [str(rule.when.calls) for rule in script.rules]
    assert do("stall", after=3) == script.rules[1].do


def test_an_empty_script_is_a_good_day() -> None:
    assert Script() == parse("")


def test_all_that_is_wrong_is_told_at_once_with_its_path() -> None:
    with pytest.raises(BadScript) as caught:
        parse(
            """
            name: 5
            sead: 7
            rules:
              - when: {calls: 7-3, modell: x, p: lots}
                do: {rate_limit: {retry_afte: 2}}
              - do: stal
              - when: {model: x}
                do: refuse
              - do: {stall: {after: two, eol: lff}}
              - when: {seconds: "5"}
              - 7
            """
        )

    assert [
        "script: unknown key 'sead', did you mean 'seed'?",
        "name: 5 is no text",
        "rules[0].when: unknown key 'modell', did you mean 'model'?",
        "rules[0].when.p: Expected `float | null`, got `str`",
        'rules[0].when: \'7-3\' is no range; write 5, "3-7" or "3-"',
        "rules[0].do.rate_limit: unknown key 'retry_afte', did you mean 'retry_after'?",
        "rules[1].do: unknown behaviour 'stal', did you mean 'stall'?",
        "rules[2]: refuse happens before 'model' is known; it may use calls, seconds and p",
        "rules[3].do.stall.after: Expected `int`, got `str`",
        "rules[3].do.stall: unknown eol 'lff', did you mean 'lf'?",
        'rules[4].when: seconds: \'5\' is no stretch of time; write "10-25" or "10-"',
        "rules[5]: expected a mapping, got int",
    ] == list(caught.value.errors)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: {a: 1}", "rules: expected a list, got dict"),
        ("- 1", "script: expected a mapping, got list"),
        ("rules: [\n  a: {", "this is no YAML"),
        ("rules: []\nsteps: []", "either rules"),
        ("seed: x", "seed: 'x' is no whole number"),
        ("steps: [refuse, ok]", "give it seconds"),
        ("steps: [[1]]", "steps[0]: expected a behaviour"),
        ("steps: [{hang: {after: 2}}]", "steps[0].hang: unknown key 'after'"),
    ],
)
def test_a_script_that_is_no_script_is_refused_in_words(text: str, told: str) -> None:
    with pytest.raises(BadScript) as caught:
        parse(text)

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("halt", {}, "unknown behaviour 'halt'"),
        ("hang", {"after": 3}, "hang does not use 'after'; it takes no option"),
        ("cut", {"how": "rest"}, "unknown how 'rest', did you mean 'reset'?"),
        ("error_event", {"error": "overload"}, "unknown error 'overload', did you mean 'overloaded'?"),
    ],
)
def test_a_behaviour_that_makes_no_sense_is_refused(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Behaviour(name, **options)


@pytest.mark.parametrize(
    ("text", "pair"), [("3-7", (3, 7)), (5, (5, 5)), ("1.5-2", (1.5, 2)), ("0-1", (0, 1))]
)
def test_a_range_has_two_ends(text: str | int, pair: tuple[float, float]) -> None:
    assert pair == span(text)


@pytest.mark.parametrize("text", ["", "x", "7-3", "-3", "1-2-3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no range"):
        span(text)


def test_every_behaviour_is_played_and_every_option_explained() -> None:
    greeted = {*SHUT, "accept_reset", "accept_stall", "tls_alert"}

    assert set(CATALOGUE) == set(PLAYS) | greeted
    assert {option for kind in CATALOGUE.values() for option in kind.options} == set(OPTIONS)
    assert set(CHOICES) <= set(OPTIONS)


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_every_dialect_has_words_for_every_error(voice: Any) -> None:
    for error in ERRORS:
        complaint = voice.complain(error, do())

        assert 400 <= complaint.status < 600
        assert b"error" in complaint.body
        assert b"{" not in complaint.body.strip(b"{").split(b'"message"')[1].split(b'",')[0]


def test_every_fault_that_a_vendor_can_cause_has_a_behaviour() -> None:
    """3 to 8, 11 and 12 belong to names, certificates and proxies; 54 and 55 to other transports."""
    caused = {*range(1, 69)} - {*range(3, 9), 11, 12, 54, 55}

    assert caused == {number for kind in CATALOGUE.values() for number in kind.covers if number < 69}


def test_the_page_names_every_behaviour_and_condition() -> None:
    page = (Path(__file__).parents[2] / "docs" / "provider.md").read_text(encoding="utf-8")

    assert [name for name in CATALOGUE if f"`{name}`" not in page] == []
    assert [option.name for option in fields(When) if f"`{option.name}`" not in page] == []
