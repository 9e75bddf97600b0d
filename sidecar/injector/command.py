"""`llm-sidecar injector`: the options, the chores, and the order of starting and stopping."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sidecar.injector.api import Api, ApiError, NoApi, in_cluster
from sidecar.injector.count import missed
from sidecar.injector.door import Door
from sidecar.injector.keeper import Keeper, Provided, SelfMade
from sidecar.injector.measures import Measures
from sidecar.injector.patch import Injection, inject
from sidecar.injector.profile import NAME, ProfileError
from sidecar.injector.profiles import Profiles
from sidecar.injector.server import Server

HELP = """\
Runs the webhook that puts sidecars into pods: POST /inject over TLS on --port; /livez, /readyz and
/metrics over plain HTTP on --metrics-port.

DIR holds one profile per file; default.yaml must be there:
  image: registry.example.com/llm-sidecar:1.0.0

Certificates
  --certs self      makes them itself, keeps them in the Secret --secret, renews them in time, and puts
                    their CA into the MutatingWebhookConfiguration --webhook-configuration
  --certs provided  reads tls.crt and tls.key from --cert-dir, again whenever they change
"""

CERTIFICATES_EVERY: Final = 60.0  # seconds between two looks
COUNT_EVERY: Final = 60.0
PROFILES_EVERY: Final = 5.0
AGAIN: Final = 5.0  # after an error
FIRST_NATIVE: Final = (1, 29)

Sleep = Callable[[float], Awaitable[None]]


def main(argv: Sequence[str] | None = None) -> int:
    """0: ended by a signal; 1: a port is taken; 2: what was given is wrong."""
    given = _parser().parse_args(argv)
    try:
        profiles = Profiles(given.profiles, _check)
        api = _api(given)
    except (ProfileError, NoApi) as error:
        return _say(str(error), 2)
    if wrong := _wrong(given, api):
        return _say(wrong, 2)
    try:
        asyncio.run(_serve(given, profiles, api))
    except OSError as error:
        return _say(error.strerror or str(error), 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llm-sidecar injector", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--profiles", type=Path, required=True, metavar="DIR", help="the folder of profiles")
    add("--host", help="listen on this address; default: all")
    add("--port", type=_port, default=8443, help="of the webhook; 0: any; default: %(default)s")
    add("--metrics-port", type=_port, default=9901, help="0: any; default: %(default)s")
    add("--certs", choices=("self", "provided"), default="self", help="default: %(default)s")
    add("--cert-dir", type=Path, metavar="DIR", help="with tls.crt and tls.key, for --certs provided")
    add("--service", default="llm-sidecar-injector", metavar="NAME", help="default: %(default)s")
    add("--namespace", default="", metavar="NS", help="of this pod; default: what its service account says")
    add(
        "--webhook-configuration", default="llm-sidecar-injector", metavar="NAME", help="default: %(default)s"
    )
    add("--secret", default="llm-sidecar-injector-certs", metavar="NAME", help="default: %(default)s")
    add(
        "--fail-mode",
        choices=("open", "closed"),
        default="open",
        help="after an error of ours let the pod in without a sidecar, or refuse it; default: %(default)s",
    )
    add(
        "--linger",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="serve on after SIGTERM; default: %(default)s",
    )
    add("--api", metavar="URL", help="of the Kubernetes API; default: that of the cluster this pod runs in")
    add("--api-ca", type=Path, metavar="FILE", help="its CA")
    add("--api-token-file", type=Path, metavar="FILE", help="read again for each call")
    return parser


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return port


def _api(given: argparse.Namespace) -> Api | None:
    """None where certificates are provided and there is no cluster: then nothing is counted."""
    if given.api:
        return Api(given.api, ca_file=given.api_ca, token_file=given.api_token_file)
    try:
        return in_cluster()
    except NoApi:
        if given.certs == "self":
            raise
        return None


def _wrong(given: argparse.Namespace, api: Api | None) -> str:
    if not given.namespace and api is not None:
        with contextlib.suppress(OSError, ValueError):
            from sidecar.injector.api import IN_POD

            given.namespace = (IN_POD / "namespace").read_text(encoding="ascii").strip()
    if given.certs == "provided" and given.cert_dir is None:
        return "--certs provided: say where they are with --cert-dir"
    if given.certs == "self" and not given.namespace:
        return "--namespace: is missing; the Secret is in it, and the certificate's name ends in it"
    for option in ("service", "secret", "webhook_configuration", "namespace"):
        value = getattr(given, option)
        if value and not NAME.fullmatch(value):
            return f"--{option.replace('_', '-')}: expected the name of an object, got {value!r}"
    return ""


def _check(text: str) -> None:
    """The sidecar's own configuration inside a profile: a mistake would stop every new pod."""
    from sidecar.config import ConfigError, parse

    try:
        parse(text)
    except ConfigError as error:
        raise ValueError(str(error).partition("\n")[2] or str(error)) from None


