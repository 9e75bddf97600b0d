"""What is installed, and what other containers show of themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sidecar.doctor import processes, survey
from sidecar.doctor.values import Installed, kept


def packages(root: Path, **versions: str) -> Path:
    folder = root / "lib" / "python3.12" / "site-packages"
    for name, version in versions.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def modules(root: Path, **versions: str) -> None:
    for name, version in versions.items():
        folder = root / "node_modules" / name.replace("__", "/")
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(f'{{"version": "{version}"}}')


def test_a_python_environment_says_what_is_in_it(tmp_path: Path):
    packages(tmp_path / "venv", openai="3.1", langchain_openai="1.7", flask="3")

    found = list(survey.python(survey.interpreter(tmp_path / "venv")))

    assert [("langchain-openai", "1.7"), ("openai", "3.1")] == [(each.name, each.version) for each in found]


def test_an_interpreter_says_where_its_packages_are():
    assert "openai" in {each.name for each in survey.python(survey.interpreter(Path(sys.executable)))}


def test_an_interpreter_that_is_none_is_told(tmp_path: Path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(OSError, match="does not say where its packages are"):
        survey.interpreter(fake)


def test_the_active_environment_comes_before_our_own(tmp_path: Path):
    packages(tmp_path / "active", openai="0.1")

    own = survey.own_environment({"VIRTUAL_ENV": str(tmp_path / "active")}, tmp_path)

    assert "0.1" == next(each.version for each in survey.python(own) if each.name == "openai")


def test_node_modules_are_found_here_and_above(tmp_path: Path):
    modules(tmp_path, openai="6.1")
    modules(tmp_path / "web", **{"@ai-sdk__google": "3.0"})

    found = list(survey.node(tmp_path / "web"))

    assert {("openai", "6.1"), ("@ai-sdk/google", "3.0")} == {(each.name, each.version) for each in found}


def test_a_broken_package_file_is_no_end(tmp_path: Path):
    modules(tmp_path, openai="x")
    (tmp_path / "node_modules" / "openai" / "package.json").write_bytes(b"{\xff")
    assert [Installed("node", "openai", "")] == list(survey.node(tmp_path))


def test_go_and_java_dependencies_are_read_lightly(tmp_path: Path):
    (tmp_path / "go.mod").write_text(
        "module a\nrequire (\n\tgithub.com/openai/openai-go/v2 v2.7.1\n"
        "\tgithub.com/other/openai-go v1.0.0\n)\n"
    )
    (tmp_path / "pom.xml").write_text(
        "<dependency><groupId>com.openai</groupId>\n<artifactId>openai-java</artifactId>"
        "<version>4.35.0</version></dependency>"
    )
    (tmp_path / "build.gradle.kts").write_text('implementation("com.anthropic:anthropic-java:2.1.0")')

    assert [
        Installed("go", "github.com/openai/openai-go", "2.7.1"),
        Installed("java", "com.anthropic:anthropic-java", "2.1.0"),
        Installed("java", "com.openai:openai-java", "4.35.0"),
    ] == survey.folder(tmp_path)


def test_lists_that_other_tools_print_are_read():
    lines = [
        "openai==3.1.0",
        "flask==3",
        "├── openai@6.49.0",
        "└── @ai-sdk/google@3.0.1",
        "",
        "anthropic 2.12",
    ]
    assert [
        Installed("python", "openai", "3.1.0"),
        Installed("node", "openai", "6.49.0"),
        Installed("node", "@ai-sdk/google", "3.0.1"),
        Installed("python", "anthropic", "2.12"),
    ] == list(survey.listed(lines))


# ---- other containers -------------------------------------------------------------------------


def process(proc: Path, pid: str, namespace: str, command: str, environ: dict[str, str] | None) -> Path:
    folder = proc / pid
    (folder / "ns").mkdir(parents=True)
    (folder / "root").mkdir()
    (folder / "cwd").mkdir()
    (folder / "ns" / "mnt").symlink_to(namespace)
    (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    if environ is not None:
        block = "\0".join(f"{name}={value}" for name, value in environ.items())
        (folder / "environ").write_bytes(block.encode() + b"\0")
    return folder


def test_containers_that_share_processes_show_their_sdks_and_keep_their_keys(tmp_path: Path):
    process(tmp_path, "self", "mnt:[1]", "llm-sidecar doctor", {})
    process(tmp_path, "7", "mnt:[1]", "llm-sidecar run", {"OPENAI_BASE_URL": "ours"})
    app = process(
        tmp_path,
        "12",
        "mnt:[2]",
        "/usr/bin/python3 app.py --password hush",
        {
            "OPENAI_BASE_URL": "http://127.0.0.1:4000/openai/v1",
            "OPENAI_API_KEY": "hush",
            "SSL_CERT_FILE": "/ca",
        },
    )
    process(tmp_path, "13", "mnt:[2]", "worker", {"OPENAI_BASE_URL": "http://other"})
    process(tmp_path, "20", "mnt:[3]", "closed", None)
    packages(app / "root" / "usr" / "local", openai="3.1")
    modules(app / "root" / "app", openai="6.1")

    (found,), closed = processes.others(tmp_path)

    assert (1, "process 12 (python3)") == (closed, found.name)
    assert {"OPENAI_BASE_URL", "SSL_CERT_FILE"} == found.environ.keys()
    assert {("python", "3.1"), ("node", "6.1")} == {(each.language, each.version) for each in found.clients}
    assert {"SSL_CERT_FILE"} == found.unreadable
    (app / "root" / "ca").write_text("authority")
    assert not processes.one(12, tmp_path).unreadable
    assert "hush" not in repr(found)


def test_a_container_on_its_own_sees_nobody(tmp_path: Path):
    process(tmp_path, "self", "mnt:[1]", "llm-sidecar doctor", {})
    process(tmp_path, "1", "mnt:[1]", "llm-sidecar run", {})
    assert ([], 0) == processes.others(tmp_path)
    assert ([], 0) == processes.others(tmp_path / "none")


def test_an_environment_is_read_in_both_forms():
    expected = {"A": "b=c", "D": ""}
    assert expected == processes.parse(b"A=b=c\0D=\0") == processes.parse(b"A=b=c\nD=\n")


def test_only_what_is_judged_is_kept():
    given = {
        "OPENAI_BASE_URL": " x ",
        "OPENAI_API_KEY": "k",
        "HTTPS_PROXY": "",
        "https_proxy": "p",
        "PATH": "/",
    }
    assert {"OPENAI_BASE_URL": "x", "https_proxy": "p"} == kept(given)
