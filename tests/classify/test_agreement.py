"""Agreement with labelled answers, where there is a folder of them (LLM_SIDECAR_DATA)."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sidecar.classify_lines import run

DATA = os.environ.get("LLM_SIDECAR_DATA")

if DATA:

    def test_at_least_98_percent_of_the_labelled_answers_get_their_class() -> None:
        lines = (Path(DATA or "") / "errors" / "answers.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        told = [json.loads(line) for line in run(lines)]
        wrong = [
            f"{row['id']}: {got.get('class')} instead of {row['expected_class']}"
            for row, got in zip(rows, told, strict=True)
            if got.get("class") != row["expected_class"]
        ]
        retries = [row["id"] for row, got in zip(rows, told, strict=True) if got.get("retry") != row["retry"]]
        print("\n".join(wrong))  # noqa: T201  # the disagreements are what one wants to see
        assert len(wrong) <= 0.02 * len(rows)
        assert not retries
