"""The image's own steps, run into a bare folder: what is in it, and that it lives as a pod would have it.

The folder holds the interpreter that runs this test, where the image has the one of its first stage;
the steps are the Containerfile's. `test_builder.py` builds the image itself where something can.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from image import assemble
from tests.docs.pages import ROOT
from tests.image.containerfile import stages

pytestmark = pytest.mark.process

LARGEST = 300 * 1024 * 1024


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / "root"
    for step in stages()[0]:
        if step.word == "RUN":
            python, *words, _ = step.form  # the last word is a folder of the builder's
            assert "python" == python
            done = subprocess.run(  # noqa: S603  # the Containerfile's words
                [sys.executable, *words, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert 0 == done.returncode, done.stdout + done.stderr
    return folder


def files(tree: Path) -> Iterator[Path]:
    return (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


def test_there_is_no_shell_no_installer_and_no_test_in_it(tree: Path):
    names = {path.name for path in tree.rglob("*")}
    unwanted = {
        "sh",
        "bash",
        "dash",
        "busybox",
        "apt",
        "dpkg",
        "curl",
        "pip",
        "ensurepip",
        "setuptools",
        "idlelib",
    }
    assert not names & (unwanted | {"tests", "test", "conftest.py", "tkinter"})
    assert ["llm-sidecar"] == [
        path.name for path in (tree / "usr" / "local" / "bin").iterdir() if "python" not in path.name
    ]


def test_every_module_comes_with_its_bytecode_and_no_stale_one_can_be_taken(tree: Path):
    from importlib.util import cache_from_source

    sources = [path for path in files(tree) if path.suffix == ".py"]
    assert len(sources) > 500
    missing = [path for path in sources if not Path(cache_from_source(str(path))).exists()]
    assert missing == []
    compiled = next(path for path in files(tree) if path.suffix == ".pyc")
    assert 1 == int.from_bytes(compiled.read_bytes()[4:8], "little")  # hash-based, unchecked
    assert str(tree).encode() not in compiled.read_bytes()


def test_nobody_but_root_writes_and_nothing_lends_rights(tree: Path):
    for path in tree.rglob("*"):
        mode = path.lstat().st_mode
        if path.is_symlink():
            continue
        assert not mode & (stat.S_ISUID | stat.S_ISGID), path
        assert mode & 0o004, f"{path} cannot be read by the user of the image"
        if str(path.relative_to(tree)) != "tmp":
            assert not mode & 0o022, path


def test_links_lead_to_something(tree: Path):
    links = [path for path in tree.rglob("*") if path.is_symlink()]
    assert links
    for link in links:
        target = link.readlink()
        assert (tree / target.relative_to("/") if target.is_absolute() else link.parent / target).exists(), (
            link
        )


def test_it_is_of_a_size_that_was_looked_at(tree: Path):
    assert sum(path.lstat().st_size for path in files(tree)) < LARGEST


def test_what_was_installed_is_what_was_locked(tree: Path):
    from tests.image.test_lock import LOCKS, entries

    found = {
        path.name.partition("-")[0].lower().replace("_", "-").replace(".", "-")
        for path in tree.rglob("*.dist-info")
    }
    assert found - {"llm-sidecar"} <= entries(LOCKS[0]).keys()
    assert {"llm-sidecar", "aiohttp", "grpcio", "cryptography"} <= found


@pytest.fixture(scope="module")
def life(tree: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        pytest.skip("only root can make a root of a folder: run as root, or build the image")
    done = subprocess.run(  # noqa: S603  # ours
        [
            "/usr/bin/unshare",
            "--mount",
            "--net",
            "--fork",
            sys.executable,
            "-m",
            "tests.image.jail",
            str(tree),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode and "unshare failed" in done.stderr:
        pytest.skip("namespaces are not allowed here: build the image instead")
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_runs_as_its_user_and_can_write_where_a_pod_mounts_something_alone(life: dict[str, Any]):
    check = life["check"]
    assert (assemble.USER, assemble.USER, []) == (check["uid"], check["gid"], check["groups"])
    assert ["Read-only file system"] * 2 == [check["root"], check["code"]]
    assert ["written"] * 2 == [check["tmp"], check["state"]]
    assert ([], False) == (check["shell"], check["pip"])


def test_all_that_is_loaded_late_can_be_loaded(life: dict[str, Any]):
    assert 7 == len(life["check"]["modules"])
    assert life["check"]["authorities"] > 50


def test_it_starts_on_a_read_only_root_without_network(life: dict[str, Any]):
    assert life["started"]
    assert (200, 200) == (life["data"][0], life["metrics"])
    assert [0, f"llm-sidecar {__import__('sidecar').__version__}\n"] == life["version"]
    assert 0 == life["exit"]


def test_the_doctor_works_in_it(life: dict[str, Any]):
    status, text = life["doctor"]
    assert (0, True) == (status, json.loads(text)["ok"])
