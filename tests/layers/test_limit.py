from __future__ import annotations

import asyncio
import gc
import weakref
from math import inf

import pytest

from sidecar.layers.limit import Limit
from tests.kit.vloop import run


def now() -> float:
    return asyncio.get_running_loop().time()


def test_it_fires_at_its_end():
    async def main() -> None:
        with pytest.raises(TimeoutError), Limit(lambda: 3.0):
            await asyncio.sleep(10)
        assert 3.0 == now()

    run(main())


def test_an_end_that_moves_away_costs_no_call_and_is_seen():
    end = 3.0

    async def main() -> None:
        nonlocal end
        with pytest.raises(TimeoutError), Limit(lambda: end):
            await asyncio.sleep(2)
            end = 7.0
            await asyncio.sleep(10)
        assert 7.0 == now()

    run(main())


def test_an_end_that_comes_nearer_is_announced():
    end = inf

    async def main() -> None:
        nonlocal end
        limit = Limit(lambda: end)
        with pytest.raises(TimeoutError), limit:
            await asyncio.sleep(1)
            end = 2.0
            limit.nearer()
            await asyncio.sleep(10)
        assert 2.0 == now()

    run(main())


def test_work_that_is_done_in_time_leaves_no_timer():
    async def main() -> None:
        with Limit(lambda: 5.0):
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        assert 11.0 == now()

    run(main())


class Owner:
    """As a layer's sink: it holds the limit that asks it."""

    def __init__(self) -> None:
        self.limit = Limit(self.due)

    def due(self) -> float:
        return 5.0


def test_what_it_asked_goes_with_its_last_user_and_not_with_the_collector_of_cycles():
    async def limited() -> weakref.ref[Owner]:
        owner = Owner()
        with owner.limit:
            await asyncio.sleep(1)
        owner.limit.nearer()  # too late, and no harm
        return weakref.ref(owner)

    gc.disable()
    try:
        assert run(limited())() is None
    finally:
        gc.enable()


def test_a_cancellation_from_elsewhere_passes_as_it_is():
    async def limited() -> None:
        with Limit(lambda: 5.0):
            await asyncio.sleep(10)

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(limited())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 1.0 == now()

    run(main())


def test_both_at_once_is_a_cancellation():
    async def limited() -> None:
        with Limit(lambda: 5.0):
            await asyncio.sleep(10)

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(limited())
        asyncio.get_running_loop().call_at(5.0, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_an_inner_limit_does_not_spend_an_outer_one():
    async def main() -> None:
        with pytest.raises(TimeoutError), Limit(lambda: 9.0):
            with pytest.raises(TimeoutError), Limit(lambda: 2.0):
                await asyncio.sleep(10)
            await asyncio.sleep(100)
        assert 9.0 == now()

    run(main())
