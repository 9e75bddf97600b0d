"""promtool: where it is, how it gets there, and one test file of it as a value."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

PACKAGES = {
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "amtool": "prometheus-alertmanager",
    "chromium-headless-shell": "chromium-headless-shell",
}


def _run(*command: str) -> None:
    # RUNLEVEL: a package's service is not to be started by a test
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(command, env=env, check=False, capture_output=True, timeout=300)  # noqa: S603  # our own words


@cache
def _found(tool: str) -> str | None:
    path = shutil.which(tool)
    may = os.geteuid() == 0 or os.environ.get("CI") == "true"
    if path is None and may and shutil.which("apt-get"):
        with Path(tempfile.gettempdir(), f"llm-sidecar-tests-{os.getuid()}.lock").open("w") as one_at_a_time:
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            path = shutil.which(tool) or _installed(tool)
    return path


def _installed(tool: str) -> str | None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    _run(*sudo, "apt-get", "update", "-qq")
    _run(*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", PACKAGES[tool])
    if shutil.which("systemctl"):
        _run(*sudo, "systemctl", "disable", "--now", PACKAGES[tool])
    return shutil.which(tool)


def need(tool: str) -> str:
    """Its path. Where it is missing the test is skipped, in CI it fails."""
    path = _found(tool)
    if path is None:
        said = f"{tool} is missing: apt-get install --no-install-recommends {PACKAGES[tool]}"
        if os.environ.get("CI") == "true":
            pytest.fail(said, pytrace=False)
        pytest.skip(said)
    return path


def run(*command: str, cwd: Path | None = None) -> str:
    """What it says; what it objects to fails the test."""
    done = subprocess.run(  # noqa: S603  # our own words
        command, cwd=cwd, check=False, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


@dataclass(slots=True)
class Night:
    """One promtool test: series that begin at 0:00, and what is asked of them when."""

    step: int = 30  # seconds between samples, and between evaluations
    series: list[dict[str, str]] = field(default_factory=list)
    questions: list[dict[str, object]] = field(default_factory=list)

    def add(self, name: str, values: str) -> None:
        self.series.append({"series": name, "values": values})

    def ask(self, expr: str, at: float, *samples: tuple[str, float]) -> None:
        """`at` in minutes."""
        self.questions.append(
            {
                "expr": expr,
                "eval_time": f"{int(at * 60)}s",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
            }
        )

    def check(self, rules: dict[str, Any], folder: Path) -> None:
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules, width=1_000_000))
        test = {"interval": f"{self.step}s", "input_series": self.series, "promql_expr_test": self.questions}
        document = {
            "rule_files": ["rules.yaml"],
            "evaluation_interval": f"{self.step}s",
            "tests": [test],
        }
        (folder / "test.yaml").write_text(yaml.safe_dump(document, width=1_000_000))
        run(need("promtool"), "test", "rules", "test.yaml", cwd=folder)
