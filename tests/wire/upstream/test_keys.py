"""Whose credential goes where."""

from __future__ import annotations

import pytest

from sidecar.model import AuthStyle, Refused, RefusedBy, Target

from .conftest import Run
from .rig import JSON, Conversation, Key, rig


async def answers(c: Conversation) -> None:
    while True:
        await c.request()
        await c.send(JSON)


APP = (
    (b"Authorization", b"Bearer sk-app"),
    (b"X-Api-Key", b"sk-app"),
    (b"api-key", b"sk-app"),
    (b"X-Goog-Api-Key", b"sk-app"),
    (b"Cookie", b"sk-app"),
    (b"traceparent", b"00-1"),
    (b"baggage", b"user=1"),
    (b"X-Stainless-Lang", b"python"),
)


@pytest.mark.parametrize("auth", list(AuthStyle))
def test_an_injected_key_replaces_every_credential_of_the_application(run: Run, auth: str) -> None:
    async def main() -> None:
        async with rig(answers, auth=auth, key=Key()) as r:
            await r.ask(r.call(headers=APP, query="key=sk-app&alt=sse&%6bey=sk-app"))
            head = r.server.conversations[0].heads[0]

        assert b"sk-app" not in head
        assert head.count(b"sk-injected") == 1
        assert (b"\r\nauthorization: Bearer sk-injected\r\n" in head) == (auth == "authorization")
        assert auth.encode() + b": " in head
        assert b"?alt=sse HTTP/1.1\r\n" in head
        assert b"X-Stainless-Lang: python\r\n" in head

    run(main())


def test_the_applications_own_key_passes_to_the_provider_it_named(run: Run) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            await r.ask(r.call(headers=APP, query="key=sk-app"))
            head = r.server.conversations[0].heads[0]

        assert head.count(b"sk-app") == 6

    run(main())


@pytest.mark.parametrize("key", [None, Key(None)])
def test_another_provider_without_a_key_is_not_asked(run: Run, key: Key | None) -> None:
    async def main() -> None:
        async with rig(answers, key=key, name="other") as r:
            outcome, _ = await r.ask(r.call(headers=APP))
            assert r.server.conversations == []

        assert isinstance(outcome, Refused)
        assert outcome.by is RefusedBy.NO_CREDENTIAL
        assert "sk-" not in repr(outcome)

    run(main())


@pytest.mark.parametrize("private", [True, False])
def test_traces_leave_to_private_providers_only(run: Run, private: bool) -> None:
    async def main() -> None:
        from sidecar.upstream.request import Request, form

        async with rig(answers, private=private) as r:
            request = form(r.call(headers=APP), Target(name="t", provider=r.provider))

        assert isinstance(request, Request)
        assert private == (b"traceparent: 00-1" in request.head)
        assert private == (b"baggage: user=1" in request.head)

    run(main())
