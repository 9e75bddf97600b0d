"""The real process and a real collector: what comes out, what it costs, how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from sidecar.provider import Behaviour as Do
from sidecar.settings import CONTENT_VARIABLE
from sidecar.telemetry import span_rows as rows
from tests.kit.world import Sidecar, World, sidecar
from tests.telemetry.receiver import Collector, black_hole, over_grpc, over_http, plain
from tests.telemetry.traced import PARENT, TRACE

pytestmark = pytest.mark.process
CANARY = "canary-5e1b"
LIMIT = 60 * 1024  # KiB of a sidecar that traces over HTTP


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def ask(
    world: World, process: Sidecar, provider: str, headers: Mapping[str, str], **more: Any
) -> dict[str, str]:
    """Sends a chat; the headers of the answer, whose status has to be 200."""
    body = {"model": "m", "messages": [{"role": "user", "content": CANARY}], **more}
    url = f"{process.url(provider)}/v1/chat/completions"
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json", **headers})  # noqa: S310  # loopback

    def fetch() -> dict[str, str]:
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            answer.read()
            return {name.lower(): value for name, value in answer.headers.items()}

    return world.runner.run(asyncio.to_thread(fetch))


def metric(process: Sidecar, name: str) -> float:
    with urlopen(f"http://127.0.0.1:{process.admin}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


def memory_of(process: Sidecar) -> int:
    """KiB, as the benchmark counts it: pages that processes share are divided among them."""
    found = re.search(r"Pss:\s+(\d+) kB", Path(f"/proc/{process.process.pid}/smaps_rollup").read_text())
    assert found
    return int(found[1])


def export(monkeypatch: pytest.MonkeyPatch, url: str, protocol: str = "http/protobuf") -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)


@pytest.mark.parametrize(("protocol", "receiver"), [("http/protobuf", over_http), ("grpc", over_grpc)])
def test_a_call_is_one_trace_from_the_application_to_the_provider(
    world: World, protocol: str, receiver: Any, monkeypatch: pytest.MonkeyPatch
):
    world.vendor("a", "openai_chat", [Do("server_error"), Do("ok")])
    world.vendor("b", "openai_chat", [Do("ok")])
    world.providers["a"]["propagate_trace"] = True
    with receiver() as collector:
        export(monkeypatch, collector.url, protocol)
        with sidecar(world.config) as process:
            sent = {
                "traceparent": f"00-{TRACE}-{PARENT}-01",
                "authorization": f"Bearer {CANARY}",
                "baggage": f"user={CANARY}",
                "x-anything": CANARY,
            }
            first = ask(world, process, "a", sent)
            ask(world, process, "b", {"x-anything": CANARY}, stream=True)
            spans = collector.wait(5)
            counted = metric(process, "llm_sidecar_attempts_total")
            dropped = metric(process, "llm_sidecar_telemetry_dropped_total")
            memory = memory_of(process)

    calls = [span for span in spans if span.name == rows.CALL_SPAN]
    attempts = [span for span in spans if span.name != rows.CALL_SPAN]
    ours = [span for span in spans if span.trace_id.hex() == TRACE]
    seen = [exchange.header("traceparent") for exchange in world.vendors["a"].log]
    assert (2, 3, 3.0, 0.0) == (len(calls), len(attempts), counted, dropped)
    assert 3 == len(ours)
    assert PARENT == ours[0].parent_span_id.hex()
    assert TRACE == first["x-llm-sidecar-trace-id"]
    # the provider's own spans would hang below the attempt that asked for them
    assert [f"00-{TRACE}-{span.span_id.hex()}-01" for span in ours[1:]] == seen
    assert CANARY not in str(collector.requests)
    streamed = next(plain(span.attributes) for span in attempts if span not in ours)
    assert True is streamed[rows.GEN_STREAM]
    assert streamed[rows.CHUNKS] > 0
    if protocol == "http/protobuf":
        assert memory < LIMIT


def test_a_provider_hears_of_no_trace_unless_it_is_told_to(world: World, monkeypatch: pytest.MonkeyPatch):
    world.vendor("a", "openai_chat", [Do("ok")])
    sent = f"00-{TRACE}-{PARENT}-01"
    with over_http() as collector:
        export(monkeypatch, collector.url)
        with sidecar(world.config) as process:
            ask(world, process, "a", {})
            ask(world, process, "a", {"traceparent": sent})

    # a private one gets the application's own, as it came
    assert [None, sent] == [exchange.header("traceparent") for exchange in world.vendors["a"].log]


def test_nothing_of_opentelemetry_is_imported_where_nothing_is_exported(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.vendor("a", "openai_chat", [Do("ok")])
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with sidecar(world.config) as process:
        ask(world, process, "a", {})
        mapped = Path(f"/proc/{process.process.pid}/maps").read_text()

    assert "google/_upb" not in mapped
    assert "grpc" not in mapped


@pytest.mark.parametrize("turned", [True, False])
def test_contents_take_the_file_and_the_environment(
    world: World, turned: bool, monkeypatch: pytest.MonkeyPatch
):
    """One call before and one after the reload that turns the first key; the second is turned or not."""
    world.vendor("a", "openai_chat", [Do("ok")])
    monkeypatch.setenv(CONTENT_VARIABLE, "true" if turned else "")
    secret = f"sk-proj-{CANARY}-0123456789"
    asked = [{"role": "user", "content": f"how is Bonn? {secret}"}]
    with over_http() as collector:
        export(monkeypatch, collector.url)
        with sidecar({**world.config, "telemetry": {"genai_metrics": True}}) as process:
            ask(world, process, "a", {}, messages=asked)
            collector.wait(2)
            shut = str(collector.requests)
            assert 1.0 == metric(process, "gen_ai_client_operation_duration_seconds_count")
            process.config.write_text(json.dumps({**world.config, "telemetry": {"capture_content": True}}))
            process.process.send_signal(signal.SIGHUP)
            for _ in range(100):
                ask(world, process, "a", {}, messages=asked, stream=True)
                if metric(process, "gen_ai_client_operation_duration_seconds_count") == 0.0:
                    break
            ask(world, process, "a", {}, messages=asked, stream=True)
            with urlopen(f"http://127.0.0.1:{process.admin}/metrics", timeout=30) as answer:
                scraped = answer.read().decode()

    captured = [plain(span.attributes) for span in collector.spans if span.name == "chat m"][-1]
    assert "Bonn" not in shut
    assert "Bonn" not in scraped
    assert CANARY not in str(collector.requests)
    assert turned == ("Bonn" in str(captured.get(rows.GEN_ASKED)))
    assert turned == bool(captured.get(rows.GEN_ANSWERED))


def test_what_is_left_is_sent_when_the_process_ends(world: World, monkeypatch: pytest.MonkeyPatch):
    world.vendor("a", "openai_chat", [Do("ok")])
    with over_http() as collector:
        export(monkeypatch, collector.url)
        with sidecar(world.config) as process:
            ask(world, process, "a", {})
        assert 2 == len(collector.spans)  # it has ended


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_says_nothing_slows_neither_calls_nor_the_end(
    world: World, protocol: str, monkeypatch: pytest.MonkeyPatch
):
    world.vendor("a", "openai_chat", [Do("ok")])
    with black_hole() as where:
        export(monkeypatch, where, protocol)
        with sidecar(world.config) as process:
            for _ in range(5):
                ask(world, process, "a", {})
            began = time.perf_counter()
            process.process.send_signal(signal.SIGTERM)
            assert 0 == process.process.wait(10)
            took = time.perf_counter() - began

    assert took < 3.0  # 1.5 s for the collector, the rest for an interpreter to end on a busy machine


def test_a_reload_changes_what_is_kept(world: World, monkeypatch: pytest.MonkeyPatch):
    world.vendor("a", "openai_chat", [Do("ok")])
    with over_http() as collector:
        export(monkeypatch, collector.url)
        with sidecar({**world.config, "telemetry": {"sample_ratio": 0.0}}) as process:
            ask(world, process, "a", {})
            process.config.write_text(json.dumps({**world.config, "telemetry": {"sample_ratio": 1.0}}))
            process.process.send_signal(signal.SIGHUP)
            _until_sent(world, process, collector)

    assert {rows.CALL_SPAN, "chat m"} == {span.name for span in collector.spans}


def _until_sent(world: World, process: Sidecar, collector: Collector) -> None:
    for _ in range(100):
        ask(world, process, "a", {})
        with collector.came:
            if collector.came.wait_for(lambda: bool(collector.spans), 0.1):
                return
    raise AssertionError("nothing came")
