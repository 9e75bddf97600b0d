"""What is committed is what the source says, and Prometheus can parse every query of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from dashboards.__main__ import FOLDER, boards, files, main, stale
from dashboards.reading import expressions, targets
from tests.kit.promtool import need, run

BOARDS = boards()


def filled(expr: str) -> str:
    """As Grafana would send it, with All selected."""
    for variable, value in (("$__rate_interval", "2m"), ("$__range_s", "3600"), ("$__range", "1h")):
        expr = expr.replace(variable, value)
    return re.sub(r'=~"\$\w+"', '=~".*"', expr)


def test_the_committed_files_are_what_the_source_says():
    assert [] == stale()


def test_the_check_names_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name, text in files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "llm-sidecar-fleet.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr("dashboards.__main__.FOLDER", tmp_path)

    assert 1 == main(["--check"])
    assert "llm-sidecar-fleet.json" in capsys.readouterr().err
    assert 0 == main([])
    assert 0 == main(["--check"])


def test_building_twice_gives_the_same_bytes():
    assert files() == files()


def test_prometheus_parses_every_query(tmp_path: Path):
    rules = [
        {"record": f"board:query_{at}", "expr": filled(expr)}
        for at, expr in enumerate(e for tree in BOARDS.values() for e in expressions(tree))
    ]

    text = yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}, width=100_000)
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")

    said = run(need("promtool"), "check", "rules", "rules.yaml", cwd=tmp_path)

    assert f"SUCCESS: {len(rules)} rules found" in said
    assert len(rules) > 60


def test_no_placeholder_is_left_for_an_import_to_ask_about():
    for text in files().values():
        assert "${DS_" not in text
        assert "__inputs" not in text


def test_the_config_maps_are_found_by_grafana_and_hold_the_boards():
    maps = list(yaml.safe_load_all((FOLDER / "configmaps.yaml").read_text(encoding="utf-8")))

    assert len(BOARDS) == len(maps)
    for made in maps:
        assert {"grafana_dashboard": "1"} == made["metadata"]["labels"]
        ((name, text),) = made["data"].items()
        assert BOARDS[name.removesuffix(".json")] == json.loads(text)
        assert len(text) < 200 * 1024  # of the megabyte that a ConfigMap may have


@pytest.mark.parametrize("uid", BOARDS)
def test_a_board_does_not_ask_too_much_when_it_opens(uid: str):
    first = [t for t in targets(BOARDS[uid]) if t.panel["gridPos"]["y"] < 15]

    assert len(first) <= 25


def test_the_first_row_of_the_fleet_fits_on_a_screen():
    """1080 lines show about 20 units of Grafana's grid."""
    rows = [p["gridPos"]["y"] for p in BOARDS["llm-sidecar-fleet"]["panels"] if p["type"] == "row"]

    assert rows[1] <= 15


def test_what_is_not_built_has_no_panel():
    text = "".join(files().values())

    for word in ("cost_usd", "deferred_queue"):
        assert word not in text
