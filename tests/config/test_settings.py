# ruff: noqa: E501  # what is printed is shown as it is
"""What a file becomes: settings, the same ones each time, and warnings about what is hardly meant."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import config
from sidecar.config.__main__ import main
from sidecar.config.convert import format_duration, format_size, parse_duration, parse_size
from sidecar.config.reference import PAGE, page
from sidecar.dialects import DIALECTS
from sidecar.model import AuthStyle, Fault, Operation, Traffic
from sidecar.secret import Secret
from sidecar.settings import QUALITY_BREAKER, Limits, Route, Settings
from sidecar.vendors import VENDORS

FILE = """
listen: {port: 4100, max_body: 1MiB}
drain: 90
providers:
  openai: {}
  openai-eu: {vendor: openai, url: "https://eu.api.openai.com/v1", key: {file: /secrets/openai-eu}}
  local: {dialect: openai_chat, url: "http://127.0.0.1:8000/v1", private: true, key: {env: LOCAL_KEY}}
routes:
  - name: summaries
    match: {provider: openai, operation: chat, model: "gpt-4o*", stream: true}
    class: background
    chain:
      - provider: openai
      - {provider: groq, model: llama-3.3-70b, key: {file: /secrets/groq}}
      - local
    chains: {context_window: [{provider: openai, model: gpt-4.1}]}
    quality_breaker: {open: 30s}
    breaker: {open: 15s, growth: 1}
    limits: {first_content: 2m}
    static: {text: sorry, link: "https://example.com"}
    signals: {empty: off}
defaults:
  limits: {gap: 250ms}
  deadline: 5s
"""


def test_a_file_becomes_settings() -> None:
    settings = config.parse(FILE)
    route = settings.routes[0]

    assert 4100 == settings.listen.port
    assert 1024 * 1024 == settings.listen.max_body
    assert 90.0 == settings.drain
    assert Operation.CHAT is route.match.operation
    assert Traffic.BACKGROUND is route.traffic
    assert 6 == route.retry.attempts  # a background route is tried more often
    assert Limits(first_content=120.0, gap=0.25) == route.limits
    assert 5.0 == route.deadline
    assert dataclasses.replace(QUALITY_BREAKER, open=30.0) == route.quality_breaker
    assert (15.0, 1.0) == (route.breaker.open, route.breaker.growth)
    assert "off" == route.signals.empty
    assert ["openai", "groq/llama-3.3-70b", "local"] == [target.name for target in route.chain]
    assert [None, Secret("file", "/secrets/groq"), Secret("env", "LOCAL_KEY")] == [
        t.credential for t in route.chain
    ]
    assert {Fault.CONTEXT_WINDOW: ["gpt-4.1"]} == {f: [t.model for t in ts] for f, ts in route.chains.items()}
    assert 0.25 == settings.defaults.limits.gap


def test_the_same_text_gives_equal_settings() -> None:
    assert config.parse(FILE) == config.parse(FILE)
    assert config.parse(FILE).digest != config.parse(FILE + "\n").digest
    assert re.fullmatch("[0-9a-f]{12}", config.parse(FILE).digest)


def test_providers_know_where_they_are() -> None:
    providers = config.parse(FILE).providers

    eu, local, gemini = providers["openai-eu"], providers["local"], providers["gemini"]
    assert ("https", "eu.api.openai.com", 443, "", "v1", True) == (
        eu.scheme, eu.host, eu.port, eu.base_path, eu.version, eu.version_known
    )  # fmt: skip
    assert ("http", "127.0.0.1", 8000, True) == (local.scheme, local.host, local.port, local.private)
    assert ("gemini", "v1beta", AuthStyle.X_GOOG_API_KEY) == (gemini.dialect, gemini.version, gemini.auth)
    assert AuthStyle.X_API_KEY is providers["anthropic"].auth


def test_without_a_file_every_vendor_with_an_address_works() -> None:
    settings = config.load(None)

    assert {name for name, row in VENDORS.items() if row.url} == settings.providers.keys()
    assert () == settings.routes
    assert Settings().listen == settings.listen
    assert config.parse("") == config.parse("") == settings


def test_every_vendor_speaks_a_dialect_that_exists() -> None:
    assert {row.dialect for row in VENDORS.values()} - {""} <= DIALECTS.keys()


@pytest.mark.parametrize(
    ("text", "attempts"),
    [
        ("routes: [{name: r, match: {provider: openai}, class: background}]", 6),
        ("routes: [{name: r, match: {provider: openai}, class: background, retry: {attempts: 3}}]", 3),
        ("routes: [{name: r, match: {provider: openai}, class: background, retry: {cap: 9s}}]", 6),
        (
            "routes: [{name: r, match: {provider: openai}, class: background}]\ndefaults: {retry: {attempts: 3}}",
            3,
        ),
        (
            "routes: [{name: r, match: {provider: openai}, class: background}]\ndeadlines: {background_attempts: 9}",
            9,
        ),
        ("routes: [{name: r, match: {provider: openai}}]", 3),
    ],
)
def test_a_background_route_is_tried_more_often_unless_it_says_otherwise(text: str, attempts: int) -> None:
    assert attempts == config.parse(text).routes[0].retry.attempts


def test_a_route_without_a_chain_asks_its_provider() -> None:
    route = config.parse("routes: [{name: r, match: {provider: xai}}]").routes[0]

    assert ["xai"] == [target.provider.name for target in route.chain]
    assert not route.implicit


def test_a_route_can_drop_the_shared_static_answer() -> None:
    text = "defaults: {static: {text: sorry}}\nroutes: [{name: r, match: {provider: xai}, static: %s}]"

    assert config.parse(text % "null").routes[0].static is None
    kept = config.parse(text % "{link: 'https://example.com'}").routes[0].static
    assert kept is not None
    assert ("sorry", "https://example.com") == (kept.text, kept.link)


def test_empty_sections_are_no_mistakes() -> None:
    assert config.parse("routes:\nproviders:\ndefaults:\nlisten: {origins: }\n").digest
    assert Route(name="r").limits == config.parse(
        "routes: [{name: r, match: {provider: xai}, limits: }]"
    ).routes[0].limits  # fmt: skip


def test_what_only_resembles_a_key_is_taken() -> None:
    settings = config.parse("""
