"""`llm-sidecar translate`, as a process would use it: lines in, lines out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from sidecar.cli import _SPOKEN
from sidecar.hub import TONGUES
from sidecar.translate_lines import run
from tests.kit.answers import Anthropic, Gemini, OpenAI

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "logit_bias": {"5": 1}}


def lines(*rows: Any, of: str, to: str, kind: str = "request") -> list[dict[str, Any]]:
    given = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return [json.loads(line) for line in run(given, of=of, to=to, kind=kind, wall=1700000000.0)]


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
    done = subprocess.run(  # noqa: S603  # our own command
        command, input=json.dumps(CHAT), capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "/messages" == json.loads(done.stdout)["path"]
