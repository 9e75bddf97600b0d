"""What the boards take from the rules: names of recordings and the thresholds of the alerts."""

from __future__ import annotations

DEGRADED = "namespace_provider_cause:llm_sidecar_degraded:bool"
ATTEMPTS_RATE = "namespace_provider:llm_sidecar_attempts:rate5m"
ERROR_RATIO = "namespace_provider:llm_sidecar_attempts:error_ratio5m"
RETRY_RATIO = "namespace_provider:llm_sidecar_retries:ratio5m"
P95 = "namespace_provider_model:llm_sidecar_attempt_duration_seconds:p95_5m"
P95_BASELINE = "namespace_provider_model:llm_sidecar_attempt_duration_seconds:p95_baseline"
ASSIGNED_SHARE = "namespace_provider:llm_sidecar_assigned_share:ratio5m"
CARRIED_SHARE = "namespace_provider:llm_sidecar_carried_share:ratio5m"
