"""`llm-sidecar demo`: a scripted bad day, played twice at the same time.

One application calls its provider straight, the other one through the real sidecar, which runs as
a process of its own. Same SDKs with the same settings, same calls, equal providers. Nothing is
made up: what the table says has happened on this machine in the last minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sidecar.demo import report
from sidecar.demo.arm import Arm, Clients, Tally, progress
from sidecar.demo.day import DAY, Phase, calls, fallback_script, script
from sidecar.demo.process import DidNotStart, sidecar
from sidecar.provider import Vendor

PATIENCE = 5.0  # seconds after the last call

# what is installed: what is imported
SDKS = {"openai": "openai", "anthropic": "anthropic", "google-genai": "google.genai"}

HELP = """A bad day of an LLM provider, played twice at the same time: an application with the real openai
(chat and responses), anthropic and google-genai SDKs calls straight, another one through the sidecar.
Takes about 45 seconds. Exit status 1 if the sidecar's arm got a wrong answer."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="llm-sidecar demo", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [phase.name for phase in DAY]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="PHASE", help=f"of: {', '.join(names)}"
    )
    parser.add_argument("--rate", type=float, default=6.0, help="calls a second; default: %(default)s")
    parser.add_argument("--seed", type=int, default=2, help="another seed, another day")
    given = parser.parse_args(argv)
    if not 0 < given.rate <= 1000:
        parser.error(f"--rate: expected a number above 0 and up to 1000, got {given.rate:g}")
    missing = [name for name, module in SDKS.items() if not importable(module)]
    if missing:
        say(f"The demo calls real SDKs, and {' and '.join(missing)} cannot be imported.")
        say('Install them with: pip install "llm-sidecar[demo]"   (in a checkout: pip install -e ".[demo]")')
        return 1
    phases = [phase for phase in DAY if not given.only or phase.name in given.only]
    # a proxy of this machine must not get between the SDKs and loopback
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    try:
        return asyncio.run(play(phases, rate=given.rate, seed=given.seed))
    except DidNotStart as error:
        say(f"The sidecar did not start:\n{error}")
    except KeyboardInterrupt:
        say("Stopped.")
    return 1


async def play(phases: Sequence[Phase], *, rate: float, seed: int) -> int:
    planned = calls(phases, rate, seed)
    with tempfile.TemporaryDirectory(prefix="llm-sidecar-demo-") as folder:
        async with (
            Vendor(name="primary") as alone,
            Vendor(name="primary") as primary,
            Vendor(name="fallback") as fallback,
            sidecar(primary, fallback, Path(folder)) as running,
        ):
            direct = Clients(f"{alone.url}/v1", alone.url, alone.url)
            proxied = Clients(*(f"{running.url}/{path}" for path in ("openai/v1", "anthropic", "gemini")))
            arms = Arm("straight", direct.ask), Arm("sidecar", proxied.ask)
            say(
                f"{len(planned)} calls on each side, {rate:g} a second. The sidecar listens on {running.url}."
            )
            for vendor in (alone, primary):
                vendor.script(plan=script(phases, seed))
            fallback.script(plan=fallback_script(seed))
            began = asyncio.get_running_loop().time()
            watching = asyncio.create_task(Watch(phases, arms, began).run())  # noqa: TID251  # the demo is an app
            try:
                await asyncio.gather(*(arm.run(planned, began, PATIENCE) for arm in arms))
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                await direct.close()
                await proxied.close()
            said = await asyncio.to_thread(fetch, f"{running.admin}/metrics")
            counts = (
                report.attempts(("primary", len(alone.log))),
                report.attempts(("primary", len(primary.log)), ("fallback", len(fallback.log))),
            )
    straight, through = (arm.tally for arm in arms)
    say("")
    say(report.table(straight, through, counts))
    say("")
    say(report.LEGEND)
    say(f"Errors, straight: {report.errors(straight)}")
    say(f"Errors, sidecar:  {report.errors(through)}")
    say("")
    say("What to look at, from the sidecar's /metrics:")
    for line in report.metrics(said):
        say(f"  {line}")
    return verdict(through)


def verdict(through: Tally) -> int:
    for mistake in through.mistakes:
        say(f"WRONG through the sidecar: {mistake}")
    return 1 if through.wrong or not through.complete else 0


@dataclass(frozen=True, slots=True)
class Watch:
    """Tells how the day goes: on a terminal every second, elsewhere once per phase."""

    phases: Sequence[Phase]
    arms: Sequence[Arm]
    began: float

    async def run(self) -> None:
        live = sys.stdout.isatty()
        loop = asyncio.get_running_loop()
        for phase, ends in self._ends():
            say(f"\n{phase.name}: {phase.told}" if live else f"{phase.name}: {phase.told}")
            while (now := loop.time() - self.began) < ends:
                if live:
                    self._tell(now, live=True)
                await asyncio.sleep(min(1.0, ends - now))
            self._tell(ends, live=live)
        say("\nwaiting for what is still open" if live else "waiting for what is still open")

    def _ends(self) -> list[tuple[Phase, float]]:
        ends, total = [], 0.0
        for phase in self.phases:
            total += phase.seconds
            ends.append((phase, total))
        return ends

    def _tell(self, now: float, *, live: bool) -> None:
        width = shutil.get_terminal_size().columns - 1
        line = f"  {now:3.0f} s  {progress({arm.name: arm.tally for arm in self.arms})}"
        sys.stdout.write(f"\r{line[:width]}\x1b[K" if live else f"{line}\n")
        sys.stdout.flush()


def importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # our own admin port
        text: bytes = answer.read()
    return text.decode()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
