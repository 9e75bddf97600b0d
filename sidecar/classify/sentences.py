"""Sentences: what providers say to people, and machines have to read where the codes say too little.

`TEXTS` is asked in order, the first that is found wins; each row holds the statuses where its
words have that meaning, and a comment says why it stands where it stands. The text is in lower
case, at most 2,000 characters; every repetition in a pattern is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidecar.classify.codes import Ruling
from sidecar.model import Fault, Scope


@dataclass(frozen=True, slots=True)
class Sentence:
    ruling: Ruling
    pattern: re.Pattern[str]
    on: frozenset[int] | None = None  # None: whatever the status
    unless: re.Pattern[str] | None = None
    words: tuple[str, ...] = ()  # one of them has to be there; looking for them is cheap, searching is not

    def found(self, status: int, text: str) -> bool:
        if self.on is not None and status not in self.on:
            return False
        if self.words and not any(word in text for word in self.words):
            return False
        return bool(self.pattern.search(text)) and not (self.unless and self.unless.search(text))


# what the caller sent, or what the caller may do
_CALLER = frozenset(
    (0, 400, 401, 402, 403, 404, 405, 406, 409, 410, 412, 413, 415, 416, 418, 422, 424, 428, 451, 498)
)
_SERVER = frozenset((0, *range(500, 600), 429, 498, 424))
_FAULTY = frozenset((0, *range(500, 600), 424))
_LOOSE = frozenset((*_CALLER, 429, 500))  # some say with a 429 or 500 what others say with a 4xx
_SILENT = frozenset((0, 500, 502, 503, 504, 520, 522, 524, 598, 599))  # 408 is ambiguous: its status decides

TEXTS: list[Sentence] = []


def _text(
    fault: Fault,
    pattern: str,
    on: frozenset[int] | None = None,
    *,
    unless: str = "",
    words: str = "",
    scope: Scope | None = None,
    again: bool | None = None,
) -> None:
    excluded = re.compile(unless) if unless else None
    needed = tuple(word.replace("_", " ") for word in words.split())
    TEXTS.append(Sentence(Ruling(fault, scope, again), re.compile(pattern), on, excluded, needed))


# Money first: providers say it with 400, 401, 402, 403, 412, 429 and 500 alike. Bought credits and
# unpaid bills are billing, also where a spending limit is named as the other possible reason.
_text(
    Fault.BILLING,
    r"credit balance|insufficient (?:account )?(?:credits?|balance|funds)|(?:no|any|more|out of"
    r"|enough|available|prepayment|purchase|sufficient) credits?\b"
    r"|credits? (?:\w{1,12} ){0,3}(?:depleted|exhausted|insufficient|too low|expired|used up|required"
    r"|run out)|balance (?:is )?(?:too low|insufficient|not enough|exhausted|negative)"
    r"|payment (?:required|information|failed|instrument)|no (?:valid )?payment|invalid_payment"
    r"|past (?:due|invoices)|unpaid|overdue|arrears|in good standing|billing to be enabled"
    r"|billing (?:is |has )?(?:been )?(?:disabled|not (?:enabled|active))|enable billing"
    r"|please check your billing|extra usage is required|please (?:top[- ]?up|recharge)|to top up"
    r"|余额不足|欠费|充值",
    unless=r"countr(?:y|ies)|add \d+ credits to unlock|increase your rate limit",
    words="credit balance fund payment past unpaid overdue arrear standing billing usage_is top"
    " charge 余额 欠费 充值",
)
_text(
    Fault.ORG_LIMIT,
    r"spend(?:ing)? (?:limit|cap)|usage limits?\b.{0,60}(?:reached|regain)"
    r"|reached your (?:specified )?\w{0,12} ?usage limit|regain access"
    r"|(?:monthly|weekly) (?:spend\w*|budget|usage|cost)"
    r"|(?:workspace|organi[sz]ation|project|team|key) (?:spend\w*|budget|usage|cost) (?:limit|cap|budget)"
    r"|budget (?:has been |limit |was )?(?:exceeded|reached)|exceeded (?:\w{1,12} ){0,3}budget"
    r"|hard limit|service quota for your account|key limit exceeded",
    words="spen usage budget regain cost hard_limit quota key_limit",
)
MONEY = tuple(TEXTS)  # says more than the word insufficient_quota, which some send with all of these
# where the caller is; not where a model is served
_text(
    Fault.REGION_BLOCKED,
    r"countr(?:y|ies)\b|territor(?:y|ies)|user location|your (?:current )?(?:region|location)"
    r"|unsupported (?:region|location)|legal reasons|geo[- ]?(?:block|restrict|fenc)",
    _CALLER,
)
# the account, not the prompt: before content policy, which such sentences also name
_text(
    Fault.PERMISSION,
    r"(?:account|organi[sz]ation|workspace|team|project|consumer|tenant)\b[^.|]{0,50}\b(?:suspended"
    r"|disabled|deactivated|restricted|terminated|banned|blocked|locked|flagged|denied access)\b",
    frozenset((0, 400, 403, 404, 412, 422, 429)),
    unless=r"virtual network|api has not been used|flagged as|prompt was",
    words="suspend disabled deactivated restricted terminated banned blocked locked flagged denied",
    scope=Scope.KEY,
)
_text(
    Fault.AUTH,
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?(?:invalid"
    r"|incorrect|not valid|valid|expired|missing|required|revoked|reported as leaked|not found"
    r"|disabled|deleted|not provided|provided is|malformed)|(?:invalid|incorrect|wrong|missing"
    r"|expired|revoked|bad|unknown|no|malformed|provide an?|valid) (?:\w{1,12} )?(?:x-)?(?:api|access"
    r"|subscription|auth|authorization|authentication|bearer|oauth)[ _-]?(?:key|token|credentials?"
    r"|header)|invalid (?:x-api-key|bearer|authentication|credential|authorization"
    r"|username or password|signature)|no (?:auth|api|valid) credentials|(?:oauth|access|auth|bearer"
    r"|security|session) token (?:\w{1,12} ){0,4}(?:invalid|expired|revoked)|unauthenticated"
    r"|unregistered callers|could not validate credentials|authentication (?:failed|fails|failure"
    r"|error|required|credential)|not authenticated|fails? to authenticate|failed to authenticate"
    r"|signature we calculated|member of an organi[sz]ation|credentials? (?:\w{1,12} ){0,3}(?:invalid"
    r"|expired|missing)|(?:invalid|expired) token\b|\btoken (?:is |has )?expired"
    r"|please provide (?:a valid|your|an) api key|missing authorization|credential should be scoped",
    frozenset((0, 400, 401, 403, 407, 422, 498)),
    words="key token cred auth signature organi callers bearer username header",
)
_text(
    Fault.PERMISSION,  # a good key that may not: some say so with 401
    r"does not have (?:permission|access|the required)|lacks? (?:the )?(?:required )?(?:permission"
    r"|data action|privilege)|insufficient (?:permissions?|scope|privileges)|missing scopes?",
    frozenset((401,)),
)
# a model's own tool call that the provider could not read: not the caller's fault
_text(
    Fault.MALFORMED_TOOL_CALL,
    r"failed to call a function|model did not call a tool|tool call validation failed"
    r"|failed to parse tool call",
    _LOOSE,
)
_text(
    Fault.STRUCTURED_OUTPUT_FAILED,
    r"failed to (?:validate|generate)(?: valid)? json|generated json does not match",
    _LOOSE,
)
_text(
    Fault.CONTENT_POLICY,
    r"content (?:management )?(?:filter|policy|polic(?:y|ies)|violat|moderation|was blocked"
    r"|is blocked|blocked)|content[_-]filter|(?:input|prompt|request|output|content|text|message"
    r"|image|response)s? (?:\w{1,12} ){0,6}(?:flagged|violat)|requires moderation|responsible ?ai"
    r"|guardrail|safety (?:system|filter|guideline|polic|check|reason|setting)|usage (?:polic(?:y"
    r"|ies)|guidelines)|(?:prohibited|inappropriate|harmful|sensitive|unsafe|disallowed|toxic"
    r"|objectionable) (?:content|information|material|language|text|input)|blocked (?:input|output"
    r"|by (?:our |the )?(?:content|safety|policy|moderation))|acceptable use|content exists risk"
    r"|copyrighted|recitation|high risk",
    frozenset((0, 400, 403, 406, 422, 451, 498, 500)),
    words="content flagged violat moderation responsible guardrail safety polic guidelines prohibited"
    " inappropriate harmful sensitive unsafe disallowed toxic objectionable blocked"
    " acceptable_use copyright recitation high_risk",
)
# the only message for a parameter that names the model as well: before model_gone and the window
_text(
    Fault.UNSUPPORTED_PARAMETER,
    r"unsupported (?:parameter|value|argument|option)|(?:^"
    r"""|\| ?)[`'\"][\w.\[\]]{1,60}[`'\"](?: and [`'\"]\w{1,40}[`'\"])? (?:is|are|was"""
    r"|has been) (?:deprecated|not supported|removed|unsupported|no longer supported)|(?:parameter"
    r"|argument|option|field|sampling)s?:? [^|]{0,80}?\b(?:is |are )?(?:not supported|unsupported"
    r"|deprecated|not compatible)|argument not supported|not supported (?:on|with|by"
    r"""|for) this model: \w|does not support (?:the )?(?:parameters?|[`'\"]?(?:temperature|top_p|top_k"""
    r"|logprobs|top_logprobs|seed|stop|n|logit_bias|presence_?penalty|frequency_?penalty|max_tokens"
    r"|reasoning_effort|parallel_tool_calls|service_tier|verbosity)\b)|(?:temperature|top_p|top_k"
    r"|logprobs|seed|stop|logit_bias|presence_?penalty|frequency_?penalty|max_tokens|reasoning_effort"
    r"""|reasoning\.effort|thinking\.[\w.]{1,30}|effort|prefill\w*)[`'\"]? (?:parameter )?(?:is|are|does"""
    r"|do) (?:not|n't|unsupported|deprecated)",
    _LOOSE - {404, 403, 401, 429},
    words="support deprecated removed compatible not n't",
)
_text(
    Fault.MODEL_GONE,
    r"(?:model|deployment|engine|snapshot|version|publisher|`[\w./:@-]{3,80}`"
    r"|'[\w./:@-]{3,80}')[^|]{0,140}\b(?:deprecated|decommissioned|retired|discontinued|sunset"
    r"|sunsetted|no longer (?:available|supported|served|offered|exists?|being)"
    r"|end[- ]of[- ](?:its )?life|shut ?down|turned off|marked (?:by provider )?as legacy|deleted)\b"
    r"|(?:model|deployment)[^|]{0,100}\b(?:was|were|been) removed|\b(?:deprecated|decommissioned"
    r"|retired|discontinued|legacy) (?:model|engine|deployment)",
    _CALLER,
    unless=r"parameter|argument|field|header|endpoint (?:is|has)",
    words="deprecated decommissioned retired discontinued sunset no_longer of_life end-of of_its_life"
    " shut turned_off legacy deleted removed",
)
# the window, said outright: also where the same sentence names max_tokens
_text(
    Fault.CONTEXT_WINDOW,
    r"context[ _-]?(?:length|window|size|limit)|maximum (?:context|prompt|input|model"
    r"|sequence) length|(?:prompt|input|request|conversation|message|messages|text) (?:is|are|was|has"
    r"|have|contains?) (?:too long|too many tokens|longer than)|input (?:is )?too long"
    r"|prompt too long|input token count|(?:input|prompt) (?:length|tokens?|size)[^|]{0,80}(?:exceed"
    r"|greater than|larger than|longer than)|too large for model with"
    r"|longer than the maximum model length|max_model_len|must have less than \d+ tokens"
    r"|inputs?`? tokens \+|reduce (?:the length of |your |the )?(?:the )?(?:messages|prompt|input"
    r"|context)|range of input length|input tokens exceeded|available context"
    r"|fit in(?:to)? the context",
    _LOOSE - {403, 401, 402, 429},
    unless=r"not (?:yet )?available|string too long|max_?(?:completion_|output_|new_)?tokens:? \d+ >",
    words="context len long token reduce large",
)
# how much is asked for, not how much is sent: no larger window helps
_text(
    Fault.INVALID_REQUEST,
    r"string too long|max_?(?:completion_|output_|new_)?tokens`?:? (?:is too large|\d+ >|must be"
    r"|should be|cannot|exceeds|value)|(?:completion|output) tokens[^|]{0,40}(?:at most"
    r"|maximum allowed)|maximum allowed number of output tokens|maximum tokens you requested",
    _CALLER,
)
_text(
    Fault.CONTEXT_WINDOW,
    r"too many (?:input |total |prompt )?tokens|tokens?\b[^|]{0,60}\b(?:exceeds?|exceeded|exceeding"
    r"|more than|greater than|over|cannot exceed|must be <=|above)\b[^|]{0,60}(?:limit|max|allowed"
    r"|token|\d)|exceeds? (?:the |its )?(?:\w{1,12} ){0,3}(?:max\w*|limit"
    r"|number) (?:\w{1,12} ){0,4}tokens|max(?:imum)? size: \d+ tokens|token limit",
    frozenset((0, 400, 413, 422)),
    unless=r"per min|tpm|rate limit|please wait",
)
_text(
    Fault.REQUEST_TOO_LARGE,
    r"(?:request|payload|body|entity)(?: content| body| payload"
    r"| entity)?(?: size)? (?:is )?(?:too large|exceeds|exceeded|larger than|over)"
    r"|maximum allowed number of bytes|too large a (?:request|body)|content too large"
    r"|exceeds? (?:the )?(?:maximum )?(?:request|payload|body) size",
    frozenset((0, 400, 413, 422)),
)
# ids of things that live at one provider: no fallback can know them
_text(
    Fault.INVALID_REQUEST,
    r"(?:response|item|file|thread|conversation|assistant|batch|vector store|container|run"
    r"|cached ?content|message|tool_call_id)s?\b[^|]{0,20} (?:with id |id |found with id |not found)",
    frozenset((0, 400, 404)),
    unless=r"\bmodel\b|deployment|endpoints? found",
)
_text(
    Fault.INVALID_REQUEST,
    r"invalid url|unknown (?:request )?url|no (?:such )?(?:route|handler)|cannot (?:get|post|put"
    r"|delete) /|unrecognized request url|page not found|method not allowed"
    r"|requested url\b.{0,200}\bwas not found on this server|^not found$|route [^|]{0,80}not found"
    r"|path [^|]{0,80}not found|unknown (?:path|route)|not found: /",
    frozenset((0, 404, 405)),
)
# a model that exists and can do other things
_text(
    Fault.CAPABILITY_MISMATCH,
    r"no endpoints found that support|(?:does not|doesn't|do not|don't|cannot"
    r"|can't) (?:\w{1,12} ){0,2}?(?:support|accept|handle|process)\b(?! (?:on-demand|this api"
    r"|parameter))|(?:image|vision|audio|video|tool|tools|function|function calling|tool use"
    r"|tool calling|tool choice|streaming|json mode|json_schema|structured outputs?|response_format"
    r"|system (?:role|prompt|instruction|message)s?|developer instruction|thinking|reasoning"
    r"|multimodal|modality|pdf|document|file)s?\b[^|]{0,50} (?:is|are) (?:(?:not|currently not"
    r"|only) (?:supported|enabled|available|implemented|allowed)|unsupported)"
    r"|not (?:a )?(?:multimodal|multi-modal|vision|chat) (?:model|completion)|not a chat model"
    r"|only supported in v1/|at most 0 (?:image|audio|video)|requires --enable-auto-tool-choice"
    r"|unsupported (?:content|modality|input) type|not supported in the v1/|without (?:vision|tool"
    r"|image) support|no chat template|does not work with the specified model",
    _LOOSE - {401, 429, 402},
    unless=r"is not found|not found for api version|does not exist|unsupported (?:country|region)",
    words="support accept handle process not only most requires chat without modality",
)
_text(
    Fault.NOT_FOUND,
    r"(?:model|deployment|engine|publisher|endpoint|inference profile)s?\b[^|]{0,160}?(?:not found"
    r"|not_found|does not exist|doesn't exist|not exist|could not be found|cannot be found"
    r"|can't be found|is invalid|isn't valid|not a valid|not valid|unknown|not recognized"
    r"|not servable|not deployed|not available)|(?:unknown|invalid|unrecognized|non-existent|no such"
    r"|nonexistent) (?:\w{1,12} )?(?:model|deployment|engine)\b|(?:not found|could not find"
    r"|couldn't find|unable to (?:access|find)|cannot find|no)\b[^|]{0,20} (?:the )?model\b"
    r"|no (?:endpoints|allowed providers|providers|available providers?) (?:found|are)|try pulling it"
    r"|could not resolve the foundation model|is not a valid model|on-demand throughput"
    r"|not supported in this (?:region|location|environment)|model:? [\w./:@-]{3,80}$"
    r"|not found for account",
    frozenset((0, 400, 403, 404, 422)),
    unless=r"(?:does not|doesn't|do not|don't) have (?:access|permission) to (?!it)|not allowed|tool_call"
    r"|temporarily|verified",
    words="model deployment engine publisher endpoint profile provider throughput account pulling"
    " region location environment",
)
_text(
    Fault.PERMISSION,
    r"permission|(?:does not|doesn't|do not|don't|not) (?:\w{1,12} )?have (?:\w{1,12} )?access"
    r"|not (?:authorized|allowed|permitted|entitled|enabled for)|access (?:is |was )?(?:denied"
    r"|forbidden|restricted|to (?:this |the )?model)|must be verified|forbidden|gated|(?:no|without"
    r"|requires?|request) access|not available (?:to|for|on|in) your|upgrade (?:your|to)"
    r"|have been blocked|rbac",
    frozenset((0, 403, 404)),
)
# with a 400 the same words are more often about a field
_text(
    Fault.PERMISSION,
    r"(?:does not|doesn't|do not|don't) have (?:access|permission)|not (?:authorized|allowed"
    r"|entitled) to (?:use|access|sample|perform|invoke|call)|access denied|permission denied"
    r"|must be verified|not available (?:to|for|on|in) your (?:account|organi|plan|tier|subscription"
    r"|project|team|workspace)|not (?:yet )?available for this subscription",
    frozenset((400, 422)),
)
_text(Fault.CONFLICT, r"already (?:in progress|being processed|exists)|conflict", frozenset((0, 409)))

