"""`llm-sidecar jobs`: what is deferred, as an operator sees it; works on the file while the sidecar runs."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sidecar import config, environment
from sidecar.config.convert import format_size
from sidecar.deferred.rows import STATES, Unusable
from sidecar.deferred.store import Store

HELP = """Looks at the deferred calls of a sidecar, and changes what becomes of them.

The sidecar may run meanwhile: it sees a change within a second. No prompt, answer or key is shown.
The file is in `state_dir`, which the configuration names (or --state-dir does).

  llm-sidecar jobs list --state waiting      what waits, the oldest first, and what it met last
  llm-sidecar jobs retry ID...               ask again now; a failed one gets its tries and its time anew;
                                             or send its webhook's message again now
  llm-sidecar jobs drop ID...                give up; their owners are told 410

--all takes the place of the ids: all that wait (retry: all that failed or are to be delivered too)."""
LIST = """One line per job: id, state, route, age, time left, tries, size, what it met last,
and what became of its webhook's message: due, delivered, or expired.

waiting   on disk, to be asked for
answered  its owner can fetch the answer
failed    ended with an error that waiting does not mend; `retry` asks again all the same
expired   waited for longer than `deferred.expires`
dropped   by an operator"""


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 1: there is no such job, or the file cannot be used; 2: what was given is wrong."""
    given = _parser().parse_args(argv)
    if given.verb != "list" and bool(given.ids) == given.all:
        say(f"llm-sidecar jobs {given.verb}: say which: ids as `llm-sidecar jobs list` shows them, or --all")
        return 2
    try:
        folder = given.state_dir or environment.read(os.environ, path=given.config).load().state_dir
    except config.ConfigError as error:
        say(str(error))
        return 2
    if folder is None:
        say("no state_dir is configured, so nothing is deferred; name the folder with --state-dir")
        return 2
    try:
        store = Store(Path(folder), drains=False)
    except Unusable as unusable:
        say(f"{folder}: {unusable}")
        return 1
    try:
        return _do(store, given, time.time())  # noqa: TID251  # ages count from now
    except sqlite3.Error as error:
        say(f"{folder}: the file cannot be {'read' if given.verb == 'list' else 'changed'}: {error}")
        return 1
    finally:
        store.close()


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="llm-sidecar jobs", description=HELP, formatter_class=shape)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    rows = (
        ("list", "show deferred calls, the oldest first", LIST),
        (
            "retry",
            "ask for them again, now",
            "Asks again now. A failed job waits again, with all its tries; a webhook's message is sent.",
        ),
        ("drop", "give them up", "Gives jobs up that wait. Whoever asks after one is told 410."),
    )
    for name, summary, text in rows:
        verb = verbs.add_parser(name, help=summary, description=text, formatter_class=shape)
        verb.add_argument("--config", "-c", type=Path, metavar="FILE", help="as it was given to `run`")
        verb.add_argument("--state-dir", metavar="FOLDER", help="instead of the configuration's")
        if name == "list":
            verb.add_argument("--state", choices=STATES, help="these alone")
            verb.add_argument("--limit", type=int, default=100, help="at most so many; default: %(default)s")
        else:
            verb.add_argument("ids", nargs="*", metavar="ID")
            verb.add_argument("--all", action="store_true", help="all of them")
    return parser


def _do(store: Store, given: argparse.Namespace, wall: float) -> int:
    if given.verb == "list":
        counts = store.counts()
        for row in store.list(given.state, given.limit):
            sys.stdout.write(_line(row, wall) + "\n")
        told = ", ".join(f"{number} {state}" for state, number in sorted(counts.jobs.items()))
        say(f"{told or 'nothing is deferred'}; {format_size(counts.bytes + counts.answers)}")
        return 0
    work = store.retry if given.verb == "retry" else store.drop
    changed = work(None if given.all else given.ids, wall)
    wanted = "changed" if given.all else f"of {len(given.ids)} changed"
    say(f"{changed} {wanted}")
    return 0 if given.all or changed == len(given.ids) else 1


def _line(row: dict[str, Any], wall: float) -> str:
    left = row["expires"] - wall
    words = (
        row["id"],
        f"{row['state']:8}",
        row["route"],
        f"age {_span(wall - row['accepted'])}",
        f"left {_span(left)}" if row["state"] == "waiting" else f"status {row['status']}",
        f"tries {row['tries']}",
        format_size(row["size"]),
        row["reason"],
        f"webhook {row['webhook']} {row['delivery']} sends {row['sends']}" if row["delivery"] else "",
    )
    return "  ".join(str(word) for word in words if word != "")


def _span(seconds: float) -> str:
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds:.0f}s"


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
