"""`python -m alerts` writes the committed files anew, `--check` compares them, `--out` renders elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from alerts.build import PAGE, RENDERED, ROOT, files, page
from alerts.thresholds import Wrong, changed


def committed() -> dict[Path, str]:
    return {RENDERED / name: text for name, text in files().items()} | {PAGE: page()}


def stale() -> Iterator[str]:
    for path, text in committed().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield str(path.relative_to(ROOT))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m alerts", description=__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a threshold")
    parser.add_argument("--thresholds", type=Path, metavar="FILE", help="a YAML mapping of thresholds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the three files go")
    parser.add_argument("--check", action="store_true", help="are the committed files those of the rows?")
    return parser


def _values(path: Path | None, pairs: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    if path is not None:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(loaded, dict):
            raise Wrong(f"{path}: expected a mapping of thresholds to values")
        values |= {str(key): value for key, value in loaded.items()}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found:
            raise Wrong(f"--set {pair}: expected NAME=VALUE")
        values[name] = value
    return values


def main(arguments: list[str]) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.check and given.out:
        parser.error("--check compares the committed files, --out writes others: say one of them")
    if not given.out and (given.set or given.thresholds):
        parser.error("the committed files have the defaults; with other thresholds use --out DIR")
    if given.check:
        found = list(stale())
        for name in found:
            sys.stderr.write(f"{name} is stale: run python -m alerts\n")
        return 1 if found else 0
    try:
        texts = (
            committed()
            if given.out is None
            else {
                given.out / name: text
                for name, text in files(changed(_values(given.thresholds, given.set))).items()
            }
        )
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except (Wrong, OSError, yaml.YAMLError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