providers:
  mine:
    vendor: openai
    ca_file: /nix/store/0c5vs4wcyalkfdjj3l0c8kd2h1a9x7m4-cacert/ca.crt
    key: {env: OPENAI_API_KEY_2024_PRODUCTION_EU}
routes:
  - name: task-sk-42
    match: {provider: openai}
    chain: [{provider: openai, model: "ft:gpt-4o-mini-2024-07-18:acme:support:AbC12dEf"}, mine]
    static: {text: see the form, link: "https://docs.example.com/d/e/1FAIpQLSfD0xGq3k4T5mZ7u8v9w0x1y2z"}
""")

    assert "task-sk-42" == settings.routes[0].name


def test_anchors_work() -> None:
    text = "routes:\n- {name: a, match: {provider: xai}, retry: &r {attempts: 2}}\n- {name: b, match: {provider: xai}, retry: *r}"

    assert [2, 2] == [route.retry.attempts for route in config.parse(text).routes]


# ---- files ----------------------------------------------------------------------------------


def test_a_file_is_loaded_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("\ufeff" + FILE, encoding="utf-8")

    assert "summaries" == config.load(file).routes[0].name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "sidecar.yaml: 1 problem\n  cannot be read: No such file or directory: {file}"),
        (b"\xff\xfe", "sidecar.yaml: 1 problem\n  is not UTF-8 text"),
        (b"#" * (1024 * 1024 + 1), "sidecar.yaml: 1 problem\n  the file is larger than 1024 KiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: Any, message: str) -> None:
    file = tmp_path / "sidecar.yaml"
    if content is not None:
        file.write_bytes(content)

    assert (message.format(file=file), 2) == config.check_text(file)


def test_a_route_for_any_provider_says_whose_calls_bring_a_key() -> None:
    settings = config.parse(
        "routes: [{name: r, match: {header: r}, chain: [openai, {provider: groq, model: m}]}]"
    )

    assert [
        "routes[0].chain[0]: openai has no key: only calls to /openai bring theirs",
        "routes[0].chain[1]: groq/m has no key: only calls to /groq bring theirs",
    ] == [one.text() for one in config.warnings(settings)]
    assert not config.without_key(settings)


@pytest.mark.parametrize(
    ("first", "second", "hidden"),
    [
        ("{provider: openai}", "{provider: openai, stream: true}", True),
        ('{provider: openai, model: "gpt-*"}', "{provider: openai, model: gpt-4o}", True),
        ("{operation: chat}", "{provider: openai, operation: chat}", True),
        ("{provider: openai}", "{provider: openai, header: night}", True),
        (
            "{provider: openai}",
            "{provider: openai, header: second}",
            False,
        ),  # whoever sends it names the route
        ("{provider: openai, stream: true}", "{provider: openai}", False),
        (
            '{provider: openai, model: "gpt-*"}',
            '{provider: openai, model: "gpt-4*"}',
            False,
        ),  # not worked out
        ("{provider: openai}", "{provider: groq}", False),
    ],
)
def test_check_warns_of_a_route_that_stands_behind_another(first: str, second: str, hidden: bool) -> None:
    settings = config.parse(f"""
