"""Answers in the shapes and turns of phrase that providers use, one a line of cases.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.classify import classify
from sidecar.classify.sentences import TEXTS
from sidecar.classify_lines import run
from sidecar.faults import HANDLING
from sidecar.model import Fault, Scope, Verdict

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases.jsonl").read_text("utf-8").splitlines()]


def verdict(status: int, body: Any, headers: dict[str, str] | None = None, **more: Any) -> Verdict:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return classify(provider="any", status=status, headers=headers or {}, body=raw, wall=0.0, **more)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['class']}-{case['status']}")
def test_an_answer_gets_the_class_it_means(case: dict[str, Any]) -> None:
    told = json.loads(next(run([json.dumps(case)])))
    assert case["class"] == told["class"], case["body"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['class']}-{case['status']}")
def test_the_words_that_spare_a_search_never_hide_what_it_would_find(case: dict[str, Any]) -> None:
    text = json.dumps(case["body"], ensure_ascii=False).lower()
    for row in TEXTS:
        if row.words and row.pattern.search(text):
            assert any(word in text for word in row.words), row.pattern.pattern


def test_every_fault_has_a_row_and_every_row_a_fault() -> None:
    assert set(Fault) == set(HANDLING)


def test_every_class_but_one_is_tried_here() -> None:
    # that one is never read from an answer: the signals find it
    assert set(Fault) - {case["class"] for case in CASES} == {Fault.LOW_QUALITY}


@pytest.mark.parametrize(
    ("status", "body", "again"),
    [
        (408, {"error": {"message": "Request timed out.", "type": "timeout"}}, True),
        (504, {"error": {"message": "Deadline passed", "type": "timeout"}}, None),
        (500, {"error": "model requires more system memory (90 GiB) than is available (7 GiB)"}, False),
        (500, {"error": "something else"}, None),
    ],
)
def test_an_answer_may_overrule_its_class_on_asking_again(status: int, body: Any, again: bool | None) -> None:
    assert verdict(status, body).again is again


def test_an_aws_model_that_ran_out_of_its_minutes_is_not_asked_again_although_it_says_408() -> None:
    found = verdict(
        408, {"message": "The request took too long."}, {"x-amzn-errortype": "ModelTimeoutException"}
    )
    assert (Fault.TIMEOUT, None) == (found.fault, found.again)
    assert not HANDLING[Fault.TIMEOUT].again


@pytest.mark.parametrize(
    ("status", "body", "scope"),
    [
        (401, {"error": {"message": "Invalid API key"}}, Scope.KEY),
        (429, {"error": {"message": "Rate limit reached for x on requests per min (RPM)"}}, Scope.MODEL),
        (429, {"message": "You are using a Trial key, which is limited to 20 calls / minute."}, Scope.KEY),
        (429, {"error": {"message": "Too many concurrent requests"}}, Scope.KEY),
        (403, {"error": {"message": "Your key does not have access to model x"}}, Scope.MODEL),
        (403, {"error": {"message": "This organization has been disabled"}}, Scope.KEY),
        (400, {"error": {"message": "User location is not supported"}}, Scope.PROVIDER),
        (400, {"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}, Scope.REQUEST),
        (
            429,
            {
                "error": {
                    "message": "Resource exhausted. Please try again later.",
                    "status": "RESOURCE_EXHAUSTED",
                }
            },
            Scope.REGION,
        ),
    ],
)
def test_a_verdict_reaches_as_far_as_the_answer_says(status: int, body: Any, scope: Scope) -> None:
    assert scope == verdict(status, body).scope


def test_seconds_are_not_believed_for_what_comes_back_at_midnight() -> None:
    def waiting(delay: str) -> float | None:
        body = {"error": {"message": "Too many requests per day", "details": [{"retryDelay": delay}]}}
        return verdict(429, body).wait

    assert waiting("30s") is None
    assert waiting("7200s") == 7200.0


def test_who_the_provider_is_changes_only_what_nothing_else_tells() -> None:
    body = b'{"message": "no"}'
    classes = {
        name: classify(provider=name, status=498, headers={}, body=body, wall=0.0).fault
        for name in ("groq", "cohere")
    }
    assert {"groq": Fault.OVERLOADED, "cohere": Fault.CONTENT_POLICY} == classes


def test_the_end_of_a_huge_body_is_not_read() -> None:
    body = b'{"error": {"message": "' + b" " * 70_000 + b'insufficient credits"}}'
    assert classify(provider="any", status=500, headers={}, body=body, wall=0.0).fault is Fault.SERVER_ERROR


def test_a_long_good_answer_is_not_taken_for_a_broken_one() -> None:
    assert (
        verdict(200, {"object": "list", "data": [{"embedding": [0.25] * 30_000}]}).fault is Fault.OK_NO_DONE
    )
    event = 'data: {"choices":[{"delta":{"content":"' + "x" * 500 + '"}}]}\n\n'
    assert verdict(200, event * 200).fault is Fault.OK_NO_DONE


def test_an_error_that_is_no_json_after_all_is_read_as_text() -> None:
    assert verdict(400, "{'error': 'Your credit balance is too low'}").fault is Fault.BILLING
