"""Profiles: what is wrong is said at once; a folder is taken whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.injector.command import _check
from sidecar.injector.profile import RESOURCES, SECURITY, VARIABLES, ProfileError, parse
from sidecar.injector.profiles import Profiles, read


def said(text: str, **more: object) -> str:
    with pytest.raises(ProfileError) as caught:
        parse(text, "web.yaml", **more)  # type: ignore[arg-type]
    return str(caught.value)


def test_an_image_is_all_that_a_profile_needs():
    profile = parse("image: registry.example.com/llm-sidecar:1")

    assert (4000, 9901, 4001) == (profile.port, profile.admin_port, profile.capture_port)
    assert ("auto", "env", "info", 20) == (
        profile.native,
        profile.capture,
        profile.log_level,
        profile.drain_timeout,
    )
    assert (VARIABLES, RESOURCES, SECURITY) == (profile.env, profile.resources, profile.security_context)


def test_every_mistake_is_said_with_its_place_and_what_to_do():
    text = said(
        "imge: x\nport: 80\nnative: maybe\nreadiness: 'yes'\nenv: {OPENAI_BASE_URL: 'http://x', 1X: openai}\n"
        "otlp: {endpoint: collector, protocl: grpc}\nextraEnv: [{name: A, value: 1}, {value: x}]\n"
        "resources: {request: {}, limits: {memory: []}}\ndrainTimeout: 20s\ncapture: all\nsecret: A_B\n"
    )

    assert text.startswith("web.yaml: 16 problems\n"), text
    for line in (
        'imge: no such key; did you mean "image"?',
        "image: is missing",
        "port: expected a whole number from 1024 to 65535, got 80",
        'native: expected auto or true or false, got "maybe"',
        'readiness: expected true or false, got "yes"',
        'env.OPENAI_BASE_URL: expected a provider and its path, like openai/v1, got "http://x"',
        "env.1X: expected the name of a variable",
        "otlp.protocl: no such key; known are endpoint, protocol, headersSecret",
        'otlp.endpoint: expected http://host:port or https://..., got "collector"',
        "extraEnv[0].value: expected a text, in quotes, got 1",
        "extraEnv[1]: expected a mapping with a name",
        "resources.request: no such key; known are requests, limits",
        "resources.limits.memory: expected a quantity, got a list",
        'drainTimeout: expected a whole number from 1 to 86400, got "20s"',
        'capture: expected env or proxy or none, got "all"',
        'secret: expected the name of an object in the pod\'s namespace, got "A_B"',
    ):
        assert f"  {line}" in text, (line, text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "expected a mapping with at least `image`, got nothing"),
        ("- a", "expected a mapping with at least `image`, got a list"),
        ("image: [", "is no YAML"),
        ("image: x\n\tport: 1", "is no YAML: found character"),
        ("image: 'a b'", 'image: expected an image like registry.example.com/llm-sidecar:1, got "a b"'),
        ("image: x\nport: 5000\nadminPort: 5000", "adminPort: is 5000, as port is; choose another"),
        ("image: x\notlp: {headersSecret: {key: k}}", "otlp.headersSecret.name: is missing"),
        ("image: x\nport: true", "port: expected a whole number from 1024 to 65535, got true"),
        ("image: x\nenv: {LLM_SIDECAR_PORT: openai}", "env.LLM_SIDECAR_PORT: expected the name"),
        ("image: x\nconfig: {}", "config: expected a text, got a mapping"),
        ("image: x\nconfig: " + "a" * 40_000, "config: is larger than 32 KiB; put it into a ConfigMap"),
        ("image: x\n# " + "a" * 300_000, "is larger than 256 KiB"),
    ],
)
def test_a_document_nobody_can_mean_is_refused(text: str, line: str):
    assert line in said(text)


def test_the_sidecars_own_configuration_is_checked_as_the_sidecar_would():
    text = said("image: x\nconfig: 'drian: 5'", check=_check)

    assert "config: " in text
    assert 'did you mean "drain"' in text
    assert parse("image: x\nconfig: 'drain: 5'", check=_check).config == "drain: 5"


def test_json_is_yaml_and_a_null_keeps_the_default():
    profile = parse(json.dumps({"image": "x", "port": None, "native": True, "config": ""}))

    assert (4000, "true", "") == (profile.port, profile.native, profile.config)


def test_maps_of_kubernetes_replace_the_default_and_a_null_takes_a_key_away():
    context = dict(SECURITY) | {"runAsUser": None}
    profile = parse(
        json.dumps({"image": "x", "securityContext": context, "resources": {"limits": {"cpu": 1}}})
    )

    assert "runAsUser" not in profile.security_context
    assert profile.security_context["runAsNonRoot"] is True
    assert {"limits": {"cpu": "1"}} == profile.resources


def test_a_null_takes_a_variable_away():
    assert {"GROQ_BASE_URL": "groq"} == parse(
        "image: x\nenv: {GROQ_BASE_URL: groq, OPENAI_BASE_URL: null}"
    ).env


# ---- the folder ------------------------------------------------------------------------------


def test_a_folder_without_a_default_is_refused(tmp_path: Path):
    (tmp_path / "web.yaml").write_text("image: x")

    with pytest.raises(ProfileError, match=r"there is no default.yaml"):
        read(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ProfileError, match="cannot be read: No such file or directory"):
        Profiles(tmp_path / "none")


def test_all_files_are_complained_about_at_once(tmp_path: Path):
    (tmp_path / "default.yaml").write_text("imag: x")
    (tmp_path / "web.yaml").write_text("image: x\nport: 1")
    (tmp_path / "Web_2.yaml").write_text("image: x")
    (tmp_path / "web.json").write_text('{"image": "x"}')
    with pytest.raises(ProfileError) as caught:
        read(tmp_path)

    text = str(caught.value)
    assert "default.yaml: imag: no such key" in text
    assert "web.yaml: port: expected" in text
    assert "Web_2.yaml: a profile's name has small letters" in text
    assert "web.yaml: there is another profile web" in text


def test_a_swapped_folder_is_read_again_and_a_wrong_one_keeps_the_last_good(tmp_path: Path):
    for name, image in (("one", "a:1"), ("two", "b:1"), ("three", "'b b'")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "default.yaml").write_text(f"image: {image}")
    mount, link = tmp_path / "mount", tmp_path / "mount" / "..data"
    mount.mkdir()
    link.symlink_to(tmp_path / "one")
    (mount / "default.yaml").symlink_to(Path("..data") / "default.yaml")

    def swap(name: str) -> None:
        (tmp_path / "next").symlink_to(tmp_path / name)
        (tmp_path / "next").rename(link)

    profiles = Profiles(mount)
    assert not profiles.reload()
    swap("two")
    assert profiles.reload()
    assert ("b:1", "") == (profiles.current["default"].image, profiles.trouble)
    swap("three")
    assert profiles.reload()
    assert profiles.current["default"].image == "b:1"
    assert "image: expected an image" in profiles.trouble
    assert not profiles.reload()
    swap("one")
    assert profiles.reload()
    assert ("a:1", "") == (profiles.current["default"].image, profiles.trouble)
