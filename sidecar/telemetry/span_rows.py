"""Every span, attribute and event as a row of data, named once: builder, reference and tests read it here.

What the rows promise. The names of the GenAI and HTTP conventions are used where there are any; ours
begin with `llm_sidecar.`. Values are words of ours, numbers, or names that were checked to be no more
than names: no key, header, query or path stands in any span, and no prompt and no answer unless two
people opened that (telemetry.content).

Nothing on the call's own span says model, provider or tokens in the words of the conventions: whoever
adds up `gen_ai.usage.*` counts every token once, with the attempt that spent it.
"""

from __future__ import annotations

from sidecar.telemetry.words import Ended, Path

CALL_SPAN = "llm_sidecar.request"
EVENTS_MOST = 16  # of one call; then one that says how many are missing

CALL: dict[str, str] = {}  # attribute -> what it says
ATTEMPT: dict[str, str] = {}
EVENTS: dict[str, tuple[str, str]] = {}  # event -> its attributes, what it says


def _call(name: str, says: str) -> str:
    CALL[name] = says
    return name


def _attempt(name: str, says: str) -> str:
    ATTEMPT[name] = says
    return name


def _event(name: str, fields: str, says: str) -> str:
    EVENTS[name] = fields, says
    return name


# ---- on both ------------------------------------------------------------------------------

ERROR_TYPE = _call("error.type", "the fault that the application met, in the words of the taxonomy")
_attempt(ERROR_TYPE, "the attempt's fault; missing on success")
HTTP_STATUS = _call("http.response.status_code", "what the application saw; missing where it saw nothing")
_attempt(HTTP_STATUS, "what the provider answered; missing where it did not")
HTTP_METHOD = _call("http.request.method", "as it came; `_OTHER` for methods nobody knows")
_attempt(HTTP_METHOD, "as on the call")

# ---- the call -----------------------------------------------------------------------------

HTTP_ROUTE = _call("http.route", "the prefix the application used; never the path behind it")
CALL_ID = _call("llm_sidecar.call_id", "the id that logs use")
ROUTE = _call("llm_sidecar.route", "the route that took the call")
OPERATION = _call("llm_sidecar.operation", "`chat`, `embeddings` or `other`")
REQUESTED_MODEL = _call("llm_sidecar.requested_model", "what the application asked for")
PRIMARY_PROVIDER = _call("llm_sidecar.primary_provider", "the first of the chain, answering or not")
SERVED_PROVIDER = _call("llm_sidecar.served_provider", "whose answer the application got")
SERVED_MODEL = _call("llm_sidecar.served_model", "the model that was asked for that answer")
OUTCOME = _call("llm_sidecar.outcome", ", ".join(f"`{word}`" for word in Ended))
TIER = _call("llm_sidecar.tier", "`full`, `reduced`, `cached`, `static`, `deferred` or `none`")
PATH = _call("llm_sidecar.path", ", ".join(f"`{word}`" for word in Path))
TRAFFIC = _call("llm_sidecar.traffic", "`interactive` or `background`")
STREAM = _call("llm_sidecar.stream", "did the application ask for a stream?")
ATTEMPTS = _call("llm_sidecar.attempts", "exchanges with providers")
RETRIES = _call("llm_sidecar.retries", "those of them that asked the same target again")
FALLBACKS = _call("llm_sidecar.fallbacks", "those of them that asked another target")
DRAWN = _call(
    "llm_sidecar.drawn", "the target that was drawn from the chain's first group; missing without groups"
)
NESTED = _call("llm_sidecar.nested", "retries of the application's own client; missing where there are none")
JOB = _call(
    "llm_sidecar.job",
    "the deferred call that is worked off here; missing on what the application asked itself",
)
DEADLINE = _call("llm_sidecar.deadline_ms", "how long the call might wait; missing where for ever")
OVERHEAD = _call("llm_sidecar.overhead_ms", "the part of its time that was ours")
BACKOFF = _call("llm_sidecar.backoff_ms", "the part of its time that was waited between attempts")
COST = _call("llm_sidecar.cost_dollars", "of all its attempts whose price is known; missing where none is")
ESTIMATED = _call("llm_sidecar.cost.estimated", "`true` where any part of it is an estimate")
REASON = _call(
    "llm_sidecar.sampling.reason",
    "why an unsampled call was kept: `error`, `degraded`, `fallback`, `retry`, `violation` or `slow`",
)

