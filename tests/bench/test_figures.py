"""The report's arithmetic."""

from __future__ import annotations

from bench.figures import IDLE, Cell, Flow, Results, events_of, least, limits, many
from bench.machine import Memory
from bench.phases import ALONE, GROUPS, MANY, Streams
from bench.report import table, text
from bench.streams import Carried
from bench.subjects import Start

US = 1e-6
MIB = 2**20
STREAMS = "200 streams at 50 events/s"


def carried(held: int = 200, *, delay: float = 100 * US, first: float = 1e-3, late: float = 1e-3) -> Carried:
    return Carried(
        first, 2 * first, delay, 3 * delay, late, held, 1000, 500, "" if held == 200 else "ended too late"
    )


def flow(*found: Carried, cpu: float | None = None) -> Flow:
    made = Flow()
    for one in found:
        made.take(one, 200)
        made.strain(0.5, 2.0)
        if cpu is not None:
            made.spend(cpu, 0.06, 500, 2.0)
    return made


def results() -> Results:
    made = Results(
        {"nginx": "1"},
        ("envoy (not installed)",),
        "a machine",
        1,
        1.0,
        1,
        4.0,
        starts=[Start(0.6, 0.7), Start(0.5, 0.9)],
    )
    made.phases[ALONE[0]] = {
        "direct": Cell(20 * US, 40 * US, 1.0),
        "nginx": Cell(50 * US, 90 * US, 1.0, 25 * US),
        "sidecar": Cell(320 * US, 540 * US, 1.0, 250 * US),
    }
    made.streams[STREAMS] = {
        "direct": flow(carried()),
        "nginx": flow(carried(delay=150 * US), cpu=0.01),
        "sidecar": flow(carried(delay=400 * US, first=3e-3), cpu=0.02),
    }
    made.idle = Memory(36 * MIB, 48 * MIB, 32 * MIB)
    return made


def verdicts(of: Results) -> dict[str, bool | None]:
    return {name: holds for name, _, _, holds in limits(of)}


def row(of: str, name: str) -> list[str]:
    """The cells of a subject's row in the table of streams."""
    lines = of[of.index(STREAMS) :].splitlines()
    return next(line.split() for line in lines if line.startswith(name))


def test_added_is_what_direct_does_not_take():
    found = results()
    assert round(found.added(ALONE[0], "sidecar", "p50") / US) == 300
    assert round(found.added(STREAMS, "sidecar", "delay_p50") / US) == 300
    assert round(found.added(STREAMS, "sidecar", "delay_p99") / US) == 900
    assert round(found.added(STREAMS, "nginx", "delay_p50") / US) == 50


def test_the_ratio_divides_what_both_add():
    found = results()
    assert round(found.ratio(ALONE[0], "p50") or 0, 6) == 10
    assert round(found.ratio(ALONE[0], "p99") or 0, 6) == 10


def test_an_nginx_that_adds_next_to_nothing_is_no_measure():
    found = results()
    found.phases[ALONE[0]]["nginx"].p50 = 23 * US
    assert found.ratio(ALONE[0], "p50") is None
    assert verdicts(found)["added p50 at 1 connection, times nginx's"] is None


def test_the_worse_of_the_two_ratios_is_held_against_the_limit():
    found = results()
    found.phases[ALONE[1]] = {
        "direct": Cell(20 * US, 40 * US, 1.0),
        "nginx": Cell(50 * US, 90 * US, 1.0),
        "sidecar": Cell(600 * US, 900 * US, 1.0),
    }
    assert verdicts(found)["added p50 at 1 connection, times nginx's"] is False


def test_the_best_of_the_rounds_is_kept():
    one = Cell()
    one.take(30 * US, 90 * US, 100.0, 20 * US, 10)
    one.take(20 * US, 95 * US, 90.0, None, 10)
    one.take(25 * US, 80 * US, 120.0, 30 * US, 10)
    assert one == Cell(20 * US, 80 * US, 120.0, 20 * US, 30)
    assert least(None, None) is None
    assert least(None, 2.0) == least(3.0, 2.0) == 2.0


def test_of_streams_the_best_delay_is_kept_and_the_worst_of_what_was_held():
    found = flow(carried(delay=200 * US), carried(150, delay=100 * US), carried(delay=300 * US))
    assert found.delay_p50 == 100 * US
    assert (found.held, found.rounds, found.rounds_held) == (150, 3, 2)
    assert found.trouble == "ended too late"


