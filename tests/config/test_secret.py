"""A secret is read where it is, again when it changes, and never shown."""

import copy
import os
import pickle
from pathlib import Path

import pytest

from sidecar.secret import LARGEST, Secret

KEY = "sk-canary-0123456789"


class Now:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_a_file_is_read_without_its_line_ending(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\r\n")

    secret = Secret("file", str(file))

    assert KEY == secret.reveal()
    assert 8 == len(secret.digest)
    assert "" == secret.trouble


def test_a_changed_file_is_seen_after_a_second_and_not_before(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first")
    now = Now()
    secret = Secret("file", str(file), now)
    assert "first" == secret.reveal()
    before = secret.digest

    file.write_text("second")
    now.time = 0.9
    assert "first" == secret.reveal()
    now.time = 1.0

    assert "second" == secret.reveal()
    assert before != secret.digest


def test_the_symlink_swap_of_a_mounted_secret_is_seen(tmp_path: Path) -> None:
    for name, value in (("a", "first"), ("b", "other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(value)
        os.utime(tmp_path / name / "key", (1, 1))  # same size, same time: only the inode differs
    (tmp_path / "..data").symlink_to("a")
    (tmp_path / "key").symlink_to("..data/key")
    now = Now()
    secret = Secret("file", str(tmp_path / "key"), now)
    assert "first" == secret.reveal()

    (tmp_path / "next").symlink_to("b")
    (tmp_path / "next").replace(tmp_path / "..data")
    now.time = 2.0

    assert "other" == secret.reveal()


def test_a_missing_file_is_no_key_until_it_comes(tmp_path: Path) -> None:
    now = Now()
    secret = Secret("file", str(tmp_path / "key"), now)
    assert secret.reveal() is None
    assert "" == secret.digest
    assert "No such file or directory" == secret.trouble

    (tmp_path / "key").write_text(KEY)
    now.time = 1.0
    assert KEY == secret.reveal()
    (tmp_path / "key").unlink()
    now.time = 2.0

    assert secret.reveal() is None


def test_a_variable_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("env", "SOME_KEY")
    assert secret.reveal() is None
    assert "the variable is not set" == secret.trouble

    monkeypatch.setenv("SOME_KEY", KEY + "\n")
    assert KEY == secret.reveal()
    monkeypatch.setenv("SOME_KEY", "other")
    assert "other" == secret.reveal()
    monkeypatch.delenv("SOME_KEY")

    assert secret.reveal() is None


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"a\nb", "it holds a line break or another character that a header cannot carry"),
        (b"a\rb", "it holds a line break or another character that a header cannot carry"),
        (b"a\0b", "it holds a line break or another character that a header cannot carry"),
        ("a\u20acb".encode(), "it holds a line break or another character that a header cannot carry"),
        (b"\xff\xfe", "it is not text"),
        (b"x" * (LARGEST + 1), f"it is larger than {LARGEST} bytes"),
    ],
)
def test_what_cannot_be_a_header_is_no_key(tmp_path: Path, content: bytes, trouble: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)

    secret = Secret("file", str(file))

    assert secret.reveal() is None
    assert "" == secret.digest
    assert trouble == secret.trouble


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    secret = Secret("file", str(tmp_path / "pipe"))

    assert secret.reveal() is None
    assert "it is not a plain file" == secret.trouble


def test_nothing_but_reveal_shows_the_value(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    secret = Secret("file", str(file))
    assert KEY == secret.reveal()

    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        repr(copy.deepcopy(secret)),
        secret.trouble,
        secret.digest,
    ]

    assert f"Secret(file:{file})" == repr(secret)
    assert not [text for text in shown if "canary" in text]
    assert b"canary" not in pickle.dumps(secret)
    assert not hasattr(secret, "__dict__")


def test_secrets_of_one_source_are_equal_so_that_a_reload_changes_nothing() -> None:
    assert Secret("env", "A") == Secret("env", "A")
    assert {Secret("env", "A")} == {Secret("env", "A")}
    assert Secret("env", "A") != Secret("file", "A")
    assert Secret("env", "A") != "A"


def test_a_secret_has_one_of_two_sources() -> None:
    with pytest.raises(ValueError, match="a secret comes from"):
        Secret("literal", KEY)
