"""What `make observe` does where something is missing; what it shows is in tests/live."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dashboards import observe
from dashboards.__main__ import FOLDER
from dashboards.incident import LABELS
from dashboards.prometheus import configuration


def test_a_missing_prometheus_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", "/nonexistent")

    assert 1 == observe.main(["--rounds", "1"])
    assert "apt-get install prometheus" in capsys.readouterr().out


def test_a_grafana_is_found_by_its_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(observe, "HOMES", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    assert observe.grafana_command() is None

    (tmp_path / "public").mkdir()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "grafana"
    program.touch(mode=0o755)
    monkeypatch.setenv("GF_PATHS_HOME", str(tmp_path))

    assert [str(program), "server", f"--homepath={tmp_path}"] == observe.grafana_command()


def test_the_scrape_gives_the_labels_that_the_rules_group_by():
    (job,) = configuration("http://127.0.0.1:4001", LABELS, every="1s")["scrape_configs"]

    assert "llm-sidecar" == job["job_name"]
    assert ["127.0.0.1:4001"] == job["static_configs"][0]["targets"]
    assert {"namespace", "app", "team", "pod"} == set(job["static_configs"][0]["labels"])


def test_the_provisioning_examples_are_yaml_grafana_takes():
    boards = yaml.safe_load((FOLDER / "provisioning-dashboards.yaml").read_text(encoding="utf-8"))
    source = yaml.safe_load((FOLDER / "provisioning-datasource.yaml").read_text(encoding="utf-8"))

    assert (1, "file") == (boards["apiVersion"], boards["providers"][0]["type"])
    assert (1, "prometheus") == (source["apiVersion"], source["datasources"][0]["type"])
    (exemplars,) = source["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars["url"].endswith("$${__value.raw}")
