"""What becomes of each conversation in each other dialect, as files for review.

`python -m tests.hub.golden --write` writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from sidecar.hub import TONGUES, Facts
from sidecar.hub.conversation import Unrepresentable
from tests.hub.cases import DIALECTS, MODELS, cases, path_of

FOLDER = Path(__file__).parent / "golden"

Json = dict[str, Any]


def crossed(source: str, target: str, body: Json, facts: Facts) -> Json:
    """The request as the target is asked, what was lost on the way; or what was refused."""
    conversation = TONGUES[source].read(path_of(source), msgspec.json.encode(body))
    conversation = msgspec.structs.replace(conversation, model=MODELS[target])
    try:
        written = TONGUES[target].write(conversation, facts)
    except Unrepresentable as refusal:
        return {"refused": refusal.field, "why": refusal.why}
    told: Json = {"path": written.path + (f"?{written.query}" if written.query else "")}
    if written.emulated:
        told["emulated"] = written.emulated
    if written.instructed:
        told["instructed"] = True
    told["losses"] = [f"{loss.field}: {loss.how}" for loss in written.losses]
    return {**told, "body": msgspec.json.decode(written.body)}


def told(source: str, name: str) -> str:
    body = cases(source)[name]
    targets = {target: crossed(source, target, body, Facts()) for target in DIALECTS if target != source}
    return json.dumps({"asked": body, **targets}, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    if sys.argv[1:] != ["--write"]:
        raise SystemExit(__doc__)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for source in DIALECTS:
        for name in cases(source):
            (FOLDER / f"{name}.{source}.json").write_text(told(source, name), encoding="utf-8")


if __name__ == "__main__":
    main()
