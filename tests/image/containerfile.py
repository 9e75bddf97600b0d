"""The Containerfile as instructions, as far as ours uses them."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

from tests.docs.pages import ROOT

PATH = ROOT / "Containerfile"


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str

    @property
    def form(self) -> list[str]:
        """Of an exec form; a shell form is refused: our image has no shell."""
        found: list[str] = json.loads(self.rest)
        return found


def stages() -> list[list[Instruction]]:
    """What stands before the first FROM belongs to no stage and is left out."""
    lines = [line for line in PATH.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    found: list[list[Instruction]] = []
    for line in joined:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(word, rest.strip()))
    return found


def values(stage: list[Instruction], word: str) -> list[str]:
    return [each.rest for each in stage if each.word == word]


def pairs(stage: list[Instruction], word: str) -> dict[str, str]:
    """Of LABEL and ENV."""
    words = [part for rest in values(stage, word) for part in shlex.split(rest)]
    return {name: value for name, _, value in (part.partition("=") for part in words)}
