"""`python -m helm` writes what follows from rows, rules and boards; `--check` says what differs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from alerts import build
from dashboards import frame
from dashboards.__main__ import boards
from helm import chart, write
from helm.rows import defaults
from sidecar import __version__
from sidecar.telemetry import catalog

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parent
APPLICATION: Final = FOLDER / "llm-sidecar"
LIBRARY: Final = FOLDER / "llm-sidecar-lib"
EMBED: Final = FOLDER / "examples" / "embed"

_HEAD: Final = "Every value of the chart with its default. values.schema.json says what each may be."
_LIBRARY_HEAD: Final = "What the library takes under `llmSidecar:` of the chart that embeds it."


def facts() -> dict[str, object]:
    """What the notes need to know of the product."""
    return {
        "seriesPerPod": sum(metric.series for metric in catalog.CATALOG if metric not in catalog.INJECTOR),
        "scrapeIntervalSeconds": chart.SERIES_INTERVAL,
    }


def generated() -> dict[Path, str]:
    """Every file that is written here, by its path."""
    page = (FOLDER / "pages" / "llm-sidecar.md").read_text(encoding="utf-8")
    library_page = (FOLDER / "pages" / "llm-sidecar-lib.md").read_text(encoding="utf-8")
    made = {
        APPLICATION / "values.yaml": write.values(chart.APPLICATION, _HEAD),
        APPLICATION / "values.schema.json": write.schema(
            chart.APPLICATION, "Values of llm-sidecar", allOf=chart.conditions()
        ),
        APPLICATION / "README.md": _page(page, write.table(chart.APPLICATION)),
        APPLICATION / "files" / "facts.yaml": yaml.safe_dump(facts()),
        APPLICATION / "files" / "rules" / "llm-sidecar.rules.yaml": build.files()["llm-sidecar.rules.yaml"],
        LIBRARY / "README.md": _page(library_page, write.table(chart.LIBRARY)),
        LIBRARY / "llmSidecar.schema.json": write.schema(chart.LIBRARY, "Values under llmSidecar"),
        LIBRARY / "templates" / "_defaults.tpl": _defaults(),
    }
    for uid, board in boards().items():
        # one line per board: a ConfigMap's indentation would make it half as large again
        made[APPLICATION / "files" / "dashboards" / f"{uid}.json"] = frame.compact(board) + "\n"
    # how a pod's labels become app and team: the same words in both charts
    scrape = (LIBRARY / "templates" / "_scrape.tpl").read_text(encoding="utf-8")
    made[APPLICATION / "templates" / "_scrape.tpl"] = scrape
    return made | _vendored(made)


def _page(text: str, table: str) -> str:
    return f"<!-- {write.GENERATED} -->\n{text.replace('<!-- values -->', table.rstrip())}"


def _defaults() -> str:
    rows = defaults(chart.LIBRARY) | {"image": f"ghcr.io/llm-sidecar/llm-sidecar:{__version__}"}
    text = yaml.safe_dump(rows, sort_keys=False, width=200)
    head = f'{{{{- /* {write.GENERATED} */ -}}}}\n{{{{- define "llm-sidecar-lib.defaults" -}}}}\n'
    return head + text + "{{- end }}\n"


def _vendored(made: dict[Path, str]) -> dict[Path, str]:
    """The example holds its dependency, as `helm dependency build` leaves it, but unpacked."""
    there = {path: path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*") if path.is_file()}
    library = there | {path: text for path, text in made.items() if path.is_relative_to(LIBRARY)}
    return {
        EMBED / "charts" / "llm-sidecar-lib" / p.relative_to(LIBRARY): text for p, text in library.items()
    }


def stale() -> list[str]:
    """Files that are not what they are made from, and files that nothing makes any more."""
    wanted = generated()
    folders = (APPLICATION / "files", EMBED / "charts")
    extra = [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and path not in wanted
    ]
    differ = [p for p, text in wanted.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    return sorted(str(path.relative_to(ROOT)) for path in (*differ, *extra))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m helm", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    given = parser.parse_args(argv)
    if not given.check:
        for path, text in generated().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    found = stale()
    sys.stderr.write("".join(f"{name}: not what it is made from; run python -m helm\n" for name in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
