"""What generated conversations are made of, drawn from one random source that hypothesis hands in.

No two words and no two numbers of a conversation are the same, so that what is found on the other side is
what was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.hub.cases import Json

TAILS = ("", "", " ", "\n", "é🦔", '"{', '{"a":1}', "\u2028", "[1]", "\u0000", "\\")


class Drawn:
    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self._count = 0

    def may(self, share: float) -> bool:
        return self.chance.random() < share

    def one(self, *of: Callable[[], Any]) -> Any:
        return self.chance.choice(of)()

    def many(self, least: int, most: int, make: Callable[[], Any]) -> list[Any]:
        return [make() for _ in range(self.chance.randint(least, most))]

    def number(self) -> int:
        self._count += 1
        return 10_000 + self._count

    def word(self) -> str:
        return f"word{self.number()}{self.chance.choice(TAILS)}"

    def blank(self) -> str:
        """Words, or none."""
        return str(self.chance.choice(("", " ", "\n", self.word(), self.word(), self.word())))

    def ident(self) -> str:
        """Of a call, as some provider makes them; not every other takes each."""
        n = self.number()
        return self.chance.choice((f"call_{n}", f"toolu_{n}", f"functions.tide:{n}", f"x{n}" * 20, f"a b{n}"))

    def arguments(self) -> Json:
        made: Json = self.one(
            dict,
            lambda: {"port": self.word()},
            lambda: {"n": self.number(), "f": self.number() + 0.5, "l": [None, True, {"d": {}}], "s": ""},
        )
        return made

    def schema(self) -> Json:
        port = {"type": "string", "description": self.word()}
        choice = {"anyOf": [{"type": "string"}, {"type": "null"}], "enum": [self.word(), None, self.number()]}
        closed = {"type": "object", "properties": {"a": choice}, "required": ["a"]}
        return self.chance.choice(
            (
                {"type": "object", "properties": {"port": port}},
                {"type": "object", "properties": {}, "description": self.word()},
                {**closed, "additionalProperties": False, "$defs": {"q": {"minimum": self.number() + 0.25}}},
            )
        )

    def tool(self) -> str:
        return self.chance.choice(("tide", "wind"))

    def tools(self) -> list[str]:
        return self.chance.sample(["tide", "wind", "get_weather-2"], self.chance.randint(0, 3))

    def some(self, share: float, **fields: Any) -> Json:
        return {key: value for key, value in fields.items() if self.may(share)}

    def shuffled(self, of: list[Any]) -> list[Any]:
        return self.chance.sample(of, len(of))
