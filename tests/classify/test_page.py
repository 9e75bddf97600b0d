"""The page of this policy holds the taxonomy as it is; run this file to write it anew."""

from __future__ import annotations

from pathlib import Path

from sidecar.faults import HANDLING, Handling
from sidecar.model import Fault

PAGE = Path(__file__).parents[2] / "docs" / "policies" / "errors.md"
START, END = "<!-- generated: faults -->\n", "<!-- end -->"
COLUMNS = ("class", "same target again", "another target", "breaker", "scope", "held", "alert", "status")


def table() -> str:
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(_row(fault, HANDLING[fault]) for fault in Fault)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(fault: Fault, handling: Handling) -> tuple[str, ...]:
    return (
        f"`{fault}`",
        "yes" if handling.again else "no",
        "yes" if handling.elsewhere else "no",
        str(handling.charge),
        str(handling.scope),
        f"{handling.hold:g} s" if handling.hold else "",
        "yes" if handling.alert else "",
        str(handling.status),
    )


def written(page: str) -> str:
    head, rest = page.split(START)
    return head + START + table() + END + rest.split(END, 1)[1]


def test_the_page_holds_the_table() -> None:
    page = PAGE.read_text("utf-8")
    assert written(page) == page, "the table has changed: run python tests/classify/test_page.py"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
