"""What is measured: closed loops of whole answers, and paced streams; plain and with TLS upstream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requests:
    """`apart`: the subject has a core of its own. With one connection only one process works at a
    time, so that sharing a core costs nothing, and waking a sleeping core (which costs more than
    nginx's whole work on many virtual machines) is no part of the figure."""

    name: str
    connections: int
    apart: bool
    tls: bool = False  # from the subject to the vendor


@dataclass(frozen=True, slots=True)
class Streams:
    """So many streams at a time, each with `rate` events a second, opened over `opening` seconds."""

    name: str
    streams: int
    rate: int
    opening: float
    tls: bool = False

    @property
    def gap(self) -> int:
        """Milliseconds between two events of one stream."""
        return 1000 // self.rate


ALONE = ("1 connection, one core", "1 connection, cores apart")  # the limits look at these
MANY = "1,000 streams at 20 events/s"  # memory is read here
GROUPS: dict[str, tuple[Requests | Streams, ...]] = {
    "requests": (
        Requests(ALONE[0], 1, apart=False),
        Requests(ALONE[1], 1, apart=True),
        Requests("32 connections, cores apart", 32, apart=True),
    ),
    "streams": (
        Streams("20 streams at 10 events/s", 20, 10, 0.5),
        Streams("200 streams at 50 events/s", 200, 50, 0.8),
        Streams(MANY, 1000, 20, 1.0),
    ),
    "tls": (
        Requests("32 connections, TLS upstream", 32, apart=True, tls=True),
        Streams("200 streams at 50 events/s, TLS upstream", 200, 50, 0.8, tls=True),
    ),
    "telemetry": (),  # bench/telemetry has its own
    "translation": (),  # and so has bench/translation
}
