"""`llm-sidecar translate`, as a process would use it: lines in, lines out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from typing import Any

import pytest

from sidecar.cli import _SPOKEN, main
from sidecar.hub import TONGUES
from sidecar.models.card import Ability, Card
from sidecar.translate_lines import Asked, asked, run
from tests.kit.answers import Anthropic, Gemini, OpenAI

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "logit_bias": {"5": 1}}


SMALL = Card(provider="p", name="small", output=100, no=frozenset({Ability.IMAGES, Ability.SAMPLING}))
GREEDY = {**CHAT, "max_tokens": 5000, "temperature": 0.3}
CLAMPED = {"field": "max_tokens", "how": "clamped"}
DROPPED = {"field": "temperature", "how": "dropped"}


def lines(
    *rows: Any, of: str, to: str, kind: str = "request", card: Card | None = None
) -> list[dict[str, Any]]:
    given = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    model = Asked("theirs", card) if card is not None else None
    told = run(given, of=of, to=to, kind=kind, wall=1700000000.0, model=model)
    return [json.loads(line) for line in told]


def test_the_command_knows_every_dialect_that_can_be_spoken():
    assert set(_SPOKEN) == set(TONGUES)


def test_a_request_shows_its_losses():
    (told,) = lines(CHAT, of="openai_chat", to="anthropic")

    assert "/messages" == told["path"]
    assert [{"field": "logit_bias", "how": "dropped"}] == told["losses"]
    assert "hello" in json.dumps(told["body"]["messages"])


def test_what_cannot_be_said_is_refused_by_name():
    (told,) = lines({**CHAT, "n": 2}, of="openai_chat", to="anthropic")

    assert (1, "n") == (told["line"], told["refused"])


def test_a_request_of_gemini_comes_with_its_path():
    row = {"path": "/v1beta/models/g:generateContent", "body": json.loads(Gemini.request("hello"))}

    (told,) = lines(row, of="gemini", to="openai_chat")

    assert ("g", "hello") == (told["body"]["model"], told["body"]["messages"][0]["content"])


def test_what_a_model_cannot_take_is_clamped_or_dropped_and_named():
    (told,) = lines(GREEDY, of="openai_chat", to="anthropic", card=SMALL)

    assert [CLAMPED, DROPPED, {"field": "logit_bias", "how": "dropped"}] == told["losses"]
    assert {"model": "theirs", "max_tokens": 100} == {k: told["body"][k] for k in ("model", "max_tokens")}
    assert "temperature" not in told["body"]
    assert "p/small" == told["card"]


def test_a_model_of_the_clients_own_dialect_gets_its_bytes_with_as_little_changed():
    (told,) = lines(GREEDY, of="openai_chat", to="openai_chat", card=SMALL)

    assert [CLAMPED, DROPPED] == told["losses"]
    assert {**CHAT, "model": "theirs", "max_tokens": 100} == told["body"]


def test_what_a_model_cannot_do_at_all_is_refused_with_the_reason():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    asked_for = {"model": "m", "messages": [{"role": "user", "content": [image]}]}
    retired = Card(provider="p", name="old", retires=date(2020, 1, 1))

    (blind,) = lines(asked_for, of="openai_chat", to="anthropic", card=SMALL)
    (gone,) = lines(CHAT, of="openai_chat", to="gemini", card=retired)

    assert "it takes no images" == blind["why"]
    assert "its model is retired" == gone["why"]


@pytest.mark.parametrize(
    ("name", "dialect", "model", "provider"),
    [
        ("gpt-4o", "openai_responses", "gpt-4o", "openai"),
        ("claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5", "anthropic"),
        ("mistral/mistral-small", "openai_chat", "mistral-small", "mistral"),
        ("nobody/knows", "openai_chat", "nobody/knows", None),
    ],
)
def test_a_model_is_named_with_its_provider_or_belongs_to_the_dialects_own(
    name: str, dialect: str, model: str, provider: str | None
):
    found = asked(name, dialect)

    assert (model, provider) == (found.name, found.card and found.card.provider)


def test_an_answer_whole_and_as_a_stream():
    (whole,) = lines(
        Anthropic.whole("all is well").decode(), of="anthropic", to="openai_chat", kind="response"
    )
    events = b"".join(Anthropic.events(["all ", "is well"])).decode()
    (stream,) = lines(json.dumps(events), of="anthropic", to="openai_chat", kind="stream")

    assert "all is well" == whole["body"]["choices"][0]["message"]["content"]
    assert stream["stream"].endswith("data: [DONE]\n\n")
    assert "is well" in stream["stream"]


def test_an_error_has_the_class_that_the_client_catches():
    error = {"status": 429, "headers": {"retry-after": "7"}, "body": json.loads(OpenAI.error("slow down"))}

    (told,) = lines(error, of="openai_chat", to="anthropic", kind="error")

    assert (429, "rate_limit_error", 7.0) == (
        told["status"],
        told["body"]["error"]["type"],
        told["retry_after_s"],
    )


def test_bad_lines_are_told_and_the_others_go_on():
    told = lines("{", CHAT, "[]", of="openai_chat", to="gemini")

    assert ["error", "path", "error"] == [next(k for k in ("error", "path") if k in row) for row in told]


def test_the_command_itself():
    command = [sys.executable, "-m", "sidecar", "translate", "--from", "openai_chat", "--to", "anthropic"]
    command += ["--model", "claude-sonnet-4-5"]
    done = subprocess.run(  # noqa: S603  # our own command
        command, input=json.dumps(CHAT), capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
    told = json.loads(done.stdout)
    assert ("/messages", "anthropic/claude-sonnet-4-5") == (told["path"], told["card"])


def test_only_a_request_is_held_against_a_model(capsys: pytest.CaptureFixture[str]):
    options = ["--from", "anthropic", "--to", "gemini", "--kind", "error", "--model", "gemini-2.5-flash"]

    assert 2 == main(["translate", *options])
    assert "--kind is error" in capsys.readouterr().err