# ---- the attempt --------------------------------------------------------------------------

GEN_OPERATION = _attempt("gen_ai.operation.name", "`chat`, `generate_content` or `embeddings`")
GEN_PROVIDER = _attempt("gen_ai.provider.name", "the conventions' name, else the configured one")
GEN_MODEL = _attempt("gen_ai.request.model", "the model that was asked")
GEN_STREAM = _attempt("gen_ai.request.stream", "`true` where the application asked for a stream")
GEN_MAX = _attempt("gen_ai.request.max_tokens", "where the request says")
GEN_CHOICES = _attempt("gen_ai.request.choice.count", "where it is not 1")
GEN_OUTPUT = _attempt("gen_ai.output.type", "`json` where structured output was asked for")
GEN_ANSWERING = _attempt("gen_ai.response.model", "the model that says it answered")
GEN_FINISHES = _attempt("gen_ai.response.finish_reasons", "per choice; `error` where a stream broke")
GEN_FIRST = _attempt("gen_ai.response.time_to_first_chunk", "seconds to the first content of a stream")
GEN_INPUT = _attempt("gen_ai.usage.input_tokens", "as the provider reports it, cached ones included")
GEN_TOKENS = _attempt("gen_ai.usage.output_tokens", "as the provider reports it, reasoning included")
GEN_CACHE_READ = _attempt("gen_ai.usage.cache_read.input_tokens", "part of the input")
GEN_CACHE_WRITE = _attempt("gen_ai.usage.cache_creation.input_tokens", "part of the input")
GEN_REASONING = _attempt("gen_ai.usage.reasoning.output_tokens", "part of the output")
GEN_SYSTEM = _attempt("gen_ai.system_instructions", "only where contents are captured: JSON, redacted")
GEN_ASKED = _attempt("gen_ai.input.messages", "likewise: the conversation, of a long one its end")
GEN_ANSWERED = _attempt("gen_ai.output.messages", "likewise: the answer, rejected or not")
CONTENT = _attempt(
    "llm_sidecar.content",
    "where contents are captured: `captured`, `cut` (not all of it) or `withheld` (could not be read or "
    "redacted, or too much is waiting)",
)
ADDRESS = _attempt("server.address", "the provider's configured host")
PORT = _attempt("server.port", "and port")
RESEND = _attempt("http.request.resend_count", "which retry of its target this is; missing on first tries")
NUMBER = _attempt("llm_sidecar.attempt.number", "from 1, over the whole call")
KIND = _attempt(
    "llm_sidecar.attempt.kind", "`initial`, `retry`, `fallback`, `hedge`, `continuation` or `probe`"
)
LOST = _attempt("llm_sidecar.attempt.lost_race", "`true` where another one, asked beside it, was faster")
WENT = _attempt(
    "llm_sidecar.attempt.outcome",
    "`success`, `provider_error`, `timeout`, `throttled`, `quality`, `caller_error` or `cancelled`",
)
TARGET = _attempt("llm_sidecar.attempt.target", "the configured target")
PROVIDER = _attempt("llm_sidecar.attempt.provider", "the configured provider")
MODEL = _attempt("llm_sidecar.attempt.model", "the model, also where gen_ai attributes are off")
BREAKER = _attempt("llm_sidecar.breaker.state_at_start", "`closed`, `half_open` or `open`")
REQUEST_ID = _attempt("llm_sidecar.provider_request_id", "the provider's own, for its support")
RETRY_AFTER = _attempt("llm_sidecar.retry_after_s", "the wait that the provider asked for, in seconds")
DISCARDED = _attempt("llm_sidecar.attempt.discarded_reason", "the signal that rejected a paid answer")
LOSSES = _attempt(
    "llm_sidecar.losses",
    "fields that the target was not told as they were, each with what became of it: `seed;dropped`",
)
_attempt(COST, "what it cost; missing where nobody knows the price")
_attempt(ESTIMATED, "`true` where the provider reported no usage, or the price is of a similar model")
PURPOSE = _attempt(
    "llm_sidecar.cost.purpose", "what for: `served`, `retry`, `fallback`, `hedge` or `quality_rejected`"
)
CHUNKS = _attempt("llm_sidecar.stream.chunks", "pieces of content in the stream")
MAX_GAP = _attempt("llm_sidecar.stream.max_gap_s", "the longest silence between two of them")

