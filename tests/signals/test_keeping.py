"""What was learned outlives the process, and no file on disk can do harm."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar import keeping
from sidecar.app import App
from sidecar.environment import Pod
from sidecar.events import (
    Event,
    Restored,
)
from sidecar.settings import Admin, Listen, Settings
from tests.signals.test_usual import call, taught

NOW = 1_763_800_000.0
KEPT = [{"route": "r", "target": "a", "usual": {"answering": {}, "kinds": []}}]


def test_what_is_saved_is_loaded_and_nothing_else_is_left_in_the_folder(tmp_path: Path):
    keeping.save(tmp_path, [], NOW)
    keeping.save(tmp_path, KEPT, NOW)

    assert KEPT == keeping.load(tmp_path, NOW + 100)
    assert [keeping.NAME] == [path.name for path in tmp_path.iterdir()]


def test_no_file_is_no_news(tmp_path: Path):
    assert keeping.load(tmp_path, NOW) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ('{"version": 1, "saved"', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "version"),
        ('{"version": 0, "saved": 0, "usual": []}', "version"),
        ('{"version": 1, "usual": []}', "lacks"),
        ('{"version": 1, "saved": 1763800000, "usual": {}}', "lacks"),
        ('{"version": 1, "saved": 1763000000, "usual": []}', "days ago"),
        ('{"version": 1, "saved": 1800000000, "usual": []}', "days ago"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, why: str):
    (tmp_path / keeping.NAME).write_text(text)

    with pytest.raises(keeping.Unusable, match=why):
        keeping.load(tmp_path, NOW)


# ---- the whole application ------------------------------------------------------------------------


def once(folder: Path, during: Any = None) -> tuple[App, list[Restored]]:
    """One life of a sidecar; what it told of its restoring."""
    told: list[Event] = []

    class Heard(App):
        def tell(self, event: Event) -> None:  # type: ignore[explicit-override]  # 3.11 has none
            told.append(event)
            super().tell(event)

    async def main() -> App:
        base = Settings(state_dir=str(folder), drain=0.0)
        local = Listen(hosts=("127.0.0.1",), port=0)
        settings = replace(base, listen=local, admin=Admin(hosts=("127.0.0.1",), port=0))
        providers = Settings().providers or _known()
        app = Heard(replace(settings, providers=providers), pod=Pod(), write=lambda _: None)
        await app.start()
        if during is not None:
            during(app)
        await app.stop()
        return app

    return asyncio.run(main()), [event for event in told if isinstance(event, Restored)]


def _known() -> Any:
    from sidecar import config

    return config.parse("").providers


def test_a_restarted_sidecar_knows_what_is_usual(tmp_path: Path):
    about = call(stream=False)

    def teach(app: App) -> None:
        taught(app.memory.standings["openai", "openai"].usual, 7.0, about)

    once(tmp_path, teach)
    app, told = once(tmp_path)

    assert [True] == [event.ok for event in told]
    assert 7.0 == pytest.approx(app.memory.standings["openai", "openai"].usual.seconds(about), rel=0.06)


@pytest.mark.parametrize("damage", ["half", "values", "folder"])
def test_a_damaged_file_is_told_once_and_learning_starts_anew(tmp_path: Path, damage: str):
    once(tmp_path, lambda app: taught(app.memory.standings["openai", "openai"].usual, 7.0, call()))
    file = tmp_path / keeping.NAME
    if damage == "half":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "values":
        kept = json.loads(file.read_text())
        for row in kept["usual"]:
            row["usual"] = {"kinds": [{"model": 3}]}
        file.write_text(json.dumps(kept))
    else:
        file.unlink()
        file.mkdir()
    app, told = once(tmp_path)

    assert False is told[0].ok
    assert app.memory.standings["openai", "openai"].usual.seconds(call()) is None


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path):
    _, told = once(tmp_path / "missing")

    assert ["state_dir cannot be written: No such file or directory"] == [event.detail for event in told]


def test_the_signals_page_shows_what_each_signal_did(tmp_path: Path):
    rows: list[dict[str, Any]] = []

    def look(app: App) -> None:
        standing = app.memory.standings["openai", "openai"]
        for n in range(8):
            standing.tally([("refusal", n % 2 == 0)], replace_id(n), app.clock.now())
        rows.extend(app.signals())
        body, _ = app.metrics("text/plain")
        assert b'quality_evaluations_total{model="other",provider="openai",signal="refusal"} 8.0' in body
        again, _ = app.metrics("text/plain")
        assert b'signal="refusal"} 8.0' in again, "counted twice"

    once(tmp_path, look)

    counts = {"evaluated": 8, "fired": 4, "would_have_opened": 1}
    who = {"route": "openai", "target": "openai", "signal": "refusal", "action": "observe"}
    assert [{**who, **counts, "last_hour": counts}] == rows


def replace_id(n: int) -> Any:
    from msgspec.structs import replace as changed

    return changed(call(), id=f"{n}", body=b"%d" % n)
