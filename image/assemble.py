"""Puts together what the image holds: a folder that becomes the root of the container, and nothing else.

    python image/assemble.py base TREE      the interpreter that runs this, and the locked packages
    python image/assemble.py package TREE   llm-sidecar itself

Why not a slim image with things removed. What is removed in a later layer is still in an earlier one, and
the next base brings it back. A tree that is put together holds what was put there: no shell, no package
manager, no pip. What is in it is decided here and proven by tests/image.

Where it runs. In the Containerfile, on the Python image of its first stage; in the tests, on whatever
interpreter runs them, since nothing here asks which one it is. Packages come from the locks with their
hashes checked, as wheels alone: no code of a package runs here. Only our own wheel is built, with the
setuptools of build.lock.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

HERE = Path(__file__).resolve().parent
USER = 10001
FOLDERS = {"tmp": 0o1777, "var/lib/llm-sidecar": 0o755, "etc/llm-sidecar": 0o755}
OWNED = ("var/lib/llm-sidecar",)
# of the standard library: what installs packages, draws windows, tests, or edits lines on a terminal
LEFT_OUT = frozenset(
    {
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "tkinter",
        "__pycache__",
        "turtledemo",
        "venv",
    }
)
LEFT_OUT_FILES = re.compile(
    r"turtle\.py|(_tkinter|_gdbm|_dbm|_curses\w*|readline|_test\w*|_xx\w*|xx\w*)\..*\.so|.*\.a"
)
# of packages: sources of compiled modules, type stubs, and their own tests
NO_USE = re.compile(r".*\.(pyi|pyx|pxd|pxi|c|h|cc|cpp|hpp|in)")
AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_LIBRARY = re.compile(r"(?:=>\s+)?(/\S+)\s+\(0x")
_MISSING = re.compile(r"(\S+) => not found")


def base(tree: Path) -> None:
    home = Path(sys.base_prefix)
    stdlib = Path(sysconfig.get_path("stdlib"))
    version = f"python{sysconfig.get_python_version()}"
    for name, mode in FOLDERS.items():
        folder = tree / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
    shutil.copytree(stdlib, _in(tree, stdlib), ignore=_left_out, dirs_exist_ok=True)
    _install(_packages(tree), "--requirement", str(HERE / "requirements.lock"), "--require-hashes")
    interpreter = _in(tree, home / "bin" / version)
    interpreter.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2((home / "bin" / version).resolve(), interpreter)
    for name in ("python", "python3"):
        (interpreter.parent / name).symlink_to(version)
    _clean(_packages(tree))
    _libraries(tree, [interpreter, *tree.rglob("*.so"), *tree.rglob("*.so.*")])
    _files(tree)
    _compile(tree, [_in(tree, stdlib)])
    _modes(tree)


def package(tree: Path) -> None:
    source = HERE.parent
    packages = _packages(tree)
    with tempfile.TemporaryDirectory() as folder:
        tools, copy, wheels = Path(folder, "tools"), Path(folder, "source"), Path(folder, "wheels")
        _install(tools, "--requirement", str(HERE / "build.lock"), "--require-hashes")
        copy.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(source / name, copy)
        shutil.copytree(source / "sidecar", copy / "sidecar", ignore=shutil.ignore_patterns("__pycache__"))
        words = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(wheels), str(copy))
        _pip("wheel", *words, PYTHONPATH=str(tools))
        (wheel,) = wheels.glob("*.whl")
        _install(packages, "--no-deps", "--no-index", str(wheel))
    _clean(packages)
    command = tree / "usr" / "local" / "bin" / "llm-sidecar"
    command.parent.mkdir(parents=True, exist_ok=True)
    python = Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}")
    # -I: no variable and no folder of the pod says what is imported
    command.write_text(f"#!{python} -I\nimport sys\n\nfrom sidecar.cli import main\n\nsys.exit(main())\n")
    command.chmod(0o755)
    _compile(tree, [packages])
    _modes(tree)


# ---- parts ----------------------------------------------------------------------------------------


def _in(tree: Path, path: Path) -> Path:
    return tree / path.relative_to("/")


def _packages(tree: Path) -> Path:
    return _in(tree, Path(sysconfig.get_path("stdlib")) / "site-packages")


def _left_out(folder: str, names: list[str]) -> set[str]:
    config = Path(folder) == Path(sysconfig.get_path("stdlib"))
    return {
        name
        for name in names
        if name in LEFT_OUT or LEFT_OUT_FILES.fullmatch(name) or (config and name.startswith("config-"))
    }


def _pip(*arguments: str, **environ: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--root-user-action=ignore")
    command = [
        sys.executable,
        "-m",
        "pip",
        arguments[0],
        *(quiet if arguments[0] == "install" else quiet[:3]),
    ]
    env = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "315532800"), **environ}
    subprocess.run([*command, *arguments[1:]], check=True, env=env)  # noqa: S603  # our own words


def _install(target: Path, *arguments: str) -> None:
    _pip("install", "--only-binary", ":all:", "--no-compile", "--target", str(target), *arguments)


def _clean(packages: Path) -> None:
    for name in ("bin", "include", "share"):
        shutil.rmtree(packages / name, ignore_errors=True)
    for path in sorted(packages.rglob("*")):
        if path.is_dir() and path.name in {"tests", "test", "__pycache__"}:
            shutil.rmtree(path)
        elif path.is_file() and NO_USE.fullmatch(path.name):
            path.unlink()


def _libraries(tree: Path, binaries: Iterable[Path]) -> None:
    """The shared libraries that these need, to where they were found, and the loader's cache of them."""
    wanted: dict[Path, None] = {}
    for binary in binaries:
        wanted |= dict.fromkeys(_needed(tree, binary))
    wanted |= dict.fromkeys(_loaded_late(wanted))
    for path in wanted:
        target = _in(tree, path)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path.resolve(), target)
    for name in ("ld.so.conf", "ld.so.conf.d"):
        path = Path("/etc", name)
        if path.is_dir():
            shutil.copytree(path, tree / "etc" / name, dirs_exist_ok=True)
        elif path.exists():
            shutil.copy2(path, tree / "etc" / name)
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if ldconfig and os.geteuid() == 0:
        subprocess.run([ldconfig, "-r", str(tree)], check=True)  # noqa: S603  # the system's


