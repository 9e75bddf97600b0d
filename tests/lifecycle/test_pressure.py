"""The container's memory, from files as the kernel writes them to what is given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.core.admission import LARGE, Admission
from sidecar.pressure import Cgroup, Level, Pressure, Reading

MIB = 1024 * 1024
NOBODY = Path("/nonexistent")


def see(*shares: float) -> list[Level]:
    pressure = Pressure()
    levels = []
    for share in shares:
        pressure.see(Reading(int(share * 1000), 1000))
        levels.append(pressure.level)
    return levels


def test_levels_begin_at_70_and_85_percent_and_are_left_five_points_below():
    n, t, f = Level.NORMAL, Level.TIGHT, Level.FULL

    assert [n, t, t, n] == see(0.69, 0.70, 0.66, 0.64)
    assert [f, f, t, t, n] == see(0.85, 0.81, 0.79, 0.66, 0.60)
    assert [n, f, n] == see(0.10, 0.95, 0.10)


def test_a_change_is_told_once_and_without_a_limit_nothing_is_guarded():
    pressure = Pressure()

    assert [True, False] == [pressure.see(Reading(9, 10)), pressure.see(Reading(9, 10))]
    assert pressure.see(None)
    assert Level.NORMAL is pressure.level


def v2(folder: Path, limit: str, used: int, inactive: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(limit + "\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\nactive_file 7\n")
    return folder


def test_version_2_is_read_without_the_pages_that_can_be_dropped(tmp_path: Path):
    v2(tmp_path, str(512 * MIB), 400 * MIB, 100 * MIB)

    assert Reading(300 * MIB, 512 * MIB) == Cgroup(tmp_path, NOBODY).read()


def test_version_1_is_read_too(tmp_path: Path):
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(f"{512 * MIB}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{200 * MIB}\n")
    (folder / "memory.stat").write_text(f"total_inactive_file {50 * MIB}\n")

    assert Reading(150 * MIB, 512 * MIB) == Cgroup(tmp_path, NOBODY).read()


def test_a_group_of_our_own_below_the_root_is_found(tmp_path: Path):
    membership = tmp_path / "cgroup"
    membership.write_text("0::/user.slice/app\n")
    v2(tmp_path, "max", 5)
    v2(tmp_path / "user.slice" / "app", "1000", 700)

    assert Reading(700, 1000) == Cgroup(tmp_path, membership).read()


@pytest.mark.parametrize("limit", ["max", "0", "x", str(2**63 - 4096)])
def test_no_limit_is_no_reading(tmp_path: Path, limit: str):
    v2(tmp_path, limit, 100)

    assert Cgroup(tmp_path, NOBODY).read() is None
    assert Cgroup(NOBODY, NOBODY).read() is None


def test_files_that_hold_nonsense_cost_nothing(tmp_path: Path):
    v2(tmp_path, "1000", 100)
    (tmp_path / "memory.stat").write_bytes(b"\xff\xfe inactive_file x")

    assert Reading(100, 1000) == Cgroup(tmp_path, NOBODY).read()


def test_tight_leaves_an_eighth_of_the_room_for_answers():
    admission = Admission(slots=1, bytes=8000)

    assert admission.keep(1000)
    admission.tight = True
    assert not admission.keep(1)
    admission.let_go(1000)
    assert admission.keep(1000)


def test_full_lets_no_large_body_in_and_small_ones_as_before():
    admission = Admission(slots=1, bytes=8000)

    assert 32 * MIB == admission.largest(32 * MIB)
    admission.full = True
    assert (LARGE, 1000) == (admission.largest(32 * MIB), admission.largest(1000))


@pytest.mark.parametrize("limit", ["9" * 5000, "", "max", "-1", "\u0661", "1e9"])
def test_what_is_no_number_is_no_limit(tmp_path: Path, limit: str):
    (tmp_path / "memory.max").write_text(limit, encoding="utf-8")
    (tmp_path / "memory.current").write_text("5", encoding="utf-8")
    (tmp_path / "memory.stat").write_text("inactive_file " + "9" * 5000, encoding="utf-8")

    assert None is Cgroup(tmp_path, NOBODY).read()
    (tmp_path / "memory.max").write_text("10", encoding="utf-8")
    assert Reading(5, 10) == Cgroup(tmp_path, NOBODY).read()
