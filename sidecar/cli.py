"""The command line. Each command imports what it needs: `check` starts no event loop, `run` no demo.

Exit status: 0 done, 1 it could not be done (a port in use), 2 what was given is wrong, 130 Ctrl-C before
there was anything to end.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import __version__, drill_command

if TYPE_CHECKING:
    from sidecar.environment import Pod

_OWN_ARGUMENTS = {
    "provider": "sidecar.provider.command",
    "demo": "sidecar.demo",
    "drain": "sidecar.drain",
    "jobs": "sidecar.deferred.command",
    "injector": "sidecar.injector.command",
    "doctor": "sidecar.doctor.command",
    "status": "sidecar.status_command",
    "simulate": "sidecar.simulate.command",
}

RUN = """\
Starts the sidecar: listens on loopback, port 4000 (admin: 9901), until SIGTERM or Ctrl-C.
Then calls in flight have `drain` (20 s) to end; a second signal ends them at once, as errors.

Without a configuration every well-known provider works by its prefix, with your own keys:
  OPENAI_BASE_URL=http://127.0.0.1:4000/openai/v1
  ANTHROPIC_BASE_URL=http://127.0.0.1:4000/anthropic
with retries, circuit breakers, deadlines and metrics, but no fallback. A configuration file adds
routes and fallbacks; it is read again whenever it changes, and kept if the new one is wrong.
"""

EXPLAIN = """\
Says which route a request takes and why, and the stack it goes through with its settings.

FILE holds a raw HTTP request, or JSON: {"method", "path", "headers", "body"}. "-" reads stdin.
  {"method": "POST", "path": "/openai/v1/chat/completions",
   "body": {"model": "gpt-4o", "messages": [], "stream": true}}
"""

CLASSIFY = """\
Shows the decision for provider answers: JSON lines in, JSON lines out, on stdin and stdout.

In:  {"id": "x", "provider": "openai", "status": 429, "headers": {"retry-after": "2"}, "body": {...}}
Out: {"id": "x", "class": "rate_limit_rpm", "retry": true, "fallback": true, "retry_after_s": 2.0,
      "scope": "model"}
"""

TRANSLATE = """\
Shows what becomes of a call in another dialect: JSON lines in, JSON lines out. Nothing is sent.

request:   the request's body, or {"path", "body"} where the path names the model (gemini)
           -> {"path", "query", "body", "losses": [{"field", "how"}]}, or {"refused", "why"}
response:  a provider's whole answer -> {"body", "losses"}
stream:    a JSON string that holds a provider's events -> {"stream", "losses"}
error:     {"status", "headers", "body"} -> {"status", "body", "class", "retry_after_s"}

With --model a request is held against what the catalogue knows of that model, as for a target of a
chain: what it cannot take is clamped, dropped or refused by name, and "card" says whose limits these
are (null: nobody knows the model, and everything is allowed).
  --model claude-sonnet-4-5      of the provider that the dialect belongs to
  --model mistral/mistral-small  of another one
