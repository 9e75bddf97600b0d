"""What telemetry calls the things that happen: tables over the whole taxonomy."""

from __future__ import annotations

import pytest

from sidecar.model import Answered, Failed, Fault, Kind, Outcome, Refused, RefusedBy, Tier
from sidecar.telemetry import words
from sidecar.telemetry.words import Ended, Path, Went

from .events import attempt, call

WENT = {
    Went.THROTTLED: "rate_limit_rpm rate_limit_tpm rate_limit_daily rate_limit_concurrency "
    "rate_limit_acceleration rate_limit_request_too_large rate_limit_unknown quota_exhausted org_limit",
    Went.TIMEOUT: "timeout ttft_timeout stream_stall",
    Went.QUALITY: "refusal empty_output truncated_output malformed_tool_call "
    "structured_output_failed low_quality",
    Went.CANCELLED: "client_cancelled local_overload",
    Went.SUCCESS: "keepalive ok_no_done",
    Went.CALLER_ERROR: "context_window content_policy not_found invalid_request request_too_large "
    "unsupported_parameter capability_mismatch conflict",
    Went.PROVIDER_ERROR: "billing overloaded server_error model_loading stream_cut malformed_chunk network "
    "tls auth permission region_blocked model_gone unknown",
}


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_one_word(fault: Fault):
    [expected] = [went for went, faults in WENT.items() if fault.value in faults.split()]

    assert expected is words.went(Failed(fault))


@pytest.mark.parametrize("fault", [Fault.AUTH, Fault.PERMISSION])
def test_a_refused_key_is_the_callers_fault_only_if_it_is_the_callers_key(fault: Fault):
    assert Went.CALLER_ERROR is words.went(Failed(fault), own_key=True)
    assert Went.PROVIDER_ERROR is words.went(Failed(fault), own_key=False)
    assert Ended.CLIENT_ERROR is words.ended(Failed(fault), own_key=True)
    assert Ended.ERROR is words.ended(Failed(fault), own_key=False)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Answered(200), Ended.SUCCESS),
        (Answered(200, tier=Tier.STATIC), Ended.SUCCESS),
        (Answered(404), Ended.CLIENT_ERROR),
        (Answered(503), Ended.ERROR),
        (Answered(429), Ended.ERROR),
        (Failed(Fault.INVALID_REQUEST), Ended.CLIENT_ERROR),
        (Failed(Fault.RATE_LIMIT_RPM), Ended.ERROR),
        (Failed(Fault.EMPTY_OUTPUT), Ended.ERROR),
        (Failed(Fault.LOCAL_OVERLOAD), Ended.ERROR),
        (Failed(Fault.CLIENT_CANCELLED), Ended.CANCELLED),
        (Refused(RefusedBy.BREAKER), Ended.ERROR),
        (None, Ended.CANCELLED),
    ],
)
def test_a_call_ends_in_one_of_four_ways(outcome: Outcome | None, expected: Ended):
    assert expected is words.ended(outcome)


def test_only_a_success_has_no_error_type():
    assert "" == words.error_type(Answered(200))
    assert "overloaded" == words.error_type(Failed(Fault.OVERLOADED))
    assert "quota_exhausted" == words.error_type(Refused(RefusedBy.KNOWN_WAIT, fault=Fault.QUOTA_EXHAUSTED))
    assert "client_cancelled" == words.error_type(None)
    assert "unknown" == words.error_type(Answered(500))


@pytest.mark.parametrize(
    ("kinds", "outcome", "expected"),
    [
        ([Kind.INITIAL], Answered(200), Path.DIRECT),
        ([], Failed(Fault.LOCAL_OVERLOAD), Path.DIRECT),
        ([Kind.INITIAL, Kind.RETRY], Answered(200), Path.RETRY),
        ([Kind.INITIAL, Kind.RETRY], Failed(Fault.SERVER_ERROR), Path.RETRY),
        ([Kind.INITIAL, Kind.FALLBACK, Kind.RETRY], Answered(200), Path.FALLBACK),
        ([Kind.FALLBACK], Answered(200), Path.FALLBACK),
        ([Kind.PROBE], Answered(200), Path.DIRECT),
        ([Kind.INITIAL], Answered(200, tier=Tier.STATIC), Path.DEGRADED),
        ([Kind.INITIAL, Kind.FALLBACK], Answered(200, tier=Tier.CACHED), Path.DEGRADED),
    ],
)
def test_the_path_says_what_it_took(kinds: list[Kind], outcome: Outcome, expected: Path):
    attempts = [attempt(None, kind=kind) for kind in kinds]

    assert expected is words.path(attempts, outcome)


def test_an_error_passed_on_is_no_full_answer():
    assert Tier.NONE is words.tier(Answered(500))
    assert Tier.FULL is words.tier(Answered(200))
    assert Tier.NONE is words.tier(None)


def test_overhead_is_what_nobody_else_took():
    about = call(attempt(Answered(200)))  # 1.999 s of attempt
    about.record.waited = 0.5
    about.record.client_blocked = 0.25

    assert words.overhead(about, 102.75) == pytest.approx(0.001)
    assert 0.0 == words.overhead(about, 101.0)


def test_overhead_is_unknown_while_an_attempt_has_no_end():
    cut = attempt(None)
    cut.ended = None

    assert words.overhead(call(cut), 103.0) is None


@pytest.mark.parametrize(
    "value",
    [
        "Bearer abcdefgh1234",
        "bearer canary-5e1b",
        "key abcdefgh",
        "Basic dXNlcjpwYXNz",
        "sk-ant-api03-abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12",
    ],
)
def test_a_credential_is_no_name(value: str):
    assert not words.is_name(value)


@pytest.mark.parametrize(
    "value",
    [
        "gpt-4o",
        "anthropic/claude-sonnet-4-5-20250929",
        "accounts/fireworks/models/llama-v3p1-405b-instruct",
        "ft:gpt-4o-mini-2024-07-18:my-org:custom:9aBcDeFg",
        "Meta-Llama-3.1-405B-Instruct-Turbo",
        "req_011CSHoEeqs5C35K2UUqR7Fy",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "token-router",
    ],
)
def test_models_and_request_ids_are_names(value: str):
    assert words.is_name(value)
