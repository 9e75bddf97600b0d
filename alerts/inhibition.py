"""Which alert silences which, and where alerts go: the cause is told, its symptoms wait.

Alerts of area app are never silenced: users who hurt are told of whatever the cause is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alerts.rules import Area

_PROVIDER = ("namespace", "provider")
_BREAKER = (*_PROVIDER, "model", "kind")
_APP = ("namespace", "app")


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While one of `source` fires, `target` with equal labels is silent. Names of alerts, or areas."""

    source: tuple[str, ...]
    target: tuple[str | Area, ...]
    equal: tuple[str, ...]


INHIBITIONS = (
    # the account is the cause: retries, breakers and errors follow from it
    Inhibition(
        ("LLMProviderQuotaExhausted", "LLMProviderAuthFailure", "LLMProviderUnusable"),
        (Area.PROVIDER, Area.BREAKER, Area.RETRY),
        _PROVIDER,
    ),
    Inhibition(
        ("LLMBreakerOpenFleetWide",),
        (
            "LLMProviderErrorRateHigh",
            "LLMProviderErrorRateCritical",
            "LLMProviderLatencyDegraded",
            "LLMStreamInterruptions",
            "LLMBreakerOpen",
            Area.RETRY,
        ),
        _PROVIDER,
    ),
    Inhibition(
        ("LLMProviderErrorRateCritical",),
        ("LLMProviderErrorRateHigh", "LLMBreakerOpen", "LLMRetryRateElevated", "LLMRetryBudgetExhausted"),
        _PROVIDER,
    ),
    Inhibition(("LLMRetryStorm",), ("LLMRetryRateElevated", "LLMRetryBudgetExhausted"), _PROVIDER),
    Inhibition(("LLMBreakerFlapping",), ("LLMBreakerOpen",), _BREAKER),
    # symptoms have no provider: the namespace is what they share with their cause
    Inhibition(
        (
            "LLMProviderErrorRateCritical",
            "LLMBreakerOpenFleetWide",
            "LLMProviderQuotaExhausted",
            "LLMProviderAuthFailure",
            "LLMProviderUnusable",
        ),
        (Area.FALLBACK, Area.DEGRADED),
        ("namespace",),
    ),
    Inhibition(("LLMFallbackRateHigh",), ("LLMFallbackBurst",), _APP),
    Inhibition(("LLMAnswersBelowFull",), ("LLMDegradedServing",), _APP),
    Inhibition(("LLMSidecarDown",), ("LLMSidecarTargetDown",), _APP),
)


def _matchers(names: tuple[str | Area, ...]) -> list[list[str]]:
    """One list per inhibit rule: matchers of a rule are joined by and, so areas and names need two."""
    areas = [str(name) for name in names if isinstance(name, Area)]
    alerts = [str(name) for name in names if not isinstance(name, Area)]
    return [
        [f'{label}=~"{"|".join(values)}"', 'component="llm-sidecar"']
        for label, values in (("alertname", alerts), ("area", areas))
        if values
    ]


def alertmanager() -> dict[str, Any]:
    return {
        "route": {
            "receiver": "tickets",
            "routes": [
                {
                    "matchers": ['component="llm-sidecar"'],
                    "group_by": ["namespace", "area", "app", "provider"],
                    "group_wait": "30s",
                    "group_interval": "5m",
                    "repeat_interval": "4h",
                    "routes": [
                        {"matchers": ['severity="critical"'], "receiver": "pager"},
                        {"matchers": ['severity="info"'], "receiver": "nobody"},
                        {"matchers": ['severity="warning"'], "receiver": "tickets"},
                    ],
                }
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": source,
                "target_matchers": target,
                "equal": list(row.equal),
            }
            for row in INHIBITIONS
            for source in _matchers(row.source)
            for target in _matchers(row.target)
        ],
        "receivers": [{"name": name} for name in ("pager", "tickets", "nobody")],
    }
