"""Which of the many things a limit can mean [R2].

A limit per minute is waited for; one per day, month or account is not; a request larger than
the limit never fits. What tells them apart, in this order: Google's names of the quotas that were
hit (their sentence is the same for all), the sentence, the counters in the headers.
"""

from __future__ import annotations

import re

from sidecar.classify.answer import Answer
from sidecar.model import Fault

# "Limit 30000, Requested 40000": the limit is smaller than this request alone
_SIZES = re.compile(
    r"limit:? ([\d,]{1,15})\b[^\d]{1,20}(?:used:? [\d,]{1,15}[^\d]{1,12})?requested:? ([\d,]{1,15})"
)
_TOO_LARGE = re.compile(r"request (?:is )?too large|exceeds the (?:token|rate) limit.{0,40}single request")
_NOTHING_GRANTED = re.compile(r"\blimit: 0\b")  # Gemini: this model is not in the project's tier
_CONCURRENT = re.compile(r"concurren|并发|simultaneous|parallel requests|in[- ]flight|too many connections")
_RAMP = re.compile(
    r"acceleration|increase rate|ramp up|increased? too (?:quickly|fast)|more gradually"
    r"|gradually increase|burst rate"
)
_MONTH = re.compile(r"per[ _-]?month|monthly|/ ?month|this month|billing (?:cycle|period)")
_DAY = re.compile(
    r"per[ _-]?day|\([rt]pd\)|\b[rt]pd:|\bdaily\b|/ ?day\b|a day\b|byday|per 86400|86400 ?s"
    r"|per[ _-]?week|weekly|24[ -]?hours?|midnight"
)
_TOKENS = re.compile(
    r"\btokens?[ _-]?(?:used |usage )?(?:per|/|each)|\btpm\b|\btps\b|tokens? (?:rate |usage "
    r"|throughput )?(?:limit|quota)|too many (?:\w{1,12} )?tokens|tokens? (?:has|have) been|tokensper"
    r"|token_count|number of \w{0,10} ?tokens|_tokens_per"
)
_REQUESTS = re.compile(
    r"\brequests?[ _-]?(?:per|/|each)|\b[rq]p[ms]\b|\b(?:call|calls|requests?) (?:rate|count|limit)"
    r"|(?:calls?|queries|generations) ?(?:per|/|and)|requests rate|\bqueries\b"
    r"|requests? too (?:quickly|fast|frequently)|too many requests (?:in|within|per|for|have|sent)"
    r"|(?:sent|sending|making|made) too many requests|too frequent|requestsper|_requests_per"
    r"|number of requests?\b|byminute"
)
_SHORT_SPAN = re.compile(r"(?:per[ _-]?|/ ?)(?:min|sec|hour)")
_QUOTA_GONE = re.compile(
    r"exceeded your (?:current |\w{1,12} )?quota|quota (?:has been |is |was |limit )?(?:exhausted"
    r"|exceeded|reached|depleted|used up)|(?:insufficient|out of|no|not enough) [\w ]{0,16}quota"
    r"|exceeded (?:the |its |your )?(?:\w{1,12} )?quota|usage limit"
)
_TOKEN_KINDS = frozenset(
    ("tokens", "inputtokens", "outputtokens", "dynamictokenlimited", "throttlingallocationquota")
)
_REQUEST_KINDS = frozenset(("requests", "limitrequests", "dynamicrequestlimited", "throttlingratequota"))


def limit(answer: Answer, *, hinted: bool) -> Fault:
    """`hinted`: the provider named a time, so it is something that time heals."""
    text = answer.text
    if answer.quota:
        return _named_quota(answer)
    if _TOO_LARGE.search(text) or _larger(text):
        return Fault.RATE_LIMIT_REQUEST_TOO_LARGE
    if _NOTHING_GRANTED.search(text):
        return Fault.QUOTA_EXHAUSTED
    if _RAMP.search(text):
        return Fault.RATE_LIMIT_ACCELERATION
    if _CONCURRENT.search(text):
        return Fault.RATE_LIMIT_CONCURRENCY
    if _DAY.search(text):
        return Fault.RATE_LIMIT_DAILY
    if _MONTH.search(text):
        return Fault.QUOTA_EXHAUSTED
    counted = _counted(answer, text)
    if counted is not None:
        return counted
    # Google calls its limits per minute a quota too
    if "resourceexhausted" in answer.kinds and "check your plan" not in text:
        return _exhausted(answer.headers) or Fault.RATE_LIMIT_UNKNOWN
    if not hinted and _QUOTA_GONE.search(text):
        return Fault.QUOTA_EXHAUSTED
    return _exhausted(answer.headers) or Fault.RATE_LIMIT_UNKNOWN


def _named_quota(answer: Answer) -> Fault:
    quota = answer.quota
    if _NOTHING_GRANTED.search(answer.text) and "limit: 0" in answer.text:
        return Fault.QUOTA_EXHAUSTED
    if _DAY.search(quota):
        return Fault.RATE_LIMIT_DAILY
    if _MONTH.search(quota):
        return Fault.QUOTA_EXHAUSTED
    if "concurren" in quota:
        return Fault.RATE_LIMIT_CONCURRENCY
    if "token" in quota:
        return Fault.RATE_LIMIT_TPM
    return Fault.RATE_LIMIT_RPM if "request" in quota else Fault.RATE_LIMIT_UNKNOWN


def _larger(text: str) -> bool:
    found = _SIZES.search(text) if "requested" in text else None
    if not found:
        return False
    allowed, wanted = (int(size.replace(",", "") or 0) for size in found.groups())
    return wanted > allowed > 1


def _counted(answer: Answer, text: str) -> Fault | None:
    tokens = _TOKENS.search(text) if "token" in text or "tp" in text else None
    requests = _REQUESTS.search(text)
    if tokens and requests:  # "60 queries and 60000 tokens per minute": the counters may know
        return _exhausted(answer.headers) or Fault.RATE_LIMIT_RPM
    if tokens or not answer.kinds.isdisjoint(_TOKEN_KINDS):
        return Fault.RATE_LIMIT_TPM
    if requests or not answer.kinds.isdisjoint(_REQUEST_KINDS):
        return Fault.RATE_LIMIT_RPM
    if "throttlingexception" in answer.kinds and "too many requests" in text:
        return Fault.RATE_LIMIT_RPM  # AWS says "too many tokens" for the other one
    return Fault.RATE_LIMIT_RPM if _SHORT_SPAN.search(text) else None


def _exhausted(headers: dict[bytes, str]) -> Fault | None:
    for key, value in headers.items():
        if b"ratelimit" in key and b"remaining" in key and value.strip() in {"0", "-1", "0.0"}:
            if b"token" in key:
                return Fault.RATE_LIMIT_TPM
            if b"request" in key:
                return Fault.RATE_LIMIT_DAILY if b"day" in key else Fault.RATE_LIMIT_RPM
    return None
