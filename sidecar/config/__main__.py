"""`python -m sidecar.config --check | --write`: the reference page, compared or written."""

from __future__ import annotations

import sys

from sidecar.config.reference import PAGE, page


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--write"]:
            PAGE.parent.mkdir(parents=True, exist_ok=True)
            PAGE.write_text(page(), encoding="utf-8")
            return 0
        case ["--check"]:
            if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
                return 0
            sys.stderr.write("docs/reference/config.md is stale: run python -m sidecar.config --write\n")
            return 1
        case _:
            sys.stderr.write("usage: python -m sidecar.config --check | --write\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
