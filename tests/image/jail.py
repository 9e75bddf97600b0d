"""Runs the tree as a kubelet would run the image: its root, read-only, as uid 10001, without network.

    unshare --mount --net --fork python -m tests.image.jail TREE

Needs root. Tells as JSON what it saw; what the sidecar writes comes on stderr.
"""

from __future__ import annotations

import ctypes
import fcntl
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.image.containerfile import pairs, stages

USER = 10001
LIMIT = 30.0  # seconds to start
NO_NEW_PRIVILEGES = 38
CHECK = """
import json, os, ssl, sys, shutil
def refused(path):
    try:
        open(path, "w")
    except OSError as error:
        return error.strerror
    return "written"
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "root": refused("/x"), "code": refused(ssl.__file__ + "x"), "tmp": refused("/tmp/x"),
    "state": refused("/var/lib/llm-sidecar/x"),
    "authorities": ssl.create_default_context().cert_store_stats()["x509_ca"],
    "shell": [name for name in ("sh", "bash", "dash", "busybox") if shutil.which(name)],
    "pip": __import__("importlib.util").util.find_spec("pip") is not None,
    "modules": [__import__(name).__name__ for name in ("aiohttp", "uvloop", "grpc", "cryptography.x509",
                "jsonschema_rs", "opentelemetry.sdk", "yaml")],
}))
"""


def mounts(tree: Path) -> None:
    def mount(*words: str) -> None:
        subprocess.run(["/bin/mount", *words], check=True)  # noqa: S603  # the system's

    mount("--make-rprivate", "/")
    mount("--bind", str(tree), str(tree))
    for name in ("tmp", "var/lib/llm-sidecar"):
        mount("-t", "tmpfs", "-o", f"mode=1777,uid={USER}", "tmpfs", str(tree / name))
    mount("-o", "remount,bind,ro", str(tree))


def loopback_up() -> None:
    with socket.socket() as sock:  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14s", b"lo", 0x41, b""))


def spawn(tree: Path, command: list[str], out: int) -> int:
    environ = {**pairs(stages()[-1], "ENV"), "LLM_SIDECAR_STATE_DIR": "/var/lib/llm-sidecar"}
    pid = os.fork()
    if pid:
        return pid
    try:
        os.dup2(out, 1)
        os.chroot(tree)
        os.chdir("/")
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)
        ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        os.execvpe(command[0], command, environ)  # noqa: S606  # no shell is there, that is the point
    finally:
        os._exit(127)


def asked(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError as error:
        return 0, str(error)
    finally:
        connection.close()


def started(pid: int) -> tuple[bool, float]:
    begin = time.monotonic()  # noqa: TID251  # a real process
    while time.monotonic() - begin < LIMIT:  # noqa: TID251
        if asked(9901, "/startupz")[0] == 200:
            return True, time.monotonic() - begin  # noqa: TID251
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False, 0.0
        time.sleep(0.02)
    return False, LIMIT


def output(tree: Path, command: list[str]) -> tuple[int, str]:
    reader, writer = os.pipe()
    pid = spawn(tree, command, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def main() -> None:
    tree = Path(sys.argv[1]).resolve()
    python = next(iter(tree.glob("usr/local/bin/llm-sidecar"))).read_text().splitlines()[0][2:].split()[0]
    mounts(tree)
    loopback_up()
    final = stages()[-1]
    entry = next(each.form for each in final if each.word == "ENTRYPOINT")
    run = entry + next(each.form for each in final if each.word == "CMD")
    seen: dict[str, object] = {"check": json.loads(output(tree, [python, "-I", "-c", CHECK])[1])}
    seen["version"] = output(tree, [*entry, "--version"])
    pid = spawn(tree, run, 2)
    seen["started"], seen["seconds"] = started(pid)
    seen["data"] = asked(4000, "/")
    seen["metrics"] = asked(9901, "/metrics")[0]
    seen["doctor"] = output(tree, [*entry, "doctor", "--json", "--offline"])
    os.kill(pid, signal.SIGTERM)
    seen["exit"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main()
