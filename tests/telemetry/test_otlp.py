"""What arrives at a real collector, and what a bad one costs: nothing but spans."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sidecar.events import (
    Delivered,
    Event,
    RetryPlanned,
)
from sidecar.model import (
    Answered,
    Failed,
    Fault,
    Kind,
    Usage,
    span_id,
)
from sidecar.settings import Settings, Telemetry
from sidecar.telemetry import span_rows as rows
from sidecar.telemetry import tracing as module
from sidecar.telemetry.otlp import timeout
from sidecar.telemetry.tracing import MOST, Sampler, Tracing, wanted
from tests.kit import vloop
from tests.telemetry.events import SETTINGS, attempt, call, ended
from tests.telemetry.receiver import Collector, black_hole, nobody, over_grpc, over_http, plain
from tests.telemetry.traced import PARENT, TRACE

CALL = "0123456789abcdef0123456789abcdef"
GIVEN = "OTEL_EXPORTER_OTLP_ENDPOINT"


class RealClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_700_000_000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Desk:
    """Tracing as the app runs it, and what it said."""

    def __init__(self, env: dict[str, str], settings: Settings = SETTINGS) -> None:
        self.dropped: Counter[str] = Counter()
        self.told: list[Event] = []
        self.tracing = Tracing(
            settings, env=env, clock=RealClock(), tell=self.told.append, dropped=self._drop
        )

    def _drop(self, why: str, spans: int) -> None:
        self.dropped[why] += spans

    def has_dropped(self, spans: int) -> bool:
        return self.dropped["export_failed"] >= spans

    def retried(self, **more: Any) -> None:
        """One call of two attempts: three spans and an event."""
        first = attempt(Failed(Fault.SERVER_ERROR))
        second = attempt(Answered(200, Usage(input_total=100, output_total=20)), kind=Kind.RETRY)
        second.number = 2
        about = {"id": CALL, "parent_id": PARENT, "sampled": True}
        over = ended([first, second], second.outcome)
        over = replace(over, call=replace(over.call, **(about | more)))
        self.tracing.note(RetryPlanned(over.call, Fault.SERVER_ERROR, 0.25, "backoff"))
        self.tracing.note(over)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.01)


RECEIVERS = [("http/protobuf", over_http), ("grpc", over_grpc)]


@pytest.mark.parametrize(("protocol", "receiver"), RECEIVERS, ids=["http", "grpc"])
@pytest.mark.usefixtures("quick")
def test_a_call_arrives_as_it_was(protocol: str, receiver: Any, monkeypatch: pytest.MonkeyPatch):
    opened: AbstractContextManager[Collector] = receiver()
    with opened as collector:
        env = {
            GIVEN: collector.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=blue",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,k8s.pod.name=p1",
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)

        async def main() -> None:
            desk = Desk(env)
            await desk.tracing.start()
            keeper = asyncio.ensure_future(desk.tracing.run())  # noqa: TID251  # the app's
            desk.retried(headers=((b"tracestate", b"vendor=one"),))
            await asyncio.to_thread(collector.wait, 3)
            keeper.cancel()
            await asyncio.wait([keeper])
            await desk.tracing.stop()
            assert not desk.dropped
            assert [] == desk.told

        run(main())

    whole, first, second = collector.spans
    assert {TRACE} == {span.trace_id.hex() for span in (whole, first, second)}
    assert [span_id(CALL, n) for n in (0, 1, 2)] == [s.span_id.hex() for s in (whole, first, second)]
    assert [PARENT, span_id(CALL), span_id(CALL)] == [s.parent_span_id.hex() for s in (whole, first, second)]
    assert [Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT] == [whole.kind, first.kind]
    assert [Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET] == [
        span.status.code for span in (whole, first, second)
    ]
    assert ["vendor=one"] * 3 == [span.trace_state for span in (whole, first, second)]
    assert 0x301 == whole.flags
    assert 0x101 == first.flags
    assert 2.002 == pytest.approx((whole.end_time_unix_nano - whole.start_time_unix_nano) / 1e9, abs=1e-6)
    (event,) = whole.events
    assert (rows.RETRY_SCHEDULED, "backoff") == (event.name, plain(event.attributes)["source"])
    usage = {rows.GEN_INPUT: 100, rows.GEN_TOKENS: 20, rows.KIND: "retry", rows.RESEND: 1}
    assert usage.items() <= plain(second.attributes).items()
    assert collector.resource["service.name"] == "llm-sidecar"
    assert ("test", "p1") == (
        collector.resource["deployment.environment.name"],
        collector.resource["k8s.pod.name"],
    )
    assert "blue" == collector.headers[0]["x-tenant"]


def test_the_service_is_called_what_the_variable_says(monkeypatch: pytest.MonkeyPatch):
    with over_http() as collector:
        monkeypatch.setenv(GIVEN, collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "checkout-llm")

        async def main() -> None:
            desk = Desk({GIVEN: collector.url})
            await desk.tracing.start()
            desk.retried()
            await desk.tracing.stop()  # what is left is sent

        run(main())

    assert "checkout-llm" == collector.resource["service.name"]
    assert 3 == len(collector.spans)


# ---- collectors that are bad ----------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_where_nobody_listens_spans_are_counted_and_it_is_said_once(
    protocol: str, monkeypatch: pytest.MonkeyPatch
):
    where = nobody()
    monkeypatch.setenv(GIVEN, where)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")

    async def main() -> None:
        desk = Desk({GIVEN: where, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
        await desk.tracing.start()
        keeper = asyncio.ensure_future(desk.tracing.run())  # noqa: TID251  # the app's
        for n in (1, 2):
            desk.retried()
            await until(partial(desk.has_dropped, 3 * n))
        keeper.cancel()
        await asyncio.wait([keeper])
        await desk.tracing.stop()
        assert {"export_failed": 6} == desk.dropped
        (said,) = desk.told
        assert isinstance(said, Delivered)
        assert not said.ok

    run(main())


@pytest.mark.usefixtures("quick")
def test_a_collector_that_refuses_and_recovers_is_said_twice(monkeypatch: pytest.MonkeyPatch):
    with over_http() as collector:
        monkeypatch.setenv(GIVEN, collector.url)
        collector.status = 400

        async def main() -> None:
            desk = Desk({GIVEN: collector.url})
            await desk.tracing.start()
            keeper = asyncio.ensure_future(desk.tracing.run())  # noqa: TID251  # the app's
            desk.retried()
            await until(lambda: len(desk.told) == 1)
            collector.status = 200
            desk.retried()
            await until(lambda: len(desk.told) == 2)
            keeper.cancel()
            await asyncio.wait([keeper])
            await desk.tracing.stop()
            assert [False, True] == [event.ok for event in desk.told if isinstance(event, Delivered)]
            assert {"export_failed": 3} == desk.dropped

        run(main())


@pytest.mark.usefixtures("quick")
def test_a_black_hole_fills_the_queue_holds_nobody_up_and_ends_in_time(monkeypatch: pytest.MonkeyPatch):
    with black_hole() as where:
        monkeypatch.setenv(GIVEN, where)

        async def main() -> None:
            desk = Desk({GIVEN: where})
            await desk.tracing.start()
            keeper = asyncio.ensure_future(desk.tracing.run())  # noqa: TID251  # the app's
            desk.retried()
            await until(lambda: desk.tracing._sending is not None)
            for _ in range(MOST + 10):
                desk.retried()
            assert {"queue_full": 30} == desk.dropped
            assert len(desk.tracing._queue) == MOST
            keeper.cancel()
            await asyncio.wait([keeper])
            began = time.perf_counter()
            await desk.tracing.stop()
            took = time.perf_counter() - began
            assert took < module.FLUSH + 0.5
            assert {"queue_full": 30, "shutdown": 3 + 3 * MOST} == desk.dropped

        run(main())


def test_nothing_is_made_of_calls_while_there_is_no_exporter():
    async def main() -> None:
        desk = Desk({})
        await desk.tracing.start()
        desk.retried()
        assert not desk.tracing._queue
        assert desk.tracing.sample(TRACE, said=True) is None
        await desk.tracing.run()  # has nothing to do, and says so by ending
        await desk.tracing.stop()

    run(main())


def test_a_protocol_that_is_none_is_said_and_the_sidecar_runs_on():
    async def main() -> None:
        desk = Desk({GIVEN: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})
        await desk.tracing.start()
        (said,) = desk.told
        assert isinstance(said, Delivered)
        assert "http/protobuf or grpc" in said.detail
        assert not desk.tracing.on

    run(main())


def test_an_exporter_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")

    async def main() -> None:
        desk = Desk({GIVEN: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
        await desk.tracing.start()
        (said,) = desk.told
        assert isinstance(said, Delivered)
        assert "cannot be made, ValueError" in said.detail

    run(main())


# ---- which calls ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "traces", "on"),
    [
        ({}, "auto", False),
        ({GIVEN: ""}, "auto", False),
        ({GIVEN: "http://c"}, "auto", True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, "auto", True),
        ({GIVEN: "http://c"}, "off", False),
        ({GIVEN: "http://c", "OTEL_SDK_DISABLED": "TRUE"}, "auto", False),
        ({GIVEN: "http://c", "OTEL_TRACES_EXPORTER": "none"}, "auto", False),
        ({GIVEN: "http://c", "OTEL_TRACES_EXPORTER": "otlp"}, "auto", True),
    ],
)
def test_it_is_on_where_an_endpoint_is_named_and_nobody_says_no(
    env: dict[str, str], traces: str, *, on: bool
):
    assert on == wanted(Settings(telemetry=Telemetry(traces=traces)), env)


LOW, HIGH = "f" * 16 + "0" * 15 + "1", "0" * 16 + "f" * 16


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio", "decisions"),
    [
        # of: told yes, told no, low id, high id
        ("", "", 0.5, "yn yn"),
        ("", "", 1.0, "yn yy"),
        ("always_on", "", 0.0, "yy yy"),
        ("always_off", "", 1.0, "nn nn"),
        ("traceidratio", "0.5", 0.0, "nn yn"),
        ("parentbased_always_on", "", 0.0, "yn yy"),
        ("parentbased_always_off", "", 1.0, "yn nn"),
        ("parentbased_traceidratio", "0.5", 1.0, "yn yn"),
        ("parentbased_traceidratio", "many", 0.0, "yn yy"),
    ],
)
def test_the_variable_overrules_the_share_and_the_word(
    sampler: str, argument: str, ratio: float, decisions: str
):
    sample = Sampler(ratio, {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument})
    told = sample(HIGH, True), sample(HIGH, False)
    free = sample(LOW, None), sample(HIGH, None)

    shown = "".join("y" if yes else "n" for yes in told) + " " + "".join("y" if yes else "n" for yes in free)
    assert decisions == shown


def interesting(over: Any, **telemetry: Any) -> str | None:
    settings = Settings(
        routes=SETTINGS.routes, providers=SETTINGS.providers, telemetry=Telemetry(**telemetry)
    )

    async def main() -> str | None:
        desk = Desk({GIVEN: "http://c"}, settings)
        desk.tracing.on = True
        desk.tracing.note(replace(over, call=replace(over.call, id=CALL, sampled=False)))
        if not desk.tracing._queue:
            return None
        return str(desk.tracing._queue[0][0].attributes[rows.REASON])

    return asyncio.run(main())


def test_an_unsampled_call_is_kept_for_a_reason_and_names_it():
    good, bad = attempt(Answered(200)), attempt(Failed(Fault.SERVER_ERROR))
    retry = attempt(Answered(200), kind=Kind.RETRY)
    own = Failed(Fault.INVALID_REQUEST)

    assert interesting(ended([good], good.outcome)) is None
    assert "slow" == interesting(ended([good], good.outcome), slow_seconds=2.0)
    assert "retry" == interesting(ended([bad, retry], retry.outcome))
    assert "error" == interesting(ended([bad], bad.outcome))
    assert interesting(ended([attempt(own)], own)) is None
    assert interesting(ended([bad], bad.outcome), keep_interesting=False) is None


def test_a_large_body_does_not_wait_in_the_queue():
    async def main() -> None:
        desk = Desk({GIVEN: "http://c"})
        desk.tracing.on = True
        desk.retried(body=b"x" * 1_000_000)
        assert b"x" * 100 not in repr(desk.tracing._queue).encode()
        assert all(type(span).__module__ == "sidecar.telemetry.spans" for span in desk.tracing._queue[0])

    run(main())
    assert call().body == b"{}"


# ---- how much at a time ---------------------------------------------------------------------------


class Counted:
    """A batch and a courier that take everything at once, and say when."""

    takes = True

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.slices: Counter[tuple[int, float]] = Counter()

    def batch(self) -> Any:
        return Pile(self)

    def send(self, batch: Any) -> asyncio.Future[bool]:
        self.sent.append(len(batch))
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(self.takes)
        return done

    def close(self) -> None:
        return


class Pile(list[Any]):
    def __init__(self, courier: Counted) -> None:
        super().__init__()
        self.courier = courier

    def add(self, spans: list[Any]) -> None:
        self.courier.slices[len(self.courier.sent), asyncio.get_running_loop().time()] += len(spans)
        self.extend(spans)


class Ticking(RealClock):
    """After three looks a slice is over."""

    spent = 0.0

    def now(self) -> float:  # type: ignore[explicit-override]  # 3.11 has none
        self.spent += module.SPELL / 2.5
        return super().now() + self.spent


def test_a_slice_takes_no_further_call_when_its_time_is_over():
    async def main() -> None:
        desk, courier = Desk({GIVEN: "http://c"}), Counted()
        desk.tracing.on = True
        for _ in range(100):
            desk.retried()
        desk.tracing._clock = Ticking()
        await desk.tracing._send(courier, 0.1)  # type: ignore[arg-type]
        assert module.LARGEST <= sum(courier.sent) < module.LARGEST + 3
        assert 3 * 3 == max(courier.slices.values()) < module.SLICE

    vloop.run(main())


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "5"}, 5.0),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "5000"}, 5.0),
        ({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2", "OTEL_EXPORTER_OTLP_TIMEOUT": "5"}, 2.0),
        ({"OTEL_BSP_EXPORT_TIMEOUT": "500"}, 0.5),
        ({"OTEL_BSP_EXPORT_TIMEOUT": "500", "OTEL_EXPORTER_OTLP_TIMEOUT": "5"}, 5.0),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, None),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "-1"}, None),
    ],
)
def test_an_export_may_take_as_long_as_the_variables_say(said: dict[str, str], found: float | None):
    assert found == timeout(said)


def test_the_variables_of_batches_are_heeded_and_nonsense_is_not():
    said = {
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_BSP_MAX_QUEUE_SIZE": "4",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "9",
    }

    async def main() -> None:
        desk, courier = Desk({GIVEN: "http://c"} | said), Counted()
        desk.tracing._courier, desk.tracing.on = courier, True  # type: ignore[assignment]
        for _ in range(5):
            desk.retried()
        assert {"queue_full": 3} == desk.dropped
        keeper = asyncio.ensure_future(desk.tracing.run())  # noqa: TID251  # the app's
        await asyncio.sleep(1.1)
        keeper.cancel()
        await asyncio.wait([keeper])
        assert [9, 3] == courier.sent

        usual = Desk({GIVEN: "http://c"} | dict.fromkeys(said, "0")).tracing
        assert (module.EVERY, MOST, module.LARGEST) == (usual._every, usual._most, usual._largest)

    vloop.run(main())


def test_a_trickle_is_sent_once_a_second_and_a_flood_in_slices_with_pauses():
    async def main() -> None:
        desk, courier = Desk({GIVEN: "http://c"}), Counted()
        desk.tracing._courier, desk.tracing.on = courier, True  # type: ignore[assignment]
        keeper = asyncio.ensure_future(desk.tracing.run())  # noqa: TID251  # the app's
        for _ in range(100):
            desk.retried()
            await asyncio.sleep(0.1)
        assert 9 <= len(courier.sent) <= 11

        for _ in range(1000):
            desk.retried()
        await asyncio.sleep(3.0)
        keeper.cancel()
        await asyncio.wait([keeper])
        assert 3 * 1100 == sum(courier.sent)
        assert max(courier.sent) <= module.LARGEST + module.SLICE
        assert max(courier.slices.values()) <= module.SLICE + 3
        assert not desk.dropped

    vloop.run(main())


def test_a_dead_collector_is_asked_ever_more_seldom_and_calls_make_no_spans_meanwhile():
    async def main() -> None:
        desk, courier = Desk({GIVEN: "http://c", "OTEL_BSP_MAX_QUEUE_SIZE": "500"}), Counted()
        courier.takes = False
        desk.tracing._courier, desk.tracing.on = courier, True  # type: ignore[assignment]
        keeper = asyncio.ensure_future(desk.tracing.run())  # noqa: TID251  # the app's
        for _ in range(120):  # two minutes
            for _ in range(10):
                desk.retried()
            await asyncio.sleep(1.0)
        assert 7 == len(courier.sent)  # after 1, 3, 7, 15, 31, 61 and 91 s, and a little
        assert desk.dropped["queue_full"] > 0

        courier.takes = True
        await asyncio.sleep(module.RETRY + 2.0)
        assert not desk.tracing._queue
        desk.retried()
        await asyncio.sleep(module.EVERY + 0.1)
        assert 3 == courier.sent[-1]  # as often as ever
        keeper.cancel()
        await asyncio.wait([keeper])

    vloop.run(main())
