"""The image itself, where docker, podman or buildah can build one; elsewhere test_tree.py stands for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache

import pytest

from tests.docs.pages import ROOT

pytestmark = pytest.mark.process

TAG = "llm-sidecar:test"


def _run(*words: str, limit: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own words
        words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=limit
    )


@cache
def builder() -> str | None:
    """One that can also run what it built."""
    for name in ("docker", "podman"):
        path = shutil.which(name)
        if path and _run(path, "info").returncode == 0:
            return path
    return None


@pytest.fixture(scope="module")
def image() -> str:
    found = builder()
    if found is None:
        pytest.skip("no container builder here; test_tree.py runs the same steps")
    done = _run(found, "build", "-f", "Containerfile", "-t", TAG, ".", limit=900)
    assert 0 == done.returncode, done.stderr[-2000:]
    return found


def test_the_image_runs_as_its_user_with_the_entry_point(image: str):
    (seen,) = json.loads(_run(image, "image", "inspect", TAG).stdout)
    assert ("10001:10001", ["llm-sidecar"], ["run"]) == (
        seen["Config"]["User"],
        seen["Config"]["Entrypoint"],
        seen["Config"]["Cmd"],
    )


def test_the_image_lives_read_only_without_rights_or_network(image: str):
    hard = ("--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges")
    assert 0 == _run(image, "run", *hard, TAG, "--version").returncode
    assert 0 == _run(image, "run", *hard, TAG, "check").returncode
    assert 0 != _run(image, "run", *hard, "--entrypoint", "sh", TAG, "-c", "true").returncode
    name = "llm-sidecar-test"
    assert 0 == _run(image, "run", "--detach", "--name", name, *hard, "--tmpfs", "/tmp", TAG).returncode  # noqa: S108
    try:
        for _ in range(60):
            done = _run(image, "exec", name, "llm-sidecar", "doctor", "--offline")
            if done.returncode == 0:
                break
        assert 0 == done.returncode, done.stdout
    finally:
        _run(image, "rm", "--force", name)
