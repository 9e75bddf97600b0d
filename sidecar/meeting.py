"""The Redis where pods meet: one round trip a second, and nothing that is read there is trusted.

News lie in a stream, trimmed and with a time to live, and are read from its newest end, so that nobody
has to remember where he was: what is flushed, filled with garbage or taken over by a replica is read
again as it then is. Leases are keys that end by themselves. What of ours is not what we wrote - another
type, an entry that bars all later ones, one that is larger than any of ours - is deleted: every pod
writes it anew.

This is the only module that knows the client library, an extra, which is imported when it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ssl import SSLCertVerificationError, SSLError
from typing import Any, Protocol

from sidecar.core.fleet import LARGEST, VERSION

NEWEST = 256  # entries read at a time
KEPT = 1024  # entries in the stream, about
STREAM_ENDS = 900_000  # ms, later than the longest wait that is told in it
CONNECT = 1.0  # seconds for a connection and its handshakes


class Unavailable(Exception):  # a word for the state of the meeting place
    """`reason`: auth, connection, reply, setup, timeout or tls; `detail` is ours and quotes nothing."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Claim:
    """For the lease of one probe."""

    name: str
    value: bytes
    held: bool  # by us, as far as we know: prolong it
    anew: bool = False  # what lies there is no lease of ours: write over it


@dataclass(frozen=True, slots=True)
class Answer:
    """What was there. `leases`, one for each claim, and for how many seconds: what lies there now; where a
    lease was prolonged, what lay there before, which may have become another pod's."""

    entries: Sequence[tuple[bytes, bytes]]  # id and value, oldest first
    leases: Sequence[tuple[bytes, float]]
    trouble: str = ""  # a reason: not all was done


class Meeting(Protocol):
    async def exchange(
        self, news: Sequence[bytes], since: float, claims: Sequence[Claim], lease: float
    ) -> Answer:
        """Publish, read what was published after `since` (Unix time), claim. Raises Unavailable."""
        ...

    async def close(self) -> None: ...


class RedisMeeting:
    """One connection, made when it is first needed and after each failure. `limit` bounds a round trip."""

    def __init__(self, url: str, prefix: str, limit: float) -> None:
        self._url = url
        self._stream = f"{prefix}:{VERSION}:news"
        self._lease = f"{prefix}:{VERSION}:probe:"
        self._limit = limit
        self._client: Any = None

    async def exchange(
        self, news: Sequence[bytes], since: float, claims: Sequence[Claim], lease: float
    ) -> Answer:
        try:
            client = self._client
            if client is None:
                client = self._client = await asyncio.to_thread(_client, self._url)
                async with asyncio.timeout(CONNECT):
                    await client.ping()
            async with asyncio.timeout(self._limit):
                replies = await self._ask(client, news, since, claims, lease)
                return await self._read(client, replies, len(news), claims)
        except Unavailable:
            await self.close()
            raise
        except Exception as error:  # noqa: BLE001  # a library's, and a server's
            await self.close()
            raise _unavailable(error) from None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                async with asyncio.timeout(self._limit):
                    await client.aclose()
            except Exception:  # noqa: S110, BLE001  # nothing is asked of it any more
                pass

    async def _ask(
        self, client: Any, news: Sequence[bytes], since: float, claims: Sequence[Claim], lease: float
    ) -> list[Any]:
        pipe = client.pipeline(transaction=False)
        for value in news:
            pipe.xadd(self._stream, {b"v": value}, maxlen=KEPT, approximate=True)
        pipe.pexpire(self._stream, STREAM_ENDS)
        pipe.xrevrange(self._stream, "+", str(max(0, int(since * 1000))), count=NEWEST)
        for claim in claims:
            key, renew = self._lease + claim.name, claim.held and not claim.anew
            new = not claim.held and not claim.anew
            pipe.set(key, claim.value, px=int(lease * 1000), nx=new, xx=renew, get=renew)
            pipe.getrange(key, 0, LARGEST)
            pipe.pttl(key)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies

    async def _read(self, client: Any, replies: list[Any], sent: int, claims: Sequence[Claim]) -> Answer:
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        lying, leases = replies[sent + 1], replies[sent + 2 :]
        entries = [] if isinstance(lying, Exception) else [_entry(item) for item in reversed(lying)]
        spoilt = any(len(value) > LARGEST for _, value in entries)
        trouble = "reply" if errors or spoilt else ""
        if errors:
            worst = _unavailable(errors[0])
            if worst.reason != "reply":
                raise worst
        if spoilt or any(_spoilt(error) for error in errors):
            names = [self._lease + claim.name for claim in claims]
            await client.unlink(self._stream, *names)
        return Answer(
            entries,
            [
                (_bytes(leases[at]) or _bytes(leases[at + 1]), max(0, _int(leases[at + 2])) / 1000)
                for at in range(0, len(leases), 3)
            ],
            trouble,
        )


