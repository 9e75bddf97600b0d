"""What translation costs (bench/crossing), held against its limits: the dearest direction has to hold."""

from __future__ import annotations

from dataclasses import dataclass

from bench import machine, subjects

REQUEST = 3.0  # times one json.loads of the same bytes
EVENT = 4.0


@dataclass(frozen=True, slots=True)
class Translation:
    """By direction, "gemini to anthropic": multiples of one json.loads of the same bytes."""

    request: dict[str, float]
    event: dict[str, float]

    def limits(self) -> list[tuple[str, str, str, bool | None]]:
        return [
            _limit("a translated request", self.request, REQUEST),
            _limit("a translated event", self.event, EVENT),
        ]


def _limit(name: str, found: dict[str, float], most: float) -> tuple[str, str, str, bool | None]:
    pair = max(found, key=lambda pair: found[pair])
    said = f"{found[pair]:.2f} ({pair})"
    return f"{name}, times json.loads", said, f"at most {most:g}", found[pair] <= most


def measure(cores: machine.Layout) -> Translation:
    """Raises Trouble."""
    return Translation(**subjects.printed("bench.crossing", cores.subject))
