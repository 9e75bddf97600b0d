"""`llm-sidecar status`: one pod in a terminal, live."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from sidecar import glance

PORT = 9901
SECONDS = 2.0
CLEAR = "\x1b[H\x1b[2J"
TEXT = """\
Shows how the sidecar of this pod is: which provider is ill and how much of the traffic goes there,
breakers, tiers, the last decisions. In a terminal it stays, and comes anew every two seconds until
Ctrl-C; into a pipe it is said once.

  kubectl exec POD -c llm-sidecar -- llm-sidecar status --once
  kubectl port-forward POD 9901 & llm-sidecar status

The same as a page for a browser: http://127.0.0.1:9901/
"""


class Silent(Exception):
    """Nobody answers, or not as a sidecar does; the text is for people."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="llm-sidecar status", description=TEXT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--admin-port", type=_given, default=_port(), help=f"default: {PORT}, or LLM_SIDECAR_ADMIN_PORT"
    )
    parser.add_argument("--once", action="store_true", help="say it once, also in a terminal")
    parser.add_argument("--json", action="store_true", help="as /status has it, once")
    arguments = parser.parse_args(argv)
    once = arguments.once or arguments.json or not sys.stdout.isatty()
    try:
        while True:
            status = ask(arguments.admin_port)
            said = json.dumps(status) if arguments.json else glance.text(status)
            print(said if once else f"{CLEAR}{said}", flush=True)  # noqa: T201
            if once:
                return 0
            time.sleep(SECONDS)  # a terminal, not the data plane
    except Silent as error:
        print(f"llm-sidecar status: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 0


def _given(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return port


def _port() -> int:
    given = os.environ.get("LLM_SIDECAR_ADMIN_PORT", "").strip()
    return int(given) if given.isascii() and given.isdigit() else PORT


def ask(port: int) -> Any:
    """What /status says. Raises Silent."""
    for host in ("127.0.0.1", "::1"):
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        try:
            connection.request("GET", "/status")
            answer = connection.getresponse()
            body = answer.read()
        except ConnectionRefusedError:
            continue
        except (OSError, http.client.HTTPException) as error:
            raise Silent(f"port {port} does not answer ({type(error).__name__})") from None
        finally:
            connection.close()
        try:
            status = json.loads(body)
            glance.headline(status)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Silent(f"what listens on port {port} is no llm-sidecar of this version") from None
        return status
    raise Silent(f"nobody listens on port {port}; is the sidecar running, and is this its admin port?")