routes:
  - {{name: first, match: {first}, chain: [openai, {{provider: groq, model: m, key: {{env: HOME}}}}]}}
  - {{name: second, match: {second}, chain: [openai, {{provider: groq, model: m, key: {{env: HOME}}}}]}}
""")

    told = [one.text() for one in config.warnings(settings) if "stands before it" in one.text()]

    assert hidden == bool(told)
    assert all(text.startswith("routes[1]: takes only") and "routes[0] (first)" in text for text in told)


def test_check_counts_what_it_read(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    (tmp_path / "key").write_text("abc")
    file.write_text(f"""
providers: {{eu: {{vendor: openai, key: {{file: {tmp_path}/key}}}}}}
routes: [{{name: r, match: {{provider: openai}}, chain: [openai, eu]}}]
""")

    assert ("sidecar.yaml: ok, 1 route, 1 provider", 0) == config.check_text(file)


def test_check_warns_of_what_is_hardly_meant(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("""
providers: {openai: {key: {env: LLM_SIDECAR_UNSET}, ca_file: /nonexistent/ca}}
listen: {client_token: /nonexistent/token}
routes:
  - {name: alone, match: {provider: openai}}
  - name: many
    match: {provider: openai}
    chain: [openai, groq, {provider: openai, model: a}, {provider: openai, model: b}, {provider: openai, model: c}]
""")

    assert (
        """\
sidecar.yaml: ok, 2 routes, 1 provider, 7 warnings
  warning: routes[0].chain: has no second provider: when openai is down, nothing answers
  warning: routes[1]: takes only the requests that name it: routes[0] (alone) stands before it and takes all \
