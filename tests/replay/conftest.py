"""Recorded traffic is not ours to keep: these tests are there only where a variable points at it."""

import os

collect_ignore = [] if os.environ.get("LLM_SIDECAR_DATA") else ["test_recorded.py"]
