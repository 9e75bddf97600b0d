"""`llm-sidecar provider`: a fake vendor to drill with, driven by a YAML script."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from sidecar.provider.behaviour import CATALOGUE, OPTIONS
from sidecar.provider.script import BadScript, Script, load
from sidecar.provider.server import Exchange, Vendor

HELP = """A fake LLM vendor on loopback. It speaks OpenAI chat completions and Anthropic messages by path,
never looks at keys, and does to each call what a script says. Without a script all goes well.

  steps:                      # one per call, the last one stays
    - rate_limit: {retry_after: 2}
    - ok
or
  rules:                      # the first that matches; otherwise the call goes well
    - when: {seconds: 10-25}
      do: refuse
    - when: {model: "gpt-*", stream: true, p: 0.2}
      do: {cut: {after: 3}}

Point an SDK at http://127.0.0.1:PORT/v1 (Anthropic's: without /v1).
--list shows all behaviours and options."""


def main(argv: Sequence[str] | None = None) -> int:
    """0: ended by the user; 1: the port is taken; 2: the script is wrong."""
    parser = argparse.ArgumentParser(
        prog="llm-sidecar provider",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("script", nargs="?", metavar="SCRIPT", help="a YAML file")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=9000, help="0 picks a free one; default: %(default)s")
    parser.add_argument("--tls-cert", metavar="FILE", help="speak TLS with this certificate")
    parser.add_argument("--tls-key", metavar="FILE", help="its key, if it is in another file")
    parser.add_argument("--list", action="store_true", help="show every behaviour and option, and end")
    given = parser.parse_args(argv)
    if given.list:
        sys.stdout.write(catalogue())
        return 0
    try:
        script = load(given.script) if given.script else Script()
        tls = _tls(given.tls_cert, given.tls_key)
    except BadScript as error:
        count = len(error.errors)
        say(f"{given.script}: {count} problem{'s' if count > 1 else ''}")
        for line in error.errors:
            say(f"  {line}")
        return 2
    except (OSError, UnicodeDecodeError) as error:
        file = getattr(error, "filename", None) or given.tls_cert or given.script  # ssl names no file
        say(f"cannot read {file}: {_why(error)}")
        return 2
    try:
        asyncio.run(serve(script, host=given.host, port=given.port, tls=tls))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        say(f"cannot listen on {given.host}:{given.port}: {_why(error)}; choose another with --port")
        return 1
    return 0


async def serve(
    script: Script | str | Path, *, host: str, port: int, tls: ssl.SSLContext | None = None
) -> None:
    """Runs until it is told to stop. Raises BadScript, OSError."""
    plan = script if isinstance(script, Script) else load(script)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # there are none on Windows: Ctrl-C still raises
            loop.add_signal_handler(number, stop.set)
    async with Vendor(plan, host=host, port=port, tls=tls, keep=False, tell=report) as vendor:
        say(f"{plan.name or 'fake vendor'} on {vendor.url}, {len(plan.rules)} rules; Ctrl-C ends it")
        await stop.wait()


def report(exchange: Exchange) -> None:
    """One line per exchange."""
    took = (exchange.ended_at or exchange.at) - exchange.at
    what = f"{exchange.method} {exchange.path}".strip() or "connection"
    asked = f"{what}{' stream' if exchange.stream else ''} {exchange.model or '-'}"
    sent = f"{exchange.status or 'no status'}, {exchange.sent} bytes in {took:.2f} s"
    say(f"#{exchange.number} {asked}: {exchange.behaviour or '-'}, {sent}, {exchange.ended or 'failed'}")


def catalogue() -> str:
    """Every behaviour with a line of help and its options, then every option."""
    width = max(map(len, CATALOGUE))
    lines = [f"{name:<{width}}  {kind.help}" for name, kind in CATALOGUE.items()]
    lines += ["", "Options (a behaviour takes those that mean something to it):"]
    lines += [f"{name:<{width}}  {text}" for name, text in OPTIONS.items()]
    return "\n".join(lines) + "\n"


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _tls(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context