def _client(url: str) -> Any:
    """Not connected yet. For a thread: importing, and reading all CAs, takes longer than a call may wait."""
    try:
        from redis.asyncio import Redis, SSLConnection
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise Unavailable("setup", "needs a client: pip install 'llm-sidecar[redis]'") from None
    try:
        made = Redis.from_url(
            url,
            protocol=2,
            decode_responses=False,
            single_connection_client=True,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            socket_connect_timeout=CONNECT,
        )
    except (ValueError, TypeError):  # whose text may quote it
        raise Unavailable("setup", "is no url such as rediss://:PASSWORD@redis.example.com:6379/0") from None
    pool: Any = made.connection_pool
    if issubclass(pool.connection_class, SSLConnection):
        tls = SSLConnection(**pool.connection_kwargs).ssl_context
        try:
            tls.get()
        except (OSError, ValueError):  # what the url names as its CAs or certificate is none
            raise Unavailable("setup", "names a file for TLS that cannot be read") from None

        def connection(**given: Any) -> Any:
            secure = SSLConnection(**given)
            secure.ssl_context = tls
            return secure

        pool.connection_class = connection
    return made


def _entry(item: Any) -> tuple[bytes, bytes]:
    """An entry that has no value of ours is one with an empty value, which nobody believes."""
    try:
        which, fields = item
        return _bytes(which), _bytes(fields.get(b"v"))
    except (TypeError, ValueError, AttributeError):
        return b"", b""


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _spoilt(error: Exception) -> bool:
    """Another type, or a last entry after which none can come."""
    text = str(error)
    return "WRONGTYPE" in text or "ID specified in XADD" in text or "last possible ID" in text


_UNKNOWN = "of a CA that is not known here: name the CA's file in the url, ?ssl_ca_certs=PATH"
_DOUBTS = {  # OpenSSL's X509_V_ERR_*
    9: "that is not valid yet",
    10: "that has expired",
    62: "for another host name than the url's",
    64: "for another address than the url's",
}


def _unavailable(error: Exception) -> Unavailable:
    """By the kind of error; what a server says is not repeated."""
    from redis import exceptions as told

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SSLError):  # the library's own hide it
        cause = cause.__cause__ or cause.__context__
    match cause or error:
        case SSLCertVerificationError(verify_code=code):
            return Unavailable("tls", f"has a certificate {_DOUBTS.get(code, _UNKNOWN)}")
        case SSLError():
            return Unavailable("tls", "does not speak TLS, or not as we do")
        case TimeoutError() | told.TimeoutError():
            return Unavailable("timeout", "does not answer in time")
        case told.AuthenticationError() | told.NoPermissionError():
            return Unavailable("auth", "refuses the user, the password or a command")
        case told.ResponseError():
            said = str(error)
            if said.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
                return Unavailable("auth", "refuses the user, the password or a command")
            return Unavailable("reply", "does not do what it is told")
        case OSError() | told.ConnectionError():
            return Unavailable("connection", "cannot be reached")
        case _:
            return Unavailable("reply", f"cannot be understood: {type(error).__name__}")


class Shelf(Protocol):
    """Where values lie by name. Raises Unavailable."""

    async def connect(self) -> None: ...  # at once where it is
    async def get(self, name: str) -> bytes: ...  # empty: nothing lies there, or nobody is connected
    async def set(self, name: str, value: bytes, seconds: float) -> None: ...
    async def close(self) -> None: ...


class RedisShelf:
    """Answers of the cache, over a connection of their own."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = f"{prefix}:1:answer:"
        self._made: Any = None  # perhaps not connected yet
        self._client: Any = None

    async def connect(self) -> None:
        if self._client is not None:
            return
        try:
            self._made = await asyncio.to_thread(_client, self._url)
            async with asyncio.timeout(CONNECT):
                await self._made.ping()
            self._client = self._made
        except Exception as error:  # noqa: BLE001  # a library's, and a server's
            raise await self._gone(error) from None

    async def get(self, name: str) -> bytes:
        if self._client is None:
            return b""
        try:
            return _bytes(await self._client.get(self._prefix + name))
        except Exception as error:  # noqa: BLE001  # a library's, and a server's
            raise await self._gone(error) from None

    async def set(self, name: str, value: bytes, seconds: float) -> None:
        try:
            async with asyncio.timeout(CONNECT):
                await self.connect()
                await self._client.set(self._prefix + name, value, px=max(1, int(seconds * 1000)))
        except Exception as error:  # noqa: BLE001  # as above
            raise await self._gone(error) from None

    async def _gone(self, error: Exception) -> Unavailable:
        await self.close()
        return error if isinstance(error, Unavailable) else _unavailable(error)

    async def close(self) -> None:
        client, self._made, self._client = self._made, None, None
        if client is not None:
            try:
                async with asyncio.timeout(CONNECT):
                    await client.aclose()
            except Exception:  # noqa: S110, BLE001  # nothing is asked of it any more
                pass