def test_cpu_is_divided_by_the_events_of_the_time_it_was_spent_in():
    found = Flow()
    found.spend(0.05, 0.2, 1000, 2.0)
    assert (found.cpu, found.share, found.waited) == (5e-5, 0.025, 0.1)
    found.spend(0.1, 0.1, 1000, 2.0)  # more was spent, and others disturbed it less
    assert (found.cpu, found.share, found.waited) == (5e-5, 0.05, 0.05)
    found.spend(0.1, 0.4, 0, 2.0)  # nothing came
    assert (found.cpu, found.share, found.waited) == (5e-5, 0.05, 0.05)


def test_the_harness_is_judged_by_its_easiest_round():
    found = Flow()
    found.strain(0.4, 2.0)
    found.strain(0.6, 2.0)
    assert found.harness == 0.2


def test_a_core_that_others_had_is_told():
    found = results()
    assert "other programs" not in text(found)
    found.streams[STREAMS]["sidecar"].waited = 0.2
    assert "other programs had the core of sidecar" in text(found)
    assert verdicts(found)[f"{STREAMS}: rounds held"] is True
    found.streams[STREAMS]["sidecar"].rounds_held = 0
    assert verdicts(found)[f"{STREAMS}: rounds held"] is None


def test_the_largest_memory_is_kept():
    found = Flow()
    for pss in (50, 70, 60):
        found.weigh(Memory(pss, pss, pss))
    assert found.memory == Memory(70, 70, 70)


def test_streams_that_were_never_held_miss_their_limit():
    found = results()
    assert verdicts(found)[f"{STREAMS}: rounds held"] is True
    found.streams[STREAMS]["sidecar"] = flow(carried(199))
    assert verdicts(found)[f"{STREAMS}: rounds held"] is False


def test_where_the_harness_itself_did_not_keep_pace_nothing_is_said():
    for direct in (flow(carried(199)), flow(carried(late=0.2))):
        found = results()
        found.streams[STREAMS]["direct"] = direct
        found.streams[STREAMS]["sidecar"] = flow(carried(199))
        assert not found.kept_pace(STREAMS)
        assert verdicts(found)[f"{STREAMS}: rounds held"] is None
        assert "the harness did not keep pace" in text(found)


def test_the_best_start_counts_and_memory_has_a_limit():
    found = results()
    assert found.start == Start(0.5, 0.7)
    assert verdicts(found)["idle memory (PSS), MiB"] is True
    found.idle = Memory(IDLE + 1, IDLE + 1, IDLE + 1)
    assert verdicts(found)["idle memory (PSS), MiB"] is False
    assert many(found) is None
    found.streams[MANY] = {"direct": Flow(), "sidecar": Flow(memory=Memory(1, 1, 1))}
    assert many(found) == Memory(1, 1, 1)


def test_the_report_shows_the_same_figures():
    shown = text(results())
    assert "without envoy (not installed)" in shown
    assert "the harness did not keep pace" not in shown
    # held, first content, delay, CPU per event (0.02 s for 500 events), its ratio to nginx's
    assert row(shown, "sidecar") == (
        [
            "sidecar",
            "yes",
            "3.00",
            "6.00",
            "2.00",
            "400",
            "1200",
            "300",
            "900",
            "40.0",
            "2.0",
            "1%",
            "3%",
            "-",
        ]
    )
    assert row(shown, "direct") == ["direct", "yes", "1.00", "2.00", "-", "100", "300", *"-------"]


def test_a_table_s_columns_are_as_wide_as_their_widest_cell():
    assert table([("a", "bcd"), ("efgh", "i")]) == "a     bcd\n----  ---\nefgh    i"


def test_a_stream_has_the_events_of_its_life():
    phases = [phase for group in GROUPS.values() for phase in group if isinstance(phase, Streams)]
    assert [(phase.streams, phase.rate, phase.gap) for phase in phases if not phase.tls] == [
        (20, 10, 100),
        (200, 50, 20),
        (1000, 20, 50),
    ]
    assert [events_of(phase, 4.0) * phase.gap for phase in phases] == [4000] * len(phases)
