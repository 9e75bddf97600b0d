"""The alerts' thresholds, by the names the boards use."""

from __future__ import annotations

ERROR_WARNING, ERROR_CRITICAL = 0.05, 0.15
RETRY_WARNING, RETRY_CRITICAL = 0.02, 0.2
FALLBACK = 0.1
BELOW_FULL = 0.2
LATENCY = 3.0
QUALITY = 0.05
APP_ERRORS, APP_ERRORS_FAST = 0.01, 0.144
OVERHEAD = 0.025
LAG = 0.25
