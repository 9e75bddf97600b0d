"""`python -m sidecar.injector.render --profile FILE`: what a profile becomes, as JSON.

The library chart writes the same container; its test compares the two.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sidecar.injector.container import container, trust_mount, variable_of, volumes
from sidecar.injector.profile import ProfileError, load
from sidecar.injector.variables import Way, variables


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sidecar.injector.render", description=__doc__)
    parser.add_argument("--profile", type=Path, required=True, metavar="FILE")
    parser.add_argument("--native", choices=("true", "false"), default="true")
    parser.add_argument("--grace", type=int, default=30, help="terminationGracePeriodSeconds of the pod")
    parser.add_argument(
        "--upstream", action="append", default=[], metavar="PROVIDER=URL", help="as override-env finds it"
    )
    parser.add_argument("--owner", metavar="KIND=NAME", help="deployment=web")
    given = parser.parse_args(argv)
    try:
        profile = load(given.profile)
    except ProfileError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    upstreams = {
        variable_of(name): {"value": url} for name, _, url in (one.partition("=") for one in given.upstream)
    }
    kind, _, whose = (given.owner or "").partition("=")
    proxy = profile.capture == "proxy"
    way = Way(
        profile.port,
        {} if profile.capture == "none" else profile.env,
        profile.capture_port if proxy else None,
        override=False,
    )
    made = {
        "container": container(
            profile,
            native=given.native == "true",
            grace=given.grace,
            upstreams=upstreams,
            owner=(kind, whose) if whose else None,
        ),
        "volumes": volumes(profile),
        "env": variables(way),
        "volumeMounts": [trust_mount()] if proxy else [],
    }
    sys.stdout.write(json.dumps(made, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