"""
_SPOKEN = ("openai_chat", "openai_responses", "anthropic", "gemini")


def main(argv: Sequence[str] | None = None) -> int:
    try:
        return _main(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        return 130


def _main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="llm-sidecar",
        description="A resilience sidecar for LLM traffic: retries, breakers, fallbacks, and the truth.",
    )
    parser.add_argument("--version", action="version", version=f"llm-sidecar {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, summary: str, text: str, work: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=text or summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(work=work)
        return command

    run = add("run", "start the sidecar", RUN, _run)
    _config_option(run)
    run.add_argument("--port", type=_port, help="listen here instead of listen.port (0: any free port)")
    run.add_argument("--admin-port", type=_port, help="admin surface here instead of admin.port (0: any)")
    check = add("check", "report all that is wrong with a configuration", "", _check)
    check.add_argument("config", nargs="?", type=Path, metavar="FILE")
    check.add_argument(
        "--overrides", type=Path, metavar="FILE", help="an operator's overrides, checked against it"
    )
    explain = add("explain", "say which route a request takes, and why", EXPLAIN, _explain)
    _config_option(explain)
    explain.add_argument("--request", required=True, metavar="FILE")
    add("classify", "show the decision for provider answers (JSON lines)", CLASSIFY, _classify)
    translate = add(
        "translate", "show what becomes of a call in another dialect (JSON lines)", TRANSLATE, _translate
    )
    for option, text in (("--from", "the dialect of what is given"), ("--to", "the dialect that is wanted")):
        translate.add_argument(option, required=True, choices=_SPOKEN, help=text, dest=option[2:] + "_")
    translate.add_argument("--kind", choices=("request", "response", "stream", "error"), default="request")
    translate.add_argument("--model", metavar="NAME", help="for a request: the model that is to take it")
    drill = add("drill", "make a request header that plays a fault", drill_command.TEXT, _drill)
    drill_command.add_arguments(drill)
    for name, summary in (
        ("provider", "run a scripted fake vendor to drill with"),
        ("demo", "a scripted bad day, with and without the sidecar"),
        ("status", "show which provider is ill, breakers, tiers and last decisions, live"),
        ("simulate", "a day of 50,000 calls in virtual time, under several policies"),
        ("drain", "tell the sidecar of this pod that the pod is ending (its preStop hook)"),
        ("jobs", "list, retry and drop deferred calls"),
        ("injector", "run the webhook that puts sidecars into pods"),
        ("doctor", "say which SDKs are here and whether their calls go through the sidecar"),
    ):
        # these read their own arguments: their help is theirs
        commands.add_parser(name, help=summary, add_help=False)
    given = list(argv)
    if given[:1] == ["run"] and not {"-h", "--help"}.isdisjoint(given):
        run.epilog = _variables()
    if given and given[0] in _OWN_ARGUMENTS:
        main_of: Callable[[list[str]], int] = importlib.import_module(_OWN_ARGUMENTS[given[0]]).main
        return main_of(given[1:])
    arguments = parser.parse_args(given)
    work: Callable[[argparse.Namespace], int] = arguments.work
    return work(arguments)


def _variables() -> str:
    from sidecar.environment import VARIABLES

    rows = (f"  {name}\n      {meaning}" for name, meaning in VARIABLES.items())
    return "\n".join(["variables that a pod sets:", *rows])


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", type=Path, metavar="FILE", help="the configuration (YAML)")


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return port


def _run(arguments: argparse.Namespace) -> int:
    from sidecar import environment
    from sidecar.config import ConfigError
    from sidecar.run import run

    try:
        pod = environment.read(
            os.environ, path=arguments.config, port=arguments.port, admin_port=arguments.admin_port
        )
        return run(pod)
    except ConfigError as error:
        # the last line is what Kubernetes shows of a container that did not start
        first, count = error.problems[0], len(error.problems)
        more = f" (and {count - 1} more, above)" if count > 1 else ""
        return _wrong(f"{error}\nllm-sidecar did not start: {error.name}: {first.text()}{more}")
    except OSError as error:
        print(f"llm-sidecar: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return 1


def _check(arguments: argparse.Namespace) -> int:
    from sidecar import environment
    from sidecar.config import ConfigError

    try:
        pod = environment.read(os.environ, path=arguments.config)
        text, status = pod.check()
        if arguments.overrides is not None and not status:
            text += "\n" + _check_overrides(pod, arguments.overrides)
    except ConfigError as error:
        text, status = str(error), 2
    print(text, file=sys.stderr if status else sys.stdout)
    return status


def _check_overrides(pod: Pod, path: Path) -> str:
    """Against the configuration that they are to be laid over. Raises ConfigError."""
    from sidecar import overrides
    from sidecar.config import ConfigError, Problem
    from sidecar.routing import Router

    found = overrides.load(path)
    if found is None:
        raise ConfigError([Problem("", "cannot be read: there is no such file")], path.name)
    settings = pod.load()
    active = ", ".join(f"{kind} {size}" for kind, size in found.active()) or "nothing is overridden"
    idle = found.idle(settings, Router(settings).routes)
    return "\n".join([f"{path.name}: ok, {active}", *(f"  warning: {one}" for one in idle)])


def _explain(arguments: argparse.Namespace) -> int:
    import time

    from sidecar import environment
    from sidecar.config import ConfigError
    from sidecar.explain import explain_text

    try:
        request = (
            sys.stdin.buffer.read() if arguments.request == "-" else Path(arguments.request).read_bytes()
        )
        settings = environment.read(os.environ, path=arguments.config).load()
        now = time.time()  # noqa: TID251  # models retire by date
        print(explain_text(settings, request, now))  # noqa: T201
    except ConfigError as error:
        return _wrong(str(error))
    except OSError as error:
        return _wrong(f"{arguments.request}: {error.strerror}")
    except ValueError as error:
        return _wrong(f"{arguments.request}: {error}")
    return 0


def _translate(arguments: argparse.Namespace) -> int:
    import io
    import time

    from sidecar.translate_lines import asked, run

    if arguments.model and arguments.kind != "request":
        return _wrong(f"--model: it says what becomes of a request; --kind is {arguments.kind}")
    model = asked(arguments.model, arguments.to_) if arguments.model else None
    lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
    wall = time.time()  # noqa: TID251  # answers name the moment they were made, and models retire
    for line in run(lines, of=arguments.from_, to=arguments.to_, kind=arguments.kind, wall=wall, model=model):
        print(line, flush=True)  # noqa: T201
    return 0


def _classify(_: argparse.Namespace) -> int:
    import io
    import time

    from sidecar.classify_lines import run

    # one bad byte must not end the run, and a pipe gets each decision when it is made
    lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
    for line in run(lines, wall=time.time()):  # noqa: TID251  # dates in headers count from now
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 0


def _drill(arguments: argparse.Namespace) -> int:
    import time

    try:
        print(drill_command.header(arguments, time.time()))  # noqa: T201, TID251  # a time that people sign
    except OSError as error:
        return _wrong(f"{arguments.key_file}: {error.strerror}")
    except ValueError as error:
        return _wrong(str(error))
    return 0


def _wrong(text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201
    return 2
