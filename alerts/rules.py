"""What a rule is. Which ones there are stands in recordings, slo, app, provider, breaker and itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    CRITICAL = "critical"  # wakes somebody
    WARNING = "warning"  # a ticket or a channel
    INFO = "info"  # to be looked at


class Area(StrEnum):
    """What an alert is about; routes and inhibition go by it."""

    APP = "app"  # users notice: nothing ever inhibits it
    DEGRADED = "degraded"
    FALLBACK = "fallback"
    RETRY = "retry"
    PROVIDER = "provider"
    ACCOUNT = "account"
    BREAKER = "breaker"
    QUALITY = "quality"
    CLIENT = "client"
    MONEY = "money"
    SELF = "self"


@dataclass(frozen=True, slots=True)
class Recording:
    name: str
    expr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    name: str
    area: Area
    severity: Severity
    expr: str
    wait: str = ""  # for how long it must hold; empty: it fires at once
    summary: str
    description: str


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    rules: tuple[Recording | Alert, ...]