# It never heals by itself: too little memory for this model on that machine.
_text(
    Fault.SERVER_ERROR,
    r"requires more (?:system |gpu )?memory|not enough (?:gpu )?memory to load|insufficient memory to load",
    _SERVER,
    again=False,
)
_text(
    Fault.MODEL_LOADING,
    r"(?:model|server|replica|endpoint|instance|deployment)[^.|]{0,120}\b(?:loading|warming"
    r"|starting up|initiali[sz]ing|not (?:yet )?ready|cold[- ]start|waking up|scal(?:ing|ed) (?:up"
    r"|to)|being (?:loaded|deployed|downloaded|started))|loading (?:the )?model|cold[- ]?(?:start"
    r"|boot)|still (?:loading|starting|booting)|warming up",
    frozenset((0, 409, 424, 425, 429, 500, 502, 503, 504)),
    unless=r"overloaded",
    words="load warm start initiali ready cold waking scal being",
)
_text(
    Fault.RATE_LIMIT_ACCELERATION,
    r"slow down|request rate increased|ramp(?:ing)? up",
    frozenset((0, 503, 529)),
)
_text(
    Fault.OVERLOADED,
    r"overload|over capacity|(?:at|no|insufficient|lack of|limited|exceed\w*|low|full|out of"
    r"|available|current) (?:\w{1,12} )?capacity|capacity (?:\w{1,12} ){0,3}(?:exceeded|exhausted"
    r"|reached|constraints?|limit|unavailable|is full)|(?:high|heavy|peak|unusual|increased"
    r"|excessive) (?:\w{1,12} )?(?:demand|load|traffic|volume)|peak load|too busy|\bbusy\b"
    r"|maximum pending requests|(?:queue|backlog) (?:is )?(?:full|too long|exceeded)"
    r"|temporarily unavailable|resource exhausted\. please try again"
    r"|insufficient[ _]system[ _]resource|too many connections|not enough (?:resources|workers)"
    r"|no (?:available|healthy) (?:workers?|instances?|servers?|backends?)|no instances? available"
    r"|system resources",
    _SERVER,
    unless=r"rate limit|tokens? per|requests? per",
    words="overload capacity demand load traffic volume busy pending queue backlog unavailable"
    " resource connections worker instance backend server",
)
_text(Fault.OVERLOADED, r"too many (?:\w{1,12} )?requests", _FAULTY - {0})
_text(
    Fault.TIMEOUT,
    r"timed? ?-?out|deadline (?:exceeded|expired)|within the deadline|took too long"
    r"|before the deadline|deadline_exceeded",
    _SILENT,
    unless=r"connect(?:ion)? timed? ?out",
)

SAYS_LIMITED = re.compile(
    r"rate[ _-]?limit|too many requests|quota exceeded|requests? limit|throttl|call volume quota"
)
