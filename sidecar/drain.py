"""`llm-sidecar drain`: tells the sidecar of this pod that the pod ends. Its container's preStop hook.

A preStop hook holds its pod up for as long as it runs, and nothing that it could complain about can be
mended then. So this one asks once, waits a second at the most, and its exit status is 0 whatever became
of it; what went wrong stands on stderr.

It runs in the sidecar's own container, so it sees what the sidecar sees: the variables, the configuration
and, where verbs need one, the token's file. The configuration is looked at for no more than that: a
mistake elsewhere in it is none of our business now.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PORT = 9901
SECONDS = 1.0
HOSTS = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Door:
    port: int = PORT
    token: str | None = None  # path of a file


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="llm-sidecar drain",
        description="Tells the sidecar beside it that the pod ends; the preStop hook of its container.",
    )
    parser.add_argument("--config", "-c", type=Path, metavar="FILE", help="as it was given to `run`")
    parser.add_argument("--admin-port", type=int, help="as it was given to `run`")
    arguments = parser.parse_args(argv)
    said = drain(os.environ, path=arguments.config, port=arguments.admin_port)
    if said:
        print(f"llm-sidecar drain: {said}", file=sys.stderr)  # noqa: T201
    return 0


def drain(env: Mapping[str, str], *, path: Path | None = None, port: int | None = None) -> str:
    """What went wrong; "" where nothing did."""
    given = env.get("LLM_SIDECAR_ADMIN_PORT", "").strip()
    if port is None and given.isascii() and given.isdigit():
        port = int(given)
    status = _ask(port, None) if port is not None else None
    if status is None or status == 401:  # only then: reading it takes longer than all the rest
        found = _door(env, path)
        status = _ask(port or found.port, found.token)
    if status is None:
        return "nobody answers at the admin port; there is nothing to drain"
    return "" if status < 300 else f"the admin port answered {status}"


def _ask(port: int, token: str | None) -> int | None:
    """The status of the answer; None where there is none."""
    headers = {"x-llm-sidecar-admin": "yes", "content-length": "0"}
    try:
        if token is not None:
            headers["authorization"] = f"Bearer {Path(token).read_text(encoding='utf-8').strip()}"
    except (OSError, UnicodeDecodeError):
        return 401
    for host in HOSTS:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        try:
            connection.request("POST", "/drain", headers=headers)
            return connection.getresponse().status
        except TimeoutError:
            return 504  # it is there and hangs: asking again would only hold up the pod
        except (OSError, http.client.HTTPException, ValueError):  # a token may hold what no header may
            continue
        finally:
            connection.close()
    return None


def _door(env: Mapping[str, str], path: Path | None) -> Door:
    """As the configuration says, however wrong the rest of it is."""
    from sidecar.config import document
    from sidecar.config.problems import Problems

    named = env.get("LLM_SIDECAR_CONFIG", "").strip()
    path = path or (Path(named) if named else None)
    try:
        text = (
            env.get("LLM_SIDECAR_CONFIG_TEXT", "") if path is None else path.read_text(encoding="utf-8-sig")
        )
        raw: Any = document.read(text, Problems())
    except (OSError, UnicodeDecodeError, document.Unreadable):
        return Door()
    admin = raw.get("admin") if isinstance(raw, dict) else None
    if not isinstance(admin, dict):
        return Door()
    port, token = admin.get("port"), admin.get("token")
    return Door(
        port if isinstance(port, int) and 0 < port < 65536 else PORT,
        token if isinstance(token, str) and token else None,
    )