# ---- events on the call -------------------------------------------------------------------

RETRY_SCHEDULED = _event(
    "retry.scheduled", "attempt, reason, delay_s, source", "the target will be asked again"
)
RETRY_DENIED = _event("retry.denied", "reason, cause", "it would have been, but for the cause")
FALLBACK = _event("fallback", "from, to, reason", "the next target was asked")
HEDGE = _event(
    "hedge", "slow, beside, result", "another target was asked: `won`, `lost`, `failed`, `left` or `denied`"
)
CONTINUED = _event(
    "continuation", "left, to, result", "a stream broke off after commit: `whole`, `cut` or `nobody`"
)
DRILL = _event("drill", "target, error.type", "a fault was played in the target's place")
SHADOW = _event("shadow", "action, reason", "what a policy would have done, of a route in shadow")
JOINED = _event("joined", "how", "it took part in the answer of a call that is the same")
BREAKER_REJECTED = _event(
    "breaker.rejected", "target, provider, model, kind", "a breaker let nothing through"
)
SKIPPED = _event("target.skipped", "target, provider, reason", "passed over for another reason")
BREAKER_MOVED = _event(
    "breaker.transition", "target, provider, model, kind, from, to, trigger", "this call moved a breaker"
)
VIOLATION = _event("quality.violation", "target, signal, action, done", "a signal objected to an answer")
DEGRADED = _event("degraded", "tier, reason", "the application got less than a full answer")
CACHED = _event("cache", "result, age_s", "an answer that was given before was given again")
NESTED_RETRY = _event("retry.nested", "source", "the application's own client retries on top of us")
ALERT = _event("operator.alert", "target, error.type", "somebody has to act")
SHED = _event("shed", "reason", "refused at the door")
BUG = _event("internal_error", "error.type", "our own code failed; the call went past the policy")
TRUNCATED = _event("events_truncated", "count", f"so many more than {EVENTS_MOST} events happened")


def reference() -> str:
    """The page docs/reference/spans.md, whole."""
    lines = [
        "# Spans",
        "",
        "Written from `sidecar/telemetry/span_rows.py`; do not edit.",
        "A test compares the two. How to switch traces on is told in [Telemetry](../telemetry.md).",
        "",
        "```",
        "the application's own span      traceparent of its request",
        f" `- {CALL_SPAN}       SERVER  one per call, waits included",
        "     |- chat gpt-4o             CLIENT  the first attempt",
        "     |- chat gpt-4o             CLIENT  a retry; the wait before it is the gap",
        "     `- chat claude-sonnet      CLIENT  a fallback",
        "```",
        "",
        "An attempt that failed has status ERROR; a call only where the application met an error of ours or",
        "of a provider, so a call that a later attempt saved is UNSET.",
        "",
        f"## `{CALL_SPAN}`",
        "",
        *_table(CALL),
        "",
        "## Attempts",
        "",
        "Named by operation and model; by the HTTP method where the operation is not one of a dialect.",
        "`gen_ai.*` follows the GenAI conventions as they are deployed; `telemetry.genai_attributes: none`",
        "leaves all of it out.",
        "",
        *_table(ATTEMPT),
        "",
        f"## Events of a call, at most {EVENTS_MOST}",
        "",
        "| Event | Attributes | Meaning |",
        "|---|---|---|",
        *(f"| `{name}` | {fields} | {says} |" for name, (fields, says) in EVENTS.items()),
    ]
    return "\n".join(lines) + "\n"


def _table(rows: dict[str, str]) -> list[str]:
    head = ["| Attribute | Meaning |", "|---|---|"]
    return head + [f"| `{name}` | {says} |" for name, says in sorted(rows.items())]


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201  # the page, for a shell to put in its place
