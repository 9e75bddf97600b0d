"""What the Containerfile, the ignore file and the workflows say; no builder is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from image import assemble
from tests.docs.pages import ROOT
from tests.image.containerfile import Instruction, pairs, stages, values

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def final() -> list[Instruction]:
    return stages()[-1]


def test_the_image_is_made_from_nothing_and_runs_nothing_of_a_shell():
    build, image = stages()
    assert ["scratch"] == values(image, "FROM")
    assert not values(image, "RUN")
    assert [["python", "image/assemble.py", step, f"/{step}"] for step in ("base", "package")] == [
        each.form for each in build if each.word == "RUN"
    ]
    assert ["--from=build /base/ /", "--from=build /package/ /"] == values(image, "COPY")


def test_the_image_runs_the_command_as_nobody_of_importance():
    assert ([f"{assemble.USER}:{assemble.USER}"], ["4000 9901"]) == (
        values(final(), "USER"),
        values(final(), "EXPOSE"),
    )
    (entry,) = [each.form for each in final() if each.word == "ENTRYPOINT"]
    assert ["llm-sidecar"] == entry
    assert "/usr/local/bin" == pairs(final(), "ENV")["PATH"]


def test_the_image_says_what_it_is():
    labels = pairs(final(), "LABEL")
    short = {name.removeprefix("org.opencontainers.image.") for name in labels}
    assert {"title", "description", "licenses", "version", "revision", "source"} == short
    assert "Apache-2.0" == labels["org.opencontainers.image.licenses"]


def test_what_is_copied_is_there_and_is_all_that_a_builder_gets():
    copied = [name.rstrip("/") for rest in values(stages()[0], "COPY") for name in rest.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert all((ROOT / name).exists() for name in copied)
    assert "*" == next(line for line in ignored if not line.startswith("#"))
    assert sorted(copied) == sorted(line[1:] for line in ignored if line.startswith("!"))


# ---- workflows --------------------------------------------------------------------------------


def workflow(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


def test_there_is_a_workflow_for_changes_and_one_for_releases():
    assert {"ci.yaml", "release.yaml"} == {path.name for path in WORKFLOWS}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_actions_by_commit_and_asks_for_little(path: Path):
    uses = [step["uses"] for step in steps(path) if "uses" in step]
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", use)] == []
    assert {"contents": "read"} == workflow(path)["permissions"]
    # what somebody else may have written (a branch, a title) never becomes a part of a script
    scripts = "\n".join(step.get("run", "") for step in steps(path))
    assert "${{" not in scripts


def test_changes_run_what_the_readme_says():
    runs = [step["run"] for step in steps(ROOT / ".github" / "workflows" / "ci.yaml") if "run" in step]
    assert "bash .ci/run" in runs


def test_a_release_pins_its_base_and_brings_sbom_and_provenance():
    scripts = "\n".join(
        step.get("run", "") for step in steps(ROOT / ".github" / "workflows" / "release.yaml")
    )
    for word in (
        "--file Containerfile",
        "--sbom=true",
        "--provenance=mode=max",
        "PYTHON=$BASE",
        "helm package",
    ):
        assert word in scripts, word
