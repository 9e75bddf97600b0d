"""The webhook that puts sidecars into pods; `llm-sidecar injector`. It imports nothing of the data plane."""
