"""What the pages about Kubernetes show of the chart is the chart's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar import config
from tests.docs.pages import ROOT, blocks, shown
from tests.helm.cases import APPLICATION
from tests.helm.tool import call, documents, template

PAGES: Final = sorted((ROOT / "docs" / "kubernetes").glob("*.md"))
FRAGMENTS: Final = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page.read_text(), "yaml"))
    if block.startswith("# fragment: values")
]
each = pytest.mark.parametrize("page", PAGES, ids=shown)


def test_there_are_fragments():
    assert len(FRAGMENTS) >= 3


@pytest.mark.parametrize("values", FRAGMENTS)
def test_values_of_a_page_render_and_hold_configurations_that_the_sidecar_takes(values: str):
    said = template(APPLICATION, values=values)
    assert said.status == 0, said.err
    assert "warning" not in said.err
    (profiles,) = [
        one for one in documents(said.out) if one["metadata"]["name"].endswith("-injector-profiles")
    ]
    for name, text in profiles["data"].items():
        config.parse(yaml.safe_load(text)["config"], name)


@pytest.mark.parametrize("values", ["sidecar: {config: {drain: 5s}}", "sidecar: {config: 'drain: 5s'}"])
def test_helm_takes_a_configuration_as_yaml_and_as_text_without_complaint(values: str):
    said = template(APPLICATION, values=values)
    assert said.status == 0, said.err
    assert "warning" not in said.err
    assert "config: 'drain: 5s'" in said.out


@each
def test_settings_that_a_page_names_are_values_of_the_chart(page: Path):
    known = yaml.safe_load((APPLICATION / "values.yaml").read_text())
    named = re.findall(r"(?:--set(?:-file)? |`)([a-z]\w*(?:\.\w+)+)=", page.read_text())
    ours = [name for name in named if not name.startswith("sidecar.dashboards.")]  # that one is Grafana's
    for name in ours:
        value: Any = known
        for step in name.split("."):
            assert value == {} or step in value, f"{name}: no such value"  # an empty map is the user's own
            value = value.get(step, {})


@each
def test_objects_that_a_page_names_are_in_the_release_that_it_installs(page: Path):
    rendered = call("template", "llm-sidecar", str(APPLICATION), "--namespace", "llm-sidecar")
    names = {one["metadata"]["name"] for one in documents(rendered.out)}
    named = set(re.findall(r"\bllm-sidecar-injector(?:[.-][a-z]+)*", page.read_text()))
    assert named - names == set()
