"""What the pages print as a default is the default; what they point at is there; what they show parses."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from sidecar import config, settings
from sidecar.provider import script
from tests.docs.pages import POLICIES, ROOT, blocks, pages, policy, prose, rows, shown

PARTS: dict[str, object] = {
    "limits": settings.Limits(),
    "retry": settings.RetryRules(),
    "budget": settings.BudgetRules(),
    "breaker": settings.BreakerRules(),
    "quality_breaker": settings.QUALITY_BREAKER,
    "signals": settings.Signals(),
    "commit": settings.Commit(),
    "cache": settings.CacheRules(),
    "hedge": settings.Hedge(),
    "cache_size": settings.CacheSize(),
    "semantic": SimpleNamespace(**{one.name: one.default for one in dataclasses.fields(settings.Semantic)}),
    "deadlines": settings.Deadlines(),
    "request_headers": settings.RequestHeaders(),
    "shared": settings.Shared(),
    "deferred": settings.DeferredRules(),
    "routes.deferred": settings.Deferral(),
}
UNITS = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024**2}
HEADINGS = [
    "What it promises",
    "Defaults",
    "When it acts",
    "Telemetry",
    "Diagram",
    "Patterns",
    "Anti-patterns",
]


def _value(cell: str) -> object:
    """A cell as the value it prints: "0.5 s", "1 MiB", "true", "reject"."""
    if cell in {"true", "false"}:
        return cell == "true"
    if cell == "none":
        return None
    match = re.fullmatch(r"([\d.]+)(?: (\w+))?", cell)
    return float(match[1]) * UNITS[match[2] or ""] if match else cell


def _defaults() -> list[tuple[str, str, str]]:
    return [(name, key, cell) for name in POLICIES for key, cell in rows(policy(name)) if "." in key]


@pytest.mark.parametrize(("page", "key", "cell"), _defaults())
def test_a_printed_default_is_the_default(page: str, key: str, cell: str) -> None:
    owner, _, name = key.rpartition(".")
    if owner.startswith("sidecar."):
        assert _value(cell) == getattr(importlib.import_module(owner), name), page
    else:
        assert _value(cell) == getattr(PARTS[owner], name), page


def test_every_setting_of_a_policy_is_in_some_table() -> None:
    printed = {key for _, key, _ in _defaults()}
    known = {
        f"{part}.{field.name}"
        for part, rules in PARTS.items()
        if part != "quality_breaker" and dataclasses.is_dataclass(rules)
        for field in dataclasses.fields(rules)
        if getattr(rules, field.name) is not None  # a secret's place has no default
    }
    assert known - printed == set()


def test_the_quality_breakers_own_defaults_are_printed() -> None:
    own = settings.QUALITY_BREAKER
    other = {
        f"quality_breaker.{field.name}"
        for field in dataclasses.fields(own)
        if getattr(own, field.name) != getattr(settings.BreakerRules(), field.name)
    }
    assert other <= {key for key, _ in rows(policy("quality"))}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_page_keeps_the_skeleton(name: str) -> None:
    assert re.findall(r"^## (.+)$", prose(policy(name)), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_relative_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text()))
    local = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_files_of_ours_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:tests|sidecar)/[\w/.-]+\.py)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_every_yaml_block_is_a_configuration_a_script_or_says_that_it_is_a_fragment(page: Path) -> None:
    for block in blocks(page.read_text(), "yaml"):
        if block.startswith("# fragment"):
            continue
        top = yaml.safe_load(block)
        if {"steps", "rules"} & top.keys():
            script.parse(block)
        else:
            config.parse(block, shown(page))


def test_metrics_that_the_pages_name_are_in_the_catalogue() -> None:
    from sidecar.telemetry.catalog import CATALOG, INJECTOR

    known = {metric.name for metric in (*CATALOG, *INJECTOR)}
    for page in pages():
        named = set(re.findall(r"(?<![:\w])llm_sidecar_[a-z_]+[a-z](?![\w:])", page.read_text()))
        named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
        assert named - known == set(), shown(page)
