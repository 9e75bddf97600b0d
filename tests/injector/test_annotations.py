"""Annotations: what each one changes; what cannot be meant is a warning, and something sensible is used."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sidecar.injector.annotations import KEYS, LONGEST, MOST, PREFIX, Wanted, Warnings, amount, wanted
from tests.injector.pods import PROFILES


def asked(**annotations: str) -> tuple[Wanted, tuple[str, ...]]:
    """Names with _ for -."""
    warnings = Warnings()
    given = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    return wanted(given, PROFILES, warnings), warnings.texts()


@pytest.mark.parametrize(
    ("key", "value", "path", "expected"),
    [
        ("config-map", "mine", "profile.config_map", "mine"),
        ("secret", "keys", "profile.secret", "keys"),
        ("containers", "a, b", "containers", {"a", "b"}),
        ("exclude-containers", "a", "exclude", {"a"}),
        ("override-env", "true", "override", True),
        ("capture", "proxy", "profile.capture", "proxy"),
        ("native", "false", "profile.native", "false"),
        ("image", "r.example/x@sha256:ab", "profile.image", "r.example/x@sha256:ab"),
        ("image-pull-policy", "Always", "profile.image_pull_policy", "Always"),
        ("log-level", "debug", "profile.log_level", "debug"),
        ("port", "5000", "profile.port", 5000),
        ("admin-port", "5001", "profile.admin_port", 5001),
        ("capture-port", "5002", "profile.capture_port", 5002),
        ("fail-mode", "closed", "fail_mode", "closed"),
        ("drain-timeout", "2m", "profile.drain_timeout", 120),
        ("drain-timeout", "25", "profile.drain_timeout", 25),
        ("readiness", "true", "profile.readiness", True),
        ("raise-grace", "120", "grace", 120),
        ("host-network", "true", "host_network", True),
        ("profile", "strict", "name", "strict"),
    ],
)
def test_an_annotation_sets_what_it_says(key: str, value: str, path: str, expected: object):
    made, said = asked(**{key: value})
    for step in path.split("."):
        made = getattr(made, step)

    assert expected == made
    assert said == ()


def test_resources_are_set_one_by_one():
    made, said = asked(cpu_request="100m", cpu_limit="1", memory_request="256Mi", memory_limit="1Gi")

    assert made.profile.resources == {
        "requests": {"cpu": "100m", "memory": "256Mi"},
        "limits": {"memory": "1Gi", "cpu": "1"},
    }
    assert said == ()
    assert PROFILES["default"].resources["limits"] == {"memory": "512Mi"}


@pytest.mark.parametrize(
    ("given", "resources", "key"),
    [
        ({"memory_request": "1Gi"}, ("512Mi", "512Mi"), "memory-request"),
        ({"memory_limit": "64Mi"}, ("64Mi", "64Mi"), "memory-limit"),
    ],
)
def test_a_request_above_its_limit_would_have_the_pod_refused_and_is_lowered(
    given: dict[str, str], resources: tuple[str, str], key: str
):
    made, said = asked(**given)

    got = made.profile.resources
    assert resources == (got["requests"]["memory"], got["limits"]["memory"])
    assert [line for line in said if line.startswith(f"{PREFIX}{key}: the request ")]


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("port", "80", 'port: expected a port from 1024 to 65535, got "80"; 4000 is used'),
        ("port", "99999999999999", "; 4000 is used"),
        ("port", "٤٠٠٠", 'got "????"; 4000 is used'),
        ("readiness", "yes", 'readiness: expected true or false, got "yes"; false is used'),
        ("capture", "all", 'capture: expected env, proxy or none, got "all"; env is used'),
        ("memory-limit", "1Mi", 'memory-limit: expected bytes, 64Mi or more, got "1Mi"; 512Mi is used'),
        ("memory-limit", "1e999999", "; 512Mi is used"),
        ("cpu-limit", "-1", 'cpu-limit: expected cores, like 100m, got "-1"; none is used'),
        ("drain-timeout", "soon", 'drain-timeout: expected seconds, like 20s, got "soon"; 20 is used'),
        ("raise-grace", "0", 'raise-grace: expected seconds, like 20s, got "0"; the pod\'s own is used'),
        ("env", "A=http://x", "env: expected VARIABLE=provider/path, with commas"),
        ("env", "LLM_SIDECAR_PORT=openai", "env: expected VARIABLE=provider/path"),
        ("secret", "../x", 'secret: expected an object\'s name, got "../x"; none is used'),
        ("image", "a b", 'image: expected an image, got "a b"'),
        ("containers", "A!", 'containers: expected names of containers, with commas, got "A!"; all is used'),
        ("profile", "nope", 'profile: there is no profile "nope"; default is used'),
        ("nativ", "true", "nativ: no such annotation; did you mean native? it is ignored"),
        ("inject", "false", "inject: is a label of the pod, not an annotation; it is ignored"),
        ("injection", "enabled", "injection: is a label of the namespace, not an annotation"),
    ],
)
def test_what_cannot_be_meant_is_a_warning_with_what_is_used_instead(key: str, value: str, line: str):
    made, said = asked(**{key: value})

    assert any(line in one for one in said), said
    assert all(len(one) <= LONGEST for one in said)
    assert made.profile.port == 4000


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["", "\x00" * 300, "x" * 5000, "☃\n\r" * 50, "\ud800"])
def test_nothing_hostile_gets_into_a_warning_or_through(key: str, value: str):
    made, said = asked(**{key: value})

    assert len(said) == 1
    assert said[0].isascii()
    assert said[0].isprintable()
    assert len(said[0]) <= LONGEST
    assert made.profile == PROFILES["default"]


def test_equal_ports_fall_back_to_those_of_the_profile():
    made, said = asked(port="5000", admin_port="5000")

    assert (4000, 9901) == (made.profile.port, made.profile.admin_port)
    assert (
        "llm-sidecar.dev/port: port, admin-port and capture-port must differ; 4000, 9901, 4001 are used",
    ) == said


def test_warnings_are_said_once_and_are_not_endless():
    warnings = Warnings()
    for number in range(100):
        warnings.add(f"warning {number % 50}")

    assert len(warnings.texts()) == MOST
    assert warnings.texts()[-1] == "llm-sidecar: and 31 more warnings"


@pytest.mark.parametrize(
    ("text", "value"),
    [("100m", "0.1"), ("1", "1"), ("1.5", "1.5"), ("1k", "1000"), ("1Ki", "1024"), ("64Mi", "67108864")],
)
def test_quantities(text: str, value: str):
    assert Decimal(value) == amount(text)


@pytest.mark.parametrize("text", ["", "m", "1E5", "1e3", "+1", " 1", "1 Mi", "0x10", "1mi", "٣"])
def test_no_quantities(text: str):
    assert amount(text) is None
