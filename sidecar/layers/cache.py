"""Cache: an answer that was given before, where a route wants it [R20].

Two uses, each with its own limit in time. Within `fresh` the same question gets the same answer and
nobody is asked: that is the operator's wish, so it is no degraded answer (tier full, path cache), and no
provider's success either: there is no attempt, so no breaker, no baseline and no bill hears of it. Within
`stale` an answer stands in when everybody else has failed: tier cached, labelled, behind an answer that
was only rejected for its quality and before the static one. A call that has such an answer behind it
does not wait for a breaker's probe.

It stands outside Admit and Deadline, so that a call whose time is spent or that was shed still gets it,
and inside Degrade, which has what is less. A fresh answer comes from the first step of the chain as it
is configured now; a stale one may come from any target of the route. Key, model and place of a target
count: an answer from elsewhere is nobody's.

Kept are the bytes that the client got, once the call ended well; a client that leaves, a stream that is
cut and an answer with findings that count leave nothing. An answer kept as a stream serves a whole one
and the other way round: put together by the dialect's assembler, or said anew by its voice.

Not for the application's own mistakes, and not for its own refused key: whoever may not ask may not be
told either.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Self

from msgspec.structs import replace

from sidecar.core.admission import Admission
from sidecar.core.cache import LARGEST, Answers, AnswerStore, Stored, key_of, worth_keeping
from sidecar.core.nearest import Nearest
from sidecar.dialects.base import BadBody, Dialect
from sidecar.dialects.repeating import ARRAY, Likeness, likeness
from sidecar.dialects.writing import labelled
from sidecar.events import Cached, Degraded, Tell
from sidecar.hub import TONGUES
from sidecar.hub.conversation import Thinking, Unrepresentable
from sidecar.layers.degrade import LABEL, SERVED_BY, TIER, is_rejected, may_stand_in, reason_of
from sidecar.layers.embed import Embed, Learning
from sidecar.layers.translate import LOSSES
from sidecar.model import (
    Answered,
    Call,
    Chunk,
    Clock,
    Failed,
    Head,
    Headers,
    Kind,
    Operation,
    Outcome,
    Refused,
    Service,
    Sink,
    Stage,
    Target,
    Tier,
    latest,
)
from sidecar.settings import CacheRules

CACHE = b"x-llm-sidecar-cache"
AGE = b"age"
_JSON = b"application/json"
_EVENTS = b"text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Near:
    """What finds the nearest earlier question of a route."""

    embed: Embed
    nearest: Nearest
    learning: Learning
    threshold: float


@dataclass(frozen=True, slots=True)
class Cache:
    inner: Service
    rules: CacheRules
    targets: tuple[Target, ...]  # all of the route, the first one first
    strict: bool
    answers: Answers
    secret: bytes = field(repr=False)
    dialects: Mapping[str, Dialect]
    clock: Clock
    tell: Tell
    shared: AnswerStore | None = None
    near: Near | None = None
    first: int = 1  # so many of the targets are the first step of the chain
    room: Admission = field(kw_only=True)  # that all calls share for what they hold

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        like = self._like(call)
        if like is None:
            return await self.inner(call, sink)
        rules, now = self.rules, self.clock.now()
        key = self._key(call, like)
        found = self.answers.get(key, now, max(rules.fresh, rules.stale))
        if rules.fresh:
            if found is None and self.shared is not None:
                found = await self.shared.get(key, now)
            fresh = found if found is not None and self._fresh(found, call, now) else None
            wire = None if fresh is None else self._as_asked(fresh, call, like)
            if fresh is not None and wire is not None:
                return await self._serve_fresh(call, sink, fresh, wire)
            self.tell(Cached(call, "miss"))
        if found is not None and self._stands(found, call):
            call = replace(call, covered=True)
        with _Copy(sink, self.room, open=not self.answers.closed) as copy:
            outcome = await self.inner(call, copy)
            if isinstance(outcome, Answered):
                self._keep(call, like, key, copy, outcome)
                return outcome
        if sink.stage is Stage.COMMITTED or not self._wanted(call, outcome):
            return outcome
        if found is None and self.shared is not None and not rules.fresh:
            found = await self.shared.get(key, now)
        stale = found if found is not None and self._stands(found, call) else None
        wire = None if stale is None else self._as_asked(stale, call, like)
        similar = None
        if wire is None and self.near is not None:
            stale, similar = await self._nearest(self.near, call, like)
            wire = None if stale is None else self._as_asked(stale, call, like)
        if stale is None or wire is None:
            self.tell(Cached(call, "stale_miss"))
            return outcome
        return await self._serve_stale(call, sink, stale, wire, outcome, similar)

    # ---- what the call wants, and what may stand for it

    def _like(self, call: Call) -> Likeness | None:
        if not call.options.cache or (self.rules.scope == "tenant" and not call.options.tenant):
            return None
        return likeness(call.dialect, call.ask, call.path, call.query, call.body)

    def _key(self, call: Call, like: Likeness) -> bytes:
        return self._digest(call, like, like.written())

    def _digest(self, call: Call, like: Likeness, body: bytes, what: str = "") -> bytes:
        tenant = call.options.tenant
        words = (
            what,
            call.route,
            call.provider,
            call.dialect,
            call.ask.operation,
            like.path,
            like.query,
            tenant,
        )
        return key_of(self.secret, call.headers, (*(word.encode() for word in words), body))

    # ---- the nearest earlier question

    def _apart(self, call: Call, like: Likeness) -> tuple[bytes, str] | None:
        """The scope of a question, and the question; a form to be filled in has no nearest one."""
        if call.ask.json or call.ask.operation is not Operation.CHAT:
            return None
        found = like.apart(call.dialect)
        return None if found is None else (self._digest(call, like, found[0], "nearest"), found[1])

    async def _nearest(
        self, near: Near, call: Call, like: Likeness
    ) -> tuple[Stored, float] | tuple[None, None]:
        apart = self._apart(call, like)
        vector = None if apart is None else await near.embed.vector(apart[1])
        if apart is None or vector is None:
            return None, None
        found = near.nearest.find(apart[0], vector, near.threshold)
        if found is None:
            return None, None
        key, cosine = found
        stored = self.answers.get(key, self.clock.now(), self.rules.stale)
        if stored is None:
            near.nearest.drop(key)
            return None, None
        return (stored, cosine) if self._stands(stored, call) else (None, None)

    def _fresh(self, found: Stored, call: Call, now: float) -> bool:
        if now - found.at > self.rules.fresh:
            return False
        return any(found.source == _source(target, call) for target in self.targets[: self.first])

    def _stands(self, found: Stored, call: Call) -> bool:
        if self.clock.now() - found.at > self.rules.stale:
            return False
        return any(found.source == _source(target, call) for target in self.targets)

    def _wanted(self, call: Call, outcome: Failed | Refused) -> bool:
        """Is there nothing better, and is it not the application's to see?"""
        return may_stand_in(outcome, call, self.targets) and not is_rejected(outcome, strict=self.strict)

    # ---- keeping

    def _keep(self, call: Call, like: Likeness, key: bytes, copy: _Copy, outcome: Answered) -> None:
        head, attempt = copy.head, latest(call.record.attempts)
        if head is None or attempt is None or not copy.open:
            return
        if any(one.kind is Kind.CONTINUATION for one in call.record.attempts):
            return  # the half of one and the half of another
        plain = outcome.status == 200 and outcome.tier is Tier.FULL and not attempt.malformed
        if not plain or any(finding.action != "observe" for finding in outcome.findings):
            return
        if head.status != 200 or (head.get(b"content-encoding") or b"identity") != b"identity":
            return
        target = next((one for one in self.targets if one.name == attempt.target), None)
        content_type, body = head.get(b"content-type") or b"", b"".join(copy.pieces)
        if target is None or not worth_keeping(self.dialects[call.dialect], call.ask, content_type, body):
            return
        losses = head.get(LOSSES.lower()) or b""
        stored = Stored(body, content_type, like.form, _source(target, call), self.clock.now(), losses)
        if self.answers.put(key, stored):
            self.tell(Cached(call, "stored"))
            apart = None if self.near is None else self._apart(call, like)
            if self.near is not None and apart is not None:
                self.near.learning.later(self.near.embed, self.near.nearest, apart[0], key, apart[1])
        if self.shared is not None:
            self.shared.put(key, stored, max(self.rules.fresh, self.rules.stale))

    # ---- giving

    def _as_asked(self, found: Stored, call: Call, like: Likeness) -> tuple[bytes, bytes] | None:
        """Content type and body in the form that this call wants; None where it cannot be had."""
        if found.form == like.form:
            return found.content_type, found.body
        dialect, whole = self.dialects[call.dialect], found.body
        if found.form:
            assembler = dialect.assembler(found.content_type)
            if assembler is None:
                return None
            assembler.feed(found.body)
            put_together = assembler.close()
            if put_together is None:
                return None
            whole = put_together
        if not like.form:
            return _JSON, whole
        tongue = TONGUES.get(call.dialect)
        if tongue is None or like.form == ARRAY:
            return None
        try:
            conversation = tongue.read(call.path, call.body)
        except (BadBody, Unrepresentable):
            return None
        reader = dialect.reader(replace(call.ask, stream=False), _JSON)
        deltas = reader.feed(whole).deltas + reader.close().deltas
        silent = replace(conversation, thinking=Thinking())  # as in Translate
        voice = tongue.voice(silent, ident=call.id, created=int(self.clock.wall()))
        return _EVENTS, voice.say(deltas) + voice.end()

    async def _serve_fresh(self, call: Call, sink: Sink, found: Stored, wire: tuple[bytes, bytes]) -> Outcome:
        age = self._age(found)
        self.tell(Cached(call, "hit", age))
        labels = ((SERVED_BY, b"cache"), (TIER, Tier.FULL.value.encode()), (CACHE, b"hit"))
        await _send(sink, found, wire, age, labels)
        return Answered(200, tier=Tier.FULL, cached=True)

    async def _serve_stale(
        self,
        call: Call,
        sink: Sink,
        found: Stored,
        wire: tuple[bytes, bytes],
        instead: Failed | Refused,
        similar: float | None,
    ) -> Outcome:
        age, reason = self._age(found), reason_of(instead)
        self.tell(Cached(call, "stale_hit" if similar is None else "semantic_hit", age))
        self.tell(Degraded(call, Tier.CACHED, reason))
        labels = (
            (SERVED_BY, b"cache"),
            (TIER, Tier.CACHED.value.encode()),
            (LABEL, reason.encode()),
            (
                CACHE,
                b"stale" if similar is None else b"semantic;similarity=%.2f" % (int(similar * 100) / 100),
            ),
        )
        await _send(sink, found, (wire[0], labelled(*wire, Tier.CACHED)), age, labels)
        return Answered(200, tier=Tier.CACHED)

    def _age(self, found: Stored) -> float:
        return max(0.0, self.clock.now() - found.at)