def _needed(tree: Path, binary: Path) -> Iterator[Path]:
    # what stands in the tree already is no library of the system
    done = subprocess.run(  # noqa: S603  # the system's
        [shutil.which("ldd") or "ldd", str(binary)], capture_output=True, text=True, check=False
    )
    missing = _MISSING.findall(done.stdout)
    if missing:
        raise SystemExit(f"{binary}: {', '.join(missing)} not found")
    for found in _LIBRARY.findall(done.stdout):
        path = Path(found)
        if not path.is_relative_to(tree):
            yield path


def _loaded_late(found: Iterable[Path]) -> Iterator[Path]:
    """What glibc opens by itself when a thread ends or a name is resolved; ldd cannot know."""
    folders = {path.parent for path in found if path.name.startswith("libc.so")}
    for folder in folders:
        for name in ("libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"):
            if (folder / name).exists():
                yield folder / name


def _files(tree: Path) -> None:
    etc = tree / "etc"
    (etc / "passwd").write_text(
        "root:x:0:0:root:/:/nonexistent\n"
        f"llm-sidecar:x:{USER}:{USER}:llm-sidecar:/var/lib/llm-sidecar:/nonexistent\n"
    )
    (etc / "group").write_text(f"root:x:0:\nllm-sidecar:x:{USER}:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    authorities = next((path for path in map(Path, AUTHORITIES) if path.exists()), None)
    if authorities is None:
        raise SystemExit("no certificates of public authorities here: apt-get install ca-certificates")
    target = etc / "ssl" / "certs" / "ca-certificates.crt"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(authorities, target)
    # where this interpreter's OpenSSL looks, so that no variable is needed
    place = _in(tree, Path(ssl.get_default_verify_paths().openssl_cafile))
    if place != target:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to("/" + str(target.relative_to(tree)))


def _compile(tree: Path, folders: Iterable[Path]) -> None:
    """Bytecode that is never compared with its source: the image is read-only and both are from one build."""
    for folder in folders:
        good = compileall.compile_dir(
            folder,
            maxlevels=20,
            quiet=1,
            stripdir=str(tree),
            prependdir="/",
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
            workers=0,
        )
        if not good:
            raise SystemExit(f"{folder}: not all of it could be compiled")


def _modes(tree: Path) -> None:
    """Everybody reads, nobody but root writes; nothing gives its runner another identity."""
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        special = FOLDERS.get(str(path.relative_to(tree)))
        run = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(special or (0o755 if run else 0o644))
    for name in OWNED:
        if os.geteuid() == 0 and (tree / name).exists():
            os.chown(tree / name, USER, USER)


def main(arguments: list[str]) -> int:
    steps = {"base": base, "package": package}
    if len(arguments) != 2 or arguments[0] not in steps:
        sys.stderr.write("usage: assemble.py base|package TREE\n")
        return 2
    tree = Path(arguments[1]).resolve()
    tree.mkdir(parents=True, exist_ok=True)
    steps[arguments[0]](tree)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