that it would; put the narrower one first
  warning: routes[1].chain: 4 fallbacks; more than 3 rarely find the time to answer
  warning: routes[1].chain[1]: groq has no key, so it is skipped (no_credential)
  warning: providers.openai.key: env:LLM_SIDECAR_UNSET: the variable is not set
  warning: providers.openai.ca_file: file:/nonexistent/ca: No such file or directory
  warning: listen.client_token: file:/nonexistent/token: No such file or directory""",
        0,
    ) == config.check_text(file)


@pytest.mark.parametrize(
    ("match", "warning"),
    [
        ("provider: cohere", "routes[0]: is never taken: calls to cohere are passed through"),
        (
            "provider: openai, operation: other",
            "routes[0]: is never taken: calls for `other` to openai are passed through",
        ),
    ],
)
def test_check_warns_of_routes_that_nothing_takes(match: str, warning: str) -> None:
    settings = config.parse(f"routes: [{{name: r, match: {{{match}}}}}]")

    assert warning == config.warnings(settings)[0].text()


@pytest.mark.parametrize("provider", ["openai", "gemini"])
def test_a_route_for_embeddings_is_taken_where_they_are_read(provider: str) -> None:
    settings = config.parse(f"routes: [{{name: r, match: {{provider: {provider}, operation: embeddings}}}}]")

    assert not [each for each in config.warnings(settings) if "never taken" in each.text()]


def test_check_without_a_file_says_what_works() -> None:
    text, status = config.check_text(None)

    assert 0 == status
    assert text.startswith("no configuration: ok, every well-known provider works by its prefix\n")
    assert "openai" in text


def test_check_of_a_file_that_says_nothing_says_what_works(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("# nothing yet\n")

    said = "sidecar.yaml: ok, 0 routes, 0 providers\n  well-known providers work by their prefixes, as without a file"
    assert (said, 0) == config.check_text(file)


# ---- durations and sizes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("15s", 15.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("0.1s", 0.1),
        ("3 s", 3.0),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert seconds == parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "15", "s", "-1s", "1d", "1m30s", "1e3s", "15 S", ".5s", "1_0s", "\u0661s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    assert parse_duration(text) is None


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False).filter(lambda x: x == 0 or x > 1e-12))
def test_a_duration_is_read_as_it_was_written(seconds: float) -> None:
    assert seconds == parse_duration(format_duration(seconds))


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h"]))
def test_a_written_duration_means_its_unit(number: int, unit: str) -> None:
    per = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]

    assert parse_duration(f"{number}{unit}") == pytest.approx(number * per)


@given(st.integers(0, 2**50))
def test_a_size_is_read_as_it_was_written(size: int) -> None:
    assert size == parse_size(format_size(size))


@pytest.mark.parametrize(
    ("text", "size"),
    [("32MiB", 32 * 1024 * 1024), ("64KiB", 65536), ("1GiB", 2**30), ("5MB", 5_000_000), ("7", 7)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert size == parse_size(text)


@pytest.mark.parametrize("text", ["", "MiB", "1.5MiB", "1kiB", "-1", "1 TB", "1MIB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    assert parse_size(text) is None


# ---- pages ----------------------------------------------------------------------------------

GUIDE = Path(__file__).parents[2] / "docs" / "configuration.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=[text.split("\n")[-2].strip()[:40] for text in EXAMPLES])
def test_every_example_of_the_guide_works(example: str) -> None:
    assert config.parse(example).digest


def test_the_mistakes_in_the_guide_are_told_like_that() -> None:
    with pytest.raises(config.ConfigError) as told:
        config.parse(
            "\n" * 4
            + "routes:\n- {name: a, match: {provider: openai},\n   retry: {attemps: 3},\n   chain: [openai,\n   grok]}",
            "sidecar.yaml",
        )

    assert str(told.value) in GUIDE.read_text(encoding="utf-8")


def test_the_reference_page_is_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert page() == PAGE.read_text(encoding="utf-8")
    assert 0 == main(["--check"])
    assert 2 == main([])
    assert "usage" in capsys.readouterr().err


def test_a_stale_reference_page_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "reference" / "config.md"
    monkeypatch.setattr("sidecar.config.__main__.PAGE", stale)

    assert 1 == main(["--check"])
    assert "run python -m sidecar.config --write" in capsys.readouterr().err
    assert 0 == main(["--write"])
    assert 0 == main(["--check"])


def test_every_setting_is_on_the_reference_page() -> None:
    names = {field.name for cls in (Limits, Route, Settings) for field in dataclasses.fields(cls)}
    text = page()

    missing = {name for name in names if f"`{name}`" not in text}

    assert {"implicit", "digest"} == missing


def test_a_provider_outside_of_its_routes_boundary_is_warned_of():
    """The clients name it, so it is where calls go that pass the policy by."""
    settings = config.parse(
        "providers: {mistral: {region: eu, key: {env: MISTRAL_KEY}}}\n"
        "routes:\n"
        "  - {name: r, match: {provider: openai}, chain: [{provider: mistral, model: m}], allow: {regions: [eu]}}\n",
        "f",
    )

    [warning] = [one.text() for one in config.warnings(settings) if "routes[0].allow" in one.text()]
    assert "openai itself is outside" in warning
    assert "while the bypass is on" in warning


RACED = """
routes:
  - name: r
    match: {provider: openai}
    hedge: {after: p95}
    once: %s
    chain: [%s]
"""


@pytest.mark.parametrize(
    ("once", "chain", "said"),
    [
        ("false", "openai, mistral", ""),
        ("false", "openai", "there is no second target in the chain"),
        ("true", "openai, mistral", "the route acts only once"),
    ],
)
def test_a_hedge_that_can_do_nothing_is_warned_of(once: str, chain: str, said: str) -> None:
    found = [
        one.text() for one in config.warnings(config.parse(RACED % (once, chain))) if "hedge" in one.text()
    ]

    assert bool(said) == bool(found)
    assert all(said in text for text in found)
