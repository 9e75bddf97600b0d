"""`python -m dashboards` writes dashboards/rendered; `--check` says what differs and exits with 1."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from alerts import build
from dashboards import fleet, frame, internals, lint, provider

FOLDER = Path(__file__).parent / "rendered"


def boards() -> dict[str, dict[str, Any]]:
    """Each board as the JSON Grafana takes, by its uid."""
    built = (frame.finish(module.board()) for module in (fleet, provider, internals))
    return {tree["uid"]: tree for tree in built}


def config_map(uid: str, board: str) -> dict[str, Any]:
    """The form Grafana's sidecar container looks for in a cluster."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{uid}-dashboard",
            "labels": {"grafana_dashboard": "1"},
            "annotations": {"grafana_folder": "LLM sidecar"},
        },
        "data": {f"{uid}.json": board},
    }


def provisioning(folder: str = "/var/lib/grafana/dashboards/llm-sidecar") -> dict[str, Any]:
    """For provisioning/dashboards: where the boards lie on Grafana's disk."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "llm-sidecar",
                "folder": "LLM sidecar",
                "type": "file",
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": folder},
            }
        ],
    }


def data_source(
    url: str = "http://prometheus:9090", scrape_interval: str = "30s", traces: str = frame.TRACES
) -> dict[str, Any]:
    """For provisioning/datasources: rates fit the scrape, and dots on latency panels open traces."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "type": "prometheus",
                "url": url,
                "access": "proxy",
                "isDefault": True,
                "jsonData": {
                    "timeInterval": scrape_interval,
                    "exemplarTraceIdDestinations": [
                        # a $ of a file is Grafana's own, so it is written twice
                        {
                            "name": "trace_id",
                            "url": traces + "$${__value.raw}",
                            "urlDisplayLabel": "Open trace",
                        }
                    ],
                },
            }
        ],
    }


def files() -> Mapping[str, str]:
    """Every committed file by its name."""
    texts = {uid: frame.text(board) for uid, board in boards().items()}
    # one line per board: a ConfigMap's indentation would make it half as large again
    maps = [config_map(uid, frame.compact(board)) for uid, board in boards().items()]
    return {
        **{f"{uid}.json": text for uid, text in texts.items()},
        "configmaps.yaml": yaml.safe_dump_all(maps, sort_keys=True, width=100_000),
        "provisioning-dashboards.yaml": yaml.safe_dump(provisioning(), sort_keys=False),
        "provisioning-datasource.yaml": yaml.safe_dump(data_source(), sort_keys=False),
    }


def stale() -> list[str]:
    """Names of files that are not what the source says."""
    wanted = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*") if path.is_file()}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def ruled() -> list[str]:
    """The expressions of all rules: what they look at need not be on a board."""
    return [rule.expr for group in build.groups() for rule in group.rules]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare and lint")
    given = parser.parse_args(argv)
    trees = boards()
    complaints = lint.boards(trees, ruled()) + lint.runbooks(
        trees.values(), (alert.name for alert in build.alerts())
    )
    if not given.check:
        FOLDER.mkdir(exist_ok=True)
        for name, text in files().items():
            (FOLDER / name).write_text(text, encoding="utf-8")
    complaints += [
        f"dashboards/rendered/{name}: not what the source says; run python -m dashboards" for name in stale()
    ]
    sys.stderr.write("".join(f"{complaint}\n" for complaint in complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
