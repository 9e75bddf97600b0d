"""`make observe`: the boards, the rules and an incident to look at, on one machine and without a cluster.

A real sidecar between an application and fake vendors, a Prometheus with the shipped rules, and
Grafana with the boards where it is installed. All is well, then `openai` fails, then it recovers;
again and again until Ctrl-C. Without Grafana the terminal says what the first row of the fleet
board says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import yaml

from alerts import recordings
from dashboards.__main__ import FOLDER, data_source, provisioning
from dashboards.frame import FLEET_UID
from dashboards.incident import LABELS, DidNotStart, Incident, incident, stop
from dashboards.prometheus import Missing, Prometheus, free_port, prometheus

HOMES = (
    "/usr/share/grafana",
    "/opt/homebrew/opt/grafana/share/grafana",
    "/usr/local/opt/grafana/share/grafana",
)
NO_GRAFANA = """Grafana is not installed; this terminal says what the fleet board's first row says.
To see the boards: https://grafana.com/docs/grafana/latest/setup-grafana/installation/ (macOS: brew install
grafana), then start this again; or import dashboards/rendered/*.json into a Grafana of yours."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def grafana_command() -> list[str] | None:
    """How to start Grafana here; None where it is not installed."""
    home = next(
        (
            folder
            for folder in (os.environ.get("GF_PATHS_HOME", ""), *HOMES)
            if Path(folder, "public").is_dir()
        ),
        "",
    )
    if not home:
        return None
    if program := shutil.which("grafana") or shutil.which("grafana", path=f"{home}/bin"):
        return [program, "server", f"--homepath={home}"]
    if program := shutil.which("grafana-server") or shutil.which("grafana-server", path=f"{home}/bin"):
        return [program, f"--homepath={home}"]
    return None


@contextlib.asynccontextmanager
async def grafana(folder: Path, prometheus_url: str) -> AsyncIterator[str]:
    """Its address, with the boards provisioned and no login; empty where it is not installed."""
    command = grafana_command()
    if command is None:
        yield ""
        return
    port = free_port()
    for kind, tree in (
        ("dashboards", provisioning(str(FOLDER))),
        ("datasources", data_source(prometheus_url, "1s")),
    ):
        place = folder / "provisioning" / kind
        place.mkdir(parents=True)
        (place / "llm-sidecar.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    with (folder / "grafana.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "GF_SERVER_HTTP_ADDR": "127.0.0.1",
                "GF_SERVER_HTTP_PORT": str(port),
                "GF_PATHS_DATA": str(folder / "grafana"),
                "GF_PATHS_LOGS": str(folder / "grafana"),
                "GF_PATHS_PROVISIONING": str(folder / "provisioning"),
                "GF_AUTH_ANONYMOUS_ENABLED": "true",
                "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
                "GF_ANALYTICS_REPORTING_ENABLED": "false",
                "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
                "GF_DASHBOARDS_MIN_REFRESH_INTERVAL": "1s",
            },
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await stop(process)


async def answer(prometheus: Prometheus) -> str:
    """The first row of the fleet board as a sentence."""
    now = time.time()  # noqa: TID251  # Prometheus' clock
    causes: dict[str, list[str]] = {}
    for labels, _ in await prometheus.instant(f"{recordings.DEGRADED} > 0", now):
        causes.setdefault(labels["provider"], []).append(labels["cause"])
    if not causes:
        return "no provider is degraded"
    shares = []
    for name in (recordings.ASSIGNED_SHARE, recordings.CARRIED_SHARE):
        rows = await prometheus.instant(name, now)
        shares.append({labels["provider"]: value for labels, value in rows})
    wanted, carried = shares
    return "; ".join(
        f"{provider} is degraded ({', '.join(sorted(why))}): {wanted.get(provider, 0):.0%} of the calls "
        f"want it, {carried.get(provider, 0):.0%} of the attempts still hit it"
        for provider, why in sorted(causes.items())
    )


async def tell(prometheus: Prometheus) -> None:
    """Every change of the answer and of the alerts, as a line."""
    last, firing = "", set[str]()
    while True:
        said = await answer(prometheus)
        # shares move a little all the time: a line is for another provider or another cause
        if said.split(":")[0] != last.split(":", maxsplit=1)[0]:
            say(f"{time.strftime('%X')}  {said}")
        last = said
        now = {a["labels"]["alertname"] for a in await prometheus.alerts() if a["state"] == "firing"}
        for name in sorted(now - firing):
            say(f"{time.strftime('%X')}  fires:  {name}")
        for name in sorted(firing - now):
            say(f"{time.strftime('%X')}  is over: {name}")
        firing = now
        await asyncio.sleep(1)


async def day(it: Incident, well: float, ill: float, rounds: int) -> None:
    done = 0
    while not rounds or done < rounds:
        say(f"{time.strftime('%X')}  -- all is well for {well:.0f} s")
        await it.play(well)
        it.outage()
        say(f"{time.strftime('%X')}  -- openai answers with errors for {ill:.0f} s")
        await it.play(ill)
        it.recovery()
        done += 1


async def observe(shorter: int, well: float, ill: float, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="llm-sidecar-observe-") as name:
        folder = Path(name)
        async with (
            incident(folder) as it,
            prometheus(folder, it.admin, LABELS, shorter=shorter) as asked,
            grafana(folder, asked.url) as boards,
        ):
            say(f"Fleet board   {boards}/d/{FLEET_UID}" if boards else NO_GRAFANA)
            say(f"Alerts        {asked.url}/alerts")
            say(f"Prometheus    {asked.url}/graph?g0.expr={recordings.DEGRADED}&g0.tab=0&g0.range_input=5m")
            say(f"The sidecar   {it.admin}/metrics and {it.admin}/status; its log is in {folder}")
            say(f"The rules' windows are {shorter} times shorter than shipped. Ctrl-C ends it all.\n")
            telling = asyncio.ensure_future(tell(asked))  # noqa: TID251  # ends with the day
            try:
                await day(it, well, ill, rounds)
            finally:
                telling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await telling


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dashboards.observe", description=__doc__)
    parser.add_argument("--shorter", type=int, default=10, help="by how much windows are shorter")
    parser.add_argument("--well", type=float, default=90, help="seconds without trouble; default %(default)s")
    parser.add_argument("--ill", type=float, default=120, help="seconds of the outage; default %(default)s")
    parser.add_argument("--rounds", type=int, default=0, help="how often; default: until Ctrl-C")
    given = parser.parse_args(argv)
    # a proxy of this machine must not get between the parts
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    try:
        asyncio.run(observe(given.shorter, given.well, given.ill, given.rounds))
    except (Missing, DidNotStart) as error:
        say(": ".join(str(part) for part in error.args))
        return 1
    except KeyboardInterrupt:
        say("Stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
