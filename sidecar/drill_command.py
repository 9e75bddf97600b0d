"""`llm-sidecar drill`: the header by which one request asks for a fault, signed."""

from __future__ import annotations

import argparse
from pathlib import Path

from sidecar.core import drill
from sidecar.model import Drill

TEXT = """\
Prints a request header that makes the sidecar play a fault in a target's place, for this request.
The sidecar has to know the key: `drill_key: PATH` in its configuration.

  curl -H "$(llm-sidecar drill --key-file /secrets/drill --fault overloaded --target openai)" ...

To play it for a share of all calls of a route, put it into the configuration:

  routes:
    - name: chat
      drill: {fault: overloaded, share: 0.2, target: openai, until: "2026-12-01T10:30:00+00:00"}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key-file", required=True, type=Path, metavar="FILE")
    parser.add_argument("--fault", required=True, choices=drill.FAULTS)
    parser.add_argument("--target", default="", help="a target or a provider; without it all are played for")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long it is good for, 60 at the most")


def header(arguments: argparse.Namespace, wall: float) -> str:
    """Raises OSError and ValueError, for people."""
    if not 0 < arguments.minutes <= drill.LONGEST.total_seconds() / 60:
        raise ValueError("--minutes is from 0 to 60")
    key = arguments.key_file.read_text().rstrip("\r\n")
    if not key:
        raise ValueError(f"{arguments.key_file}: is empty")
    until = drill.moment(wall, arguments.minutes)
    asked = Drill(fault=arguments.fault, target=arguments.target, until=until)
    return f"x-llm-sidecar-drill: {drill.written(asked, key)}"