def _source(target: Target, call: Call) -> str:
    """Who answered, as far as an answer depends on it."""
    provider, credential = target.provider, target.credential
    place = f"{provider.scheme}://{provider.host}:{provider.port}{provider.base_path}"
    key = "" if credential is None else credential.digest
    return f"{provider.name} {place} {target.model or call.ask.model} {key}"


async def _send(sink: Sink, found: Stored, wire: tuple[bytes, bytes], age: float, labels: Headers) -> None:
    content_type, body = wire
    said: Headers = ((b"Content-Type", content_type),)
    if not content_type.startswith(b"text/event-stream"):
        said += ((b"Content-Length", b"%d" % len(body)),)
    if found.losses:
        said += ((LOSSES, found.losses),)
    await sink.start(Head(200, "", (*said, (AGE, b"%d" % age), *labels)))
    await sink.send(Chunk(body))


@dataclass(slots=True)
class _Copy:
    """The sink, and what went into it, as long as that may be kept (`open`) and there is room for it."""

    sink: Sink
    room: Admission
    open: bool
    head: Head | None = None
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0  # bytes of the room that are taken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()

    def _let_go(self) -> None:
        self.open = False
        self.pieces.clear()
        self.room.let_go(self.size)
        self.size = 0

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    async def start(self, head: Head) -> None:
        self.head = head
        await self.sink.start(head)

    def send(self, chunk: Chunk) -> Awaitable[None]:
        if self.open:
            more = len(chunk.raw)
            if self.size + more <= LARGEST and self.room.keep(more):
                self.size += more
                self.pieces.append(chunk.raw)
            else:
                self._let_go()
        return self.sink.send(chunk)
