"""What a kubelet would do with one pod that has a sidecar: start it, wait for its probe, start the rest.

Containers are processes of this machine, without images and volumes: the sidecar's folders are moved,
its commands are this interpreter's.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from tests.cluster.pods import OURS, one
from tests.cluster.servers import SECONDS, Cluster, Process, until
from tests.helm.tool import Said

SIDECAR: Final = (sys.executable, "-m", "sidecar")


class Pod:
    def __init__(self, cluster: Cluster, pod: dict[str, Any], folder: Path) -> None:
        self.cluster, self.pod, self.folder = cluster, pod, folder
        self.sidecar = one(pod, OURS)
        self.env = self._env(self.sidecar) | {"LLM_SIDECAR_STATE_DIR": str(folder)}

    def live(self) -> Said:
        """From the sidecar's start to its end; what the main container said."""
        (main,) = self.pod["spec"]["containers"]
        running = Process([*SIDECAR, *self.sidecar["args"]], self.folder / "sidecar.log", **self.env)
        try:
            until(lambda: running.alive() and self._started(), "the sidecar's startup probe")
            command = [*main["command"], *main.get("args", [])]
            said = _run([sys.executable, *command[1:]], self._env(main))
            stop = self.sidecar["lifecycle"]["preStop"]["exec"]["command"]
            assert self.execute(*stop[1:]).status == 0
        finally:
            status = running.end()
        assert status == 0, running.said()
        return said

    def execute(self, *arguments: str) -> Said:
        """`kubectl exec POD -c llm-sidecar -- llm-sidecar ...`"""
        return _run([*SIDECAR, *arguments], self.env)

    def report(self, phase: str) -> None:
        metadata = self.pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        self.cluster.merge(path, {"status": {"phase": phase}})

    def _started(self) -> bool:
        probe = self.sidecar["startupProbe"]["httpGet"]
        (port,) = [row["containerPort"] for row in self.sidecar["ports"] if row["name"] == probe["port"]]
        page = f"http://127.0.0.1:{port}{probe['path']}"
        with contextlib.suppress(OSError), urlopen(page, timeout=10) as answer:
            return bool(answer.status == 200)
        return False

    def _env(self, container: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for row in container.get("env", []):
            if "value" in row:
                text = re.sub(r"\$\((\w+)\)", lambda match: found.get(match[1], match[0]), row["value"])
            elif "fieldRef" in row.get("valueFrom", {}):
                text = self._field(row["valueFrom"]["fieldRef"]["fieldPath"])
            else:
                text = ""
            found[row["name"]] = text
        return found

    def _field(self, path: str) -> str:
        value: Any = self.pod
        for step in path.split("."):
            value = value.get(step, {})
        return value if isinstance(value, str) else "a-node"


def _run(command: list[str], env: Mapping[str, str]) -> Said:
    done = subprocess.run(  # noqa: S603  # our own words
        command, check=False, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **env}
    )
    return Said(done.returncode, done.stdout, done.stderr)
