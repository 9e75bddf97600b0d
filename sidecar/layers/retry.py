"""Retry: asks the same target again, where that is worth it [R4, R7, R8].

What may be repeated is the taxonomy's word (faults.HANDLING); how long to wait is the provider's,
else full jitter (core/backoff); how often is bounded three times: per target, per call, and by
the target's budget. A silent target is left, not asked again; only one that has nobody beside it
gets one more try, with half as much time again. A rejected answer is paid for, so it is asked for
once more at the most.

What a provider says about later calls (a wait, a quota, a key) is remembered here, because here
is known whether this call will ask again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from sidecar.core.backoff import Wait, wait
from sidecar.core.budget import Budget
from sidecar.core.waits import Waits
from sidecar.events import (
    OperatorAlert,
    RetryDenied,
    RetryPlanned,
    Shadowed,
    Tell,
)
from sidecar.faults import Charge, Handling, forbidden, handling
from sidecar.layers.cap import Affords
from sidecar.model import (
    Answered,
    Call,
    Clock,
    Failed,
    Fault,
    Kind,
    Outcome,
    Refused,
    Rng,
    Service,
    Sink,
    Stage,
    Target,
    Traffic,
    spent,
)
from sidecar.settings import RetryRules

STRETCH = 1.5
SILENT = frozenset({Fault.TIMEOUT, Fault.TTFT_TIMEOUT})


class Stop(StrEnum):
    """Why a target is not asked again; the words of retries_denied_total."""

    NOT_RETRYABLE = "not_retryable"
    COMMITTED = "committed"
    ATTEMPTS = "attempts"
    DEADLINE = "deadline"
    BUDGET = "budget"
    SENT = "sent"  # on a route that is not idempotent
    COST_CAP = "cost_cap"


@dataclass(frozen=True, slots=True)
class Retry:
    inner: Service
    target: Target
    rules: RetryRules
    background_attempts: int
    budget: Budget
    waits: Waits
    clock: Clock
    rng: Rng
    tell: Tell
    affords: Affords = lambda _: True

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        tries = 0
        failed: Failed | None = None
        while True:
            asked = self.clock.now()
            outcome = await self.inner(call, sink)
            if isinstance(outcome, Refused):
                # where the breaker closed the way between two tries the failure is the news
                return outcome if failed is None else failed
            tries += 1
            if tries == 1:
                self.budget.deposit(self.clock.now())  # only a call that was asked earns retries
            if isinstance(outcome, Answered):
                self._forget(call, asked)
                return outcome
            failed = outcome
            plan = self._again(call, failed, tries, sink)
            self._remember(call, failed, final=isinstance(plan, Stop))
            if call.shadow:
                if not isinstance(plan, Stop):
                    self.tell(Shadowed(call, "retry", failed.fault.value))
                return failed
            if isinstance(plan, Stop):
                if plan is not Stop.NOT_RETRYABLE:
                    self.tell(RetryDenied(call, failed.fault, plan.value))
                return failed
            self.tell(RetryPlanned(call, failed.fault, plan.seconds, plan.source))
            call.record.waited += plan.seconds
            await self.clock.sleep(plan.seconds)
            call = replace(call, kind=Kind.RETRY, stretch=STRETCH if failed.fault in SILENT else 1.0)

    def _again(self, call: Call, failed: Failed, tries: int, sink: Sink) -> Wait | Stop:
        """The wait before the next try, or why there is none."""
        rules = handling(failed, own_key=self.target.credential is None)
        lonely = call.alone and failed.fault in SILENT and call.stretch == 1.0
        if sink.stage is Stage.COMMITTED:
            return Stop.COMMITTED
        if not (rules.again or lonely) or not call.options.retry or forbidden(failed):
            return Stop.NOT_RETRYABLE
        if spent(call):
            return Stop.SENT
        # whoever is left in the chain keeps one of the call's attempts
        if (
            tries >= self._attempts(call, rules)
            or len(call.record.attempts) + call.others >= self.rules.per_call
        ):
            return Stop.ATTEMPTS
        if not self.affords(call):
            return Stop.COST_CAP
        now = self.clock.now()
        plan = wait(
            tries - 1, self.rules, self.rng, hint=failed.wait, left=call.deadline - now, alone=call.alone
        )
        if plan is None:
            return Stop.DEADLINE
        return plan if self.budget.withdraw(now) else Stop.BUDGET

    def _attempts(self, call: Call, rules: Handling) -> int:
        attempts = self.rules.attempts
        if call.traffic is Traffic.BACKGROUND:
            attempts = max(attempts, self.background_attempts)
        if rules.charge is Charge.GOOD:
            attempts = min(attempts, self.rules.quality_attempts)
        # whoever calls us repeats too: each of its tries takes one of ours
        return max(1, attempts - call.record.nested)

    def _remember(self, call: Call, failed: Failed, *, final: bool) -> None:
        rules = handling(failed, own_key=self.target.credential is None)
        if rules.alert:
            self.tell(OperatorAlert(call, self.target, failed.fault))
        if not rules.waits:
            return
        self.waits.remember(
            failed,
            self.clock.now(),
            provider=self.target.provider.name,
            model=self.target.model or call.ask.model,
            digest=digest(self.target, call),
            final=final,
        )

    def _forget(self, call: Call, asked: float) -> None:
        self.waits.forget(
            asked,
            provider=self.target.provider.name,
            model=self.target.model or call.ask.model,
            digest=digest(self.target, call),
        )


def digest(target: Target, call: Call) -> str:
    """Which key this attempt uses: ours, or the application's own."""
    return call.key_digest if target.credential is None else target.credential.digest
