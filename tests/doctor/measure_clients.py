"""Asks the clients themselves: which variable wins, which path arrives, whether the proxy is used.

    python -m tests.doctor.measure_clients --python VENV/bin/python
    python -m tests.doctor.measure_clients --modules FOLDER      (that holds node_modules)

Each variable points at a recording server under a path of its own name, so the path that arrives says
which one won; then the winner is taken away and the call made again. Then only HTTPS_PROXY is set, then one
trust variable after the other, with a server whose certificate signs itself.
The lines are what sidecar/doctor/clients.py should say; clients that are not installed are left out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.doctor.recorder import certificate, recorder
from tests.doctor.snippets import KEYS, SNIPPETS, Snippet

LIMIT = 60.0  # seconds for one call; a client that reaches nobody may try for long

CANDIDATES: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "azure": ("AZURE_OPENAI_ENDPOINT",),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL", "ANTHROPIC_API_BASE"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE", "GOOGLE_BASE_URL"),
    "groq": ("GROQ_BASE_URL", "GROQ_API_BASE"),
    "cohere": ("CO_API_URL", "COHERE_API_BASE"),
    "mistral": ("MISTRAL_BASE_URL", "MISTRAL_API_BASE"),
    "bedrock": ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL"),
}

TRUST: Mapping[str, tuple[str, ...]] = {
    "python": ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"),
    "node": ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"),
}


@dataclass(frozen=True)
class Measured:
    snippet: Snippet
    version: str
    wins: tuple[tuple[str, str], ...]  # variable and the path below its value that arrived
    proxy: bool
    trust: tuple[str, ...]
    said: str  # last line of what the client printed, where nothing arrived anywhere


class Runner:
    """Runs snippets with an interpreter of its own, in an environment that holds nothing else."""

    def __init__(self, python: str, modules: Path | None) -> None:
        self.python = python
        self.modules = modules

    def command(self, snippet: Snippet) -> list[str]:
        if snippet.language == "node":
            return ["node", "--input-type=module", "-e", snippet.code]
        return [self.python, "-W", "ignore", "-c", snippet.code]

    def run(self, snippet: Snippet, environ: Mapping[str, str], limit: float = LIMIT) -> str:
        """What it said last. A client that fails is expected: the recorder answers nothing of use."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
        try:
            done = subprocess.run(  # noqa: S603  # snippets of ours
                self.command(snippet),
                cwd=self.modules,
                env={**kept, **KEYS, **environ},
                capture_output=True,
                text=True,
                check=False,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return "no end"
        return (done.stderr.strip().splitlines() or [""])[-1][:150]

    def version(self, snippet: Snippet) -> str:
        """Empty where it is not installed."""
        if snippet.language == "node":
            name = f"./node_modules/{snippet.client}/package.json"
            code = f"console.log(JSON.parse(require('fs').readFileSync('{name}')).version)"
            command = ["node", "-e", code]
            if self.modules is None:
                return ""
        else:
            code = f"import importlib.metadata as m; print(m.version('{snippet.client}'))"
            command = [self.python, "-c", code]
        done = subprocess.run(  # noqa: S603  # ours
            command, cwd=self.modules, capture_output=True, text=True, check=False, timeout=LIMIT
        )
        return done.stdout.strip()


def measure(runner: Runner, snippet: Snippet) -> Measured | None:
    version = runner.version(snippet)
    if not version:
        return None
    left, wins, said = list(CANDIDATES[snippet.provider]), [], ""
    while left:
        with recorder() as server:
            bases = {name: f"{server.url}/{name}" for name in left}
            # a client that ignores them all shall reach nobody: its proxy is a closed port
            said = runner.run(
                snippet, {**bases, "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
            )
            if not server.paths:
                break
            winner, _, below = server.paths[0].lstrip("/").partition("/")
        wins.append((winner, "/" + below))
        left.remove(winner)
    with recorder() as server:
        proxied = {"HTTPS_PROXY": server.url, "https_proxy": server.url, "NODE_USE_ENV_PROXY": "1"}
        if snippet.provider == "azure":  # has no address of its own
            proxied["AZURE_OPENAI_ENDPOINT"] = "https://name.openai.azure.com"
        runner.run(snippet, proxied)
        used = any(line.startswith("CONNECT") for line in server.seen)
    trust = trusted(runner, snippet) if wins else ()
    return Measured(snippet, version, tuple(wins), used, trust, "" if wins else said)


def trusted(runner: Runner, snippet: Snippet) -> tuple[str, ...]:
    """Which trust variables make it accept a server that no public authority knows."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        file = certificate(Path(folder))
        for name in TRUST[snippet.language]:
            with recorder(file) as server:
                bases = dict.fromkeys(CANDIDATES[snippet.provider], server.url)
                runner.run(snippet, {**bases, name: str(file)})
                found += [name] if server.paths else []
    return tuple(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", default="", help="interpreter of an environment with clients")
    parser.add_argument("--modules", type=Path, help="folder that holds node_modules")
    given = parser.parse_args()
    runner = Runner(given.python or sys.executable, given.modules)
    languages = {"python"} if given.python else set()
    languages |= {"node"} if given.modules else set()
    for snippet in SNIPPETS:
        found = measure(runner, snippet) if snippet.language in languages else None
        if found is None:
            continue
        wins = ", ".join(f"{name} -> {path}" for name, path in found.wins) or f"none ({found.said})"
        proxy = "proxy used" if found.proxy else "proxy NOT used"
        trust = "trust " + (", ".join(found.trust) or "?")
        name = f"{snippet.language} {snippet.client} {found.version} [{snippet.provider}]"
        print(f"{name}: {wins}; {proxy}; {trust}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