# ---- running -------------------------------------------------------------------------------------


async def _serve(given: argparse.Namespace, profiles: Profiles, api: Api | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        if api is not None:
            await stack.enter_async_context(api)
        work = Work(given, profiles, api, time.time)  # noqa: TID251  # certificates have dates
        await work.server.start(given.host, given.port, given.metrics_port)
        stack.push_async_callback(work.server.stop)
        _say(
            f"listens on port {work.server.port}, health and metrics on port {work.server.metrics_port}; "
            f"profiles: {', '.join(sorted(profiles.current))}"
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(chore) for chore in work.chores(asyncio.sleep)]
            await stop.wait()
            work.server.drain()
            _say(f"ends: serves on for {given.linger:g} s, until the cluster knows")
            await asyncio.sleep(given.linger)
            for task in tasks:
                task.cancel()


class Work:
    """The parts, put together, and what they do every now and then."""

    def __init__(
        self, given: argparse.Namespace, profiles: Profiles, api: Api | None, wall: Callable[[], float]
    ) -> None:
        self.profiles, self.wall, self.api = profiles, wall, api
        self.namespace: str = given.namespace
        self.door, self.measures = Door(), Measures()
        self.measures.profiles(good=True)
        self.native: bool | None = True if api is None else None  # None: the API has not said yet
        self.keeper = self._keeper(given)
        self.server = Server(
            self.door,
            self.measures,
            self.inject,
            fail_open=given.fail_mode == "open",
            ready=lambda: self.native is not None and self.keeper.ready,
        )

    def _keeper(self, given: argparse.Namespace) -> Keeper:
        if given.certs == "provided":
            return Provided(given.cert_dir, self.door, wall=self.wall)
        assert self.api is not None
        host = f"{given.service}.{given.namespace}.svc"
        return SelfMade(
            self.api,
            self.door,
            namespace=given.namespace,
            secret=given.secret,
            webhook=given.webhook_configuration,
            names=(host, f"{host}.cluster.local", f"{given.service}.{given.namespace}"),
            wall=self.wall,
        )

    def inject(self, pod: Mapping[str, Any], namespace: str) -> Injection:
        return inject(
            pod,
            namespace=namespace,
            profiles=self.profiles.current,
            cluster_native=self.native is not False,
        )

    def chores(self, sleep: Sleep) -> list[Any]:
        every = [
            self._every("certificates", self.certificates, CERTIFICATES_EVERY, sleep),
            self._every("profiles", self.reload, PROFILES_EVERY, sleep),
        ]
        if self.api is not None:
            every.append(self._every("count", self.count, COUNT_EVERY, sleep))
        return every

    async def _every(self, name: str, work: Callable[[], Awaitable[str]], pause: float, sleep: Sleep) -> None:
        said = ""
        if name != "count":  # where the role has no right to list pods, nobody waits for a count
            self.measures.done(name, self.wall())
        while True:
            try:
                done = await work()
            except (ApiError, ValueError, OSError) as error:
                text = f"{name}: {_why(error)}; it is tried again"
                if text != said:  # once, not every few seconds
                    _say(text)
                said = text
                forbidden = isinstance(error, ApiError) and error.status == 403
                await sleep(pause if forbidden else min(pause, AGAIN))
                continue
            if done:
                _say(f"{name}: {done}")
            said = ""
            self.measures.done(name, self.wall())
            await sleep(pause)

    async def certificates(self) -> str:
        if self.native is None and self.api is not None:
            self.native = native(await self.api.get("/version"))
        return await self.keeper.tick()

    async def count(self) -> str:
        assert self.api is not None
        self.measures.missed(await missed(self.api, self.namespace))
        return ""

    async def reload(self) -> str:
        if not self.profiles.reload():
            return ""
        self.measures.profiles(good=not self.profiles.trouble)
        if self.profiles.trouble:
            return f"the new ones are refused, the old ones stay\n{self.profiles.trouble}"
        return f"read again: {', '.join(sorted(self.profiles.current))}"


def native(version: Any) -> bool:
    """Whether this version of Kubernetes starts native sidecars. Raises ValueError."""
    said = version if isinstance(version, dict) else {}
    numbers = [re.match(r"[0-9]{1,4}", str(said.get(part, ""))) for part in ("major", "minor")]
    if None in numbers:
        raise ValueError("the API does not say its version")
    return tuple(int(found[0]) for found in numbers if found) >= FIRST_NATIVE


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")
    return str(error)


def _say(text: str, status: int = 0) -> int:
    sys.stderr.write(f"llm-sidecar injector: {text}\n")
    sys.stderr.flush()
    return status
