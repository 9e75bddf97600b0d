"""llm-sidecar: an observability-first resilience sidecar for LLM traffic."""

__version__ = "0.1.0"
