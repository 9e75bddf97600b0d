"""What the wire promises to a call that may act only once: it says what went out, and sends nothing twice."""

from __future__ import annotations

import pytest

from sidecar.model import Answered, Failed

from .conftest import Run
from .rig import JSON, Conversation, rig


async def two_then_gone(c: Conversation) -> None:
    """Answers once, takes the next request and closes: as a connection that turned out stale."""
    await c.request()
    await c.send(JSON)
    await c.request()


async def answers(c: Conversation) -> None:
    await c.request()
    await c.send(JSON)
    await c.closed()


@pytest.mark.parametrize("once", [True, False])
def test_a_kept_connection_is_not_trusted_with_what_may_act_once(run: Run, once: bool):
    async def main() -> None:
        async with rig(two_then_gone, answers) as r:
            assert isinstance((await r.ask())[0], Answered)
            assert isinstance((await r.ask(r.call(once=once)))[0], Answered)
            heads = [len(conversation.heads) for conversation in r.server.conversations]
            assert ([1, 1] if once else [2, 1]) == heads  # the other one was written twice
            for conversation in r.server.conversations:
                conversation.writer.close()

    run(main())


def test_a_request_that_went_out_says_so(run: Run):
    async def main() -> None:
        async with rig(answers) as r:
            call = r.call(once=True)
            await r.ask(call)
            assert call.record.attempts[0].sent
            r.server.conversations[0].writer.close()

    run(main())


def test_a_request_that_met_nobody_does_not(run: Run):
    async def main() -> None:
        async with rig(answers, port=9) as r:
            call = r.call(once=True)
            outcome, _ = await r.ask(call)
            assert isinstance(outcome, Failed)
            assert not call.record.attempts[0].sent

    run(main())
