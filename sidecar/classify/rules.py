"""The tables that turn an error into its class, from the most exact evidence to the least.

`EXACT`   codes and types that mean one thing wherever they appear
`TEXTS`   sentences, in order, each for the statuses where it means that; a comment says why
`WEAK`    codes that say only the family; asked after the sentences
`STATUS`  the status alone, when nothing else spoke
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidecar.model import Fault, Scope


@dataclass(frozen=True, slots=True)
class Ruling:
    """A class and, where the evidence says more than the class, how far it reaches and whether
    the same target may be asked again (None: as the class says)."""

    fault: Fault
    scope: Scope | None = None
    again: bool | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    ruling: Ruling
    pattern: re.Pattern[str]
    on: frozenset[int] | None = None  # None: whatever the status
    unless: re.Pattern[str] | None = None
    words: tuple[
        str, ...
    ] = ()  # one of them has to be there: spares the search where storms come from (429, 5xx)

    def found(self, status: int, text: str) -> bool:
        if self.on is not None and status not in self.on:
            return False
        if self.words and not any(word in text for word in self.words):
            return False
        return bool(self.pattern.search(text)) and not (self.unless and self.unless.search(text))


def _exact(fault: Fault, words: str, scope: Scope | None = None) -> tuple[Ruling, frozenset[str]]:
    return Ruling(fault, scope), frozenset(words.split())


# words squeezed to lower case letters and digits; the first row that has one of an answer's wins
EXACT: tuple[tuple[Ruling, frozenset[str]], ...] = (
    _exact(
        Fault.ORG_LIMIT,
        "organizationspendlimitexceeded projectspendlimitexceeded spendlimitexceeded spendlimitreached spendinglimitreached"
        " budgetexceeded blockedapiaccess servicequotaexceededexception billinghardlimitreached hardlimitreached"
        " organizationusagelimitexceeded usagelimitexceeded usagelimitreached monthlyspendlimitreached",
    ),
    _exact(
        Fault.BILLING,
        "billingnotactive billingerror billingdisabled insufficientcredits insufficientbalance insufficientbalanceerror"
        " paymentrequired accountsuspended arrearage creditsexhausted creditserror nocredits outofcredits creditbalancetoolow"
        " insufficientfunds accountoverdueerror",
    ),
    _exact(
        Fault.REGION_BLOCKED,
        "unsupportedcountryregionterritory unsupportedcountry regionnotsupported countryblocked",
    ),
    _exact(
        Fault.QUOTA_EXHAUSTED,
        "insufficientquota exceededcurrentquotaerror insufficientuserquota tokenquotareached quotaexhausted consumptionlimitreached",
    ),
    _exact(
        Fault.RATE_LIMIT_ACCELERATION,
        "slowdown accelerationlimitexceeded requestbursttoofast throttlingburstrate limitburstrate",
    ),
    _exact(
        Fault.RATE_LIMIT_CONCURRENCY,
        "concurrencylimitexceeded toomanyconcurrentrequests concurrentlimitexceeded userconcurrentrequests",
    ),
    _exact(
        Fault.MODEL_GONE,
        "modeldecommissioned modeldeprecated modelretired deploymentretired modelremoved modelnolongeravailable modeleol",
    ),
    _exact(
        Fault.CONTEXT_WINDOW,
        "contextlengthexceeded contextwindowexceeded exceedcontextsizeerror contextlengthexceedederror tokenslimitreached"
        " maxcontextlengthexceeded modelcontextwindowexceeded contextwindowexceedederror prompttoolong inputtoolong promptistoolong",
    ),
    _exact(
        Fault.CONTENT_POLICY,
        "contentfilter contentpolicyviolation invalidprompt moderationblocked guardrailerror responsibleaipolicyviolation"
        " datainspectionfailed contentfiltererror contentmoderation cyberpolicyviolation biopolicy imagecontentpolicyviolation"
        " guardrailintervened safetyerror contentpolicyviolationerror sensitivecontentdetected imagegenerationusererror",
    ),
    _exact(
        Fault.AUTH,
        "invalidapikey apikeyinvalid apikeyexpired incorrectapikey missingapikey invalidauthenticationerror expiredtokenexception"
        " expiredtoken unrecognizedclientexception invalidsignatureexception incompletesignatureexception"
        " missingauthenticationtokenexception missingauthenticationtoken invalidclienttokenid accesstokenexpired"
        " authenticationtokenexpired invalidsubscriptionkey credentialsmissing accountdeactivated keydisabled",
    ),
    _exact(
        Fault.PERMISSION,
        "organizationrestricted servicedisabled apikeyservicerestriction apikeyhttpreferrerblocked",
        Scope.KEY,
    ),
    _exact(
        Fault.PERMISSION,
        "apikeyipaddressblocked modelpermissionblockedorg modeltermsrequired ipnotallowed accountflagged consumersuspended accountdisabled",
        Scope.KEY,
    ),
    _exact(Fault.MODEL_LOADING, "modelnotreadyexception modelnotready modelloading"),
    # AWS gave the model minutes: the same request takes as long again
    _exact(Fault.TIMEOUT, "modeltimeoutexception"),
    _exact(Fault.STRUCTURED_OUTPUT_FAILED, "jsonvalidatefailed structuredoutputfailed"),
    _exact(Fault.MALFORMED_TOOL_CALL, "toolusefailed outputparsefailed"),
    _exact(
        Fault.OVERLOADED,
        "engineoverloaded engineoverloadederror overloadederror overloaded modeloverloaded serveroverloaded"
        " servicetiercapacityexceeded capacityexceeded overcapacity nocapacity deploymentovercapacity servicebusy serverbusy"
        " modelovercapacity servicetemporarilyunavailable insufficientcapacity serviceunavailableexception"
        " serviceunavailableerror modelatcapacity resourceunavailable serverisoverloaded",
    ),
    _exact(
        Fault.SERVER_ERROR,
        "modelerrorexception modelstreamerrorexception internalserverexception enginedeaderror vectorstoretimeout",
    ),
    _exact(Fault.CAPABILITY_MISMATCH, "operationnotsupported"),
    _exact(
        Fault.UNSUPPORTED_PARAMETER,
        "unsupportedparameter unsupportedvalue unsupportedparam unsupportedparamserror",
    ),
    _exact(
        Fault.INVALID_REQUEST,
        "stringabovemaxlength arrayabovemaxlength invalidjsonschema invalidfunctionparameters unknownparameter"
        " missingrequiredparameter invalidencryptedcontent unknownurl invalidtype invalidbase64 invalidimage invalidimageurl"
        " integerabovemaxvalue integerbelowminvalue decimalabovemaxvalue decimalbelowminvalue emptyarray previousresponsenotfound",
    ),
)

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
    ruling = Ruling(fault, scope, again)
    TEXTS.append(
        Sentence(
            ruling, re.compile(pattern), on, excluded, tuple(word.replace("_", " ") for word in words.split())
        )
    )


# Money first: providers say it with 400, 401, 402, 403, 412, 429 and 500 alike. Bought credits and
# unpaid bills are billing, also where a spending limit is named as the other possible reason.
_text(
    Fault.BILLING,
    r"credit balance|insufficient (?:account )?(?:credits?|balance|funds)|(?:no|any|more|out of|enough|available|prepayment|purchase|sufficient) credits?\b"
    r"|credits? (?:\w{1,12} ){0,3}(?:depleted|exhausted|insufficient|too low|expired|used up|required|run out)|balance (?:is )?(?:too low|insufficient|not enough|exhausted|negative)"
    r"|payment (?:required|information|failed|instrument)|no (?:valid )?payment|invalid_payment|past (?:due|invoices)|unpaid|overdue|arrears|in good standing|billing to be enabled|billing (?:is |has )?(?:been )?(?:disabled|not (?:enabled|active))"
    r"|enable billing|please check your billing|extra usage is required|please (?:top[- ]?up|recharge)|to top up|余额不足|欠费|充值",
    unless=r"countr(?:y|ies)|add \d+ credits to unlock|increase your rate limit",
    words="credit balance fund payment past unpaid overdue arrear standing billing usage_is top charge 余额 欠费 充值",
)
_text(
    Fault.ORG_LIMIT,
    r"spend(?:ing)? (?:limit|cap)|usage limits?\b.{0,60}(?:reached|regain)|reached your (?:specified )?\w{0,12} ?usage limit|regain access"
    r"|(?:monthly|weekly|workspace|organi[sz]ation|project|team|key) (?:spend\w*|budget|usage|cost)(?: limit| cap| budget)?|budget (?:has been |limit |was )?(?:exceeded|reached)|exceeded (?:\w{1,12} ){0,3}budget"
    r"|hard limit|service quota for your account|key limit exceeded",
    words="spen usage budget regain cost hard_limit quota key_limit",
)
MONEY = tuple(TEXTS)  # says more than the word insufficient_quota, which some send with all of these
# where the caller is; not where a model is served
_text(
    Fault.REGION_BLOCKED,
    r"countr(?:y|ies)\b|territor(?:y|ies)|user location|your (?:current )?(?:region|location)|unsupported (?:region|location)|legal reasons|geo[- ]?(?:block|restrict|fenc)",
    _CALLER,
)
# the account, not the prompt: before content policy, which such sentences also name
_text(
    Fault.PERMISSION,
    r"(?:account|organi[sz]ation|workspace|team|project|consumer|tenant)\b[^.|]{0,50}\b(?:suspended|disabled|deactivated|restricted|terminated|banned|blocked|locked|flagged|denied access)\b",
    frozenset((0, 400, 403, 404, 412, 422, 429)),
    unless=r"virtual network|api has not been used|flagged as|prompt was",
    words="suspend disabled deactivated restricted terminated banned blocked locked flagged denied",
    scope=Scope.KEY,
)
_text(
    Fault.AUTH,
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?(?:invalid|incorrect|not valid|valid|expired|missing|required|revoked|reported as leaked|not found|disabled|deleted|not provided|provided is|malformed)"
    r"|(?:invalid|incorrect|wrong|missing|expired|revoked|bad|unknown|no|malformed|provide an?|valid) (?:\w{1,12} )?(?:x-)?(?:api|access|subscription|auth|authorization|authentication|bearer|oauth)[ _-]?(?:key|token|credentials?|header)"
    r"|invalid (?:x-api-key|bearer|authentication|credential|authorization|username or password|signature)|no (?:auth|api|valid) credentials|(?:oauth|access|auth|bearer|security|session) token (?:\w{1,12} ){0,4}(?:invalid|expired|revoked)"
    r"|unauthenticated|unregistered callers|could not validate credentials|authentication (?:failed|fails|failure|error|required|credential)|not authenticated|fails? to authenticate|failed to authenticate|signature we calculated|member of an organi[sz]ation"
    r"|credentials? (?:\w{1,12} ){0,3}(?:invalid|expired|missing)|(?:invalid|expired) token\b|\btoken (?:is |has )?expired|please provide (?:a valid|your|an) api key|missing authorization|credential should be scoped",
    frozenset((0, 400, 401, 403, 407, 422, 498)),
)
_text(
    Fault.PERMISSION,  # a good key that may not: some say so with 401
    r"does not have (?:permission|access|the required)|lacks? (?:the )?(?:required )?(?:permission|data action|privilege)|insufficient (?:permissions?|scope|privileges)|missing scopes?",
    frozenset((401,)),
)
# a model's own tool call that the provider could not read: not the caller's fault
_text(
    Fault.MALFORMED_TOOL_CALL,
    r"failed to call a function|model did not call a tool|tool call validation failed|failed to parse tool call",
    _LOOSE,
)
_text(
    Fault.STRUCTURED_OUTPUT_FAILED,
    r"failed to (?:validate|generate)(?: valid)? json|generated json does not match",
    _LOOSE,
)
_text(
    Fault.CONTENT_POLICY,
    r"content (?:management )?(?:filter|policy|polic(?:y|ies)|violat|moderation|was blocked|is blocked|blocked)|content[_-]filter|(?:input|prompt|request|output|content|text|message|image|response)s? (?:\w{1,12} ){0,6}(?:flagged|violat)"
    r"|requires moderation|responsible ?ai|guardrail|safety (?:system|filter|guideline|polic|check|reason|setting)|usage (?:polic(?:y|ies)|guidelines)|(?:prohibited|inappropriate|harmful|sensitive|unsafe|disallowed|toxic|objectionable) (?:content|information|material|language|text|input)"
    r"|blocked (?:input|output|by (?:our |the )?(?:content|safety|policy|moderation))|acceptable use|content exists risk|copyrighted|recitation|high risk",
    frozenset((0, 400, 403, 406, 422, 451, 498, 500)),
)
# the only message for a parameter that names the model as well: before model_gone and the window
_text(
    Fault.UNSUPPORTED_PARAMETER,
    r"unsupported (?:parameter|value|argument|option)|(?:^|\| ?)[`'\"][\w.\[\]]{1,60}[`'\"](?: and [`'\"]\w{1,40}[`'\"])? (?:is|are|was|has been) (?:deprecated|not supported|removed|unsupported|no longer supported)"
    r"|(?:parameter|argument|option|field|sampling)s?:? [^|]{0,80}?\b(?:is |are )?(?:not supported|unsupported|deprecated|not compatible)|argument not supported|not supported (?:on|with|by|for) this model: \w"
    r"|does not support (?:the )?(?:parameters?|[`'\"]?(?:temperature|top_p|top_k|logprobs|top_logprobs|seed|stop|n|logit_bias|presence_?penalty|frequency_?penalty|max_tokens|reasoning_effort|parallel_tool_calls|service_tier|verbosity)\b)"
    r"|(?:temperature|top_p|top_k|logprobs|seed|stop|logit_bias|presence_?penalty|frequency_?penalty|max_tokens|reasoning_effort|reasoning\.effort|thinking\.type|effort|prefill\w*)[`'\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported|deprecated)",
    _LOOSE - {404, 403, 401, 429},
)
_text(
    Fault.MODEL_GONE,
    r"(?:model|deployment|engine|snapshot|version|publisher|`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\b(?:deprecated|decommissioned|retired|discontinued|sunset|sunsetted|no longer (?:available|supported|served|offered|exists?|being)|end[- ]of[- ](?:its )?life|shut ?down|turned off|marked (?:by provider )?as legacy|deleted)\b"
    r"|(?:model|deployment)[^|]{0,100}\b(?:was|were|been) removed|\b(?:deprecated|decommissioned|retired|discontinued|legacy) (?:model|engine|deployment)",
    _CALLER,
    unless=r"parameter|argument|field|header|endpoint (?:is|has)",
)
# the window, said outright: also where the same sentence names max_tokens
_text(
    Fault.CONTEXT_WINDOW,
    r"context[ _-]?(?:length|window|size|limit)|maximum (?:context|prompt|input|model|sequence) length|(?:prompt|input|request|conversation|message|messages|text) (?:is|are|was|has|have|contains?) (?:too long|too many tokens|longer than)"
    r"|input (?:is )?too long|prompt too long|input token count|(?:input|prompt) (?:length|tokens?|size)[^|]{0,80}(?:exceed|greater than|larger than|longer than)|too large for model with|longer than the maximum model length|max_model_len|must have less than \d+ tokens"
    r"|inputs?`? tokens \+|reduce (?:the length of |your |the )?(?:the )?(?:messages|prompt|input|context)|range of input length|input tokens exceeded|available context|fit in(?:to)? the context",
    _LOOSE - {403, 401, 402, 429},
    unless=r"not (?:yet )?available|string too long|max_?(?:completion_|output_|new_)?tokens:? \d+ >",
)
# how much is asked for, not how much is sent: no larger window helps
_text(
    Fault.INVALID_REQUEST,
    r"string too long|max_?(?:completion_|output_|new_)?tokens`?:? (?:is too large|\d+ >|must be|should be|cannot|exceeds|value)|(?:completion|output) tokens[^|]{0,40}(?:at most|maximum allowed)|maximum allowed number of output tokens|maximum tokens you requested",
    _CALLER,
)
_text(
    Fault.CONTEXT_WINDOW,
    r"too many (?:input |total |prompt )?tokens|tokens?\b[^|]{0,60}\b(?:exceeds?|exceeded|exceeding|more than|greater than|over|cannot exceed|must be <=|above)\b[^|]{0,60}(?:limit|max|allowed|token|\d)|exceeds? (?:the |its )?(?:\w{1,12} ){0,3}(?:max\w*|limit|number) (?:\w{1,12} ){0,4}tokens|max(?:imum)? size: \d+ tokens|token limit",
    frozenset((0, 400, 413, 422)),
    unless=r"per min|tpm|rate limit|please wait",
)
_text(
    Fault.REQUEST_TOO_LARGE,
    r"(?:request|payload|body|entity)(?: content| body| payload| entity)?(?: size)? (?:is )?(?:too large|exceeds|exceeded|larger than|over)|maximum allowed number of bytes|too large a (?:request|body)|content too large|exceeds? (?:the )?(?:maximum )?(?:request|payload|body) size",
    frozenset((0, 400, 413, 422)),
)
# ids of things that live at one provider: no fallback can know them
_text(
    Fault.INVALID_REQUEST,
    r"(?:response|item|file|thread|conversation|assistant|batch|vector store|container|run|cached ?content|message|tool_call_id)s?\b[^|]{0,20} (?:with id |id |found with id |not found)",
    frozenset((0, 400, 404)),
    unless=r"\bmodel\b|deployment|endpoints? found",
)
_text(
    Fault.INVALID_REQUEST,
    r"invalid url|unknown (?:request )?url|no (?:such )?(?:route|handler)|cannot (?:get|post|put|delete) /|unrecognized request url|page not found|method not allowed|requested url\b.{0,200}\bwas not found on this server|^not found$|route [^|]{0,80}not found|path [^|]{0,80}not found|unknown (?:path|route)|not found: /",
    frozenset((0, 404, 405)),
)
# a model that exists and can do other things
_text(
    Fault.CAPABILITY_MISMATCH,
    r"no endpoints found that support|(?:does not|doesn't|do not|don't|cannot|can't) (?:\w{1,12} ){0,2}?(?:support|accept|handle|process)\b(?! (?:on-demand|this api|parameter))|(?:image|vision|audio|video|tool|tools|function|function calling|tool use|tool calling|tool choice|streaming|json mode|json_schema|structured outputs?|response_format|system (?:role|prompt|instruction|message)s?|developer instruction|thinking|reasoning|multimodal|modality|pdf|document|file)s?\b[^|]{0,50} (?:is|are) (?:(?:not|currently not|only) (?:supported|enabled|available|implemented|allowed)|unsupported)"
    r"|not (?:a )?(?:multimodal|multi-modal|vision|chat) (?:model|completion)|not a chat model|only supported in v1/|at most 0 (?:image|audio|video)|requires --enable-auto-tool-choice|unsupported (?:content|modality|input) type|not supported in the v1/|without (?:vision|tool|image) support|no chat template|does not work with the specified model",
    _LOOSE - {401, 429, 402},
    unless=r"is not found|not found for api version|does not exist|unsupported (?:country|region)",
)
_text(
    Fault.NOT_FOUND,
    r"(?:model|deployment|engine|publisher|endpoint|inference profile)s?\b[^|]{0,160}?(?:not found|not_found|does not exist|doesn't exist|not exist|could not be found|cannot be found|can't be found|is invalid|isn't valid|not a valid|not valid|unknown|not recognized|not servable|not deployed|not available)|(?:unknown|invalid|unrecognized|non-existent|no such|nonexistent) (?:\w{1,12} )?(?:model|deployment|engine)\b"
    r"|(?:not found|could not find|couldn't find|unable to (?:access|find)|cannot find|no)\b[^|]{0,20} (?:the )?model\b|no (?:endpoints|allowed providers|providers|available providers?) (?:found|are)|try pulling it|could not resolve the foundation model|is not a valid model|on-demand throughput|model:? [\w./:@-]{3,80}$|not found for account",
    frozenset((0, 400, 403, 404, 422)),
    unless=r"(?:does not|doesn't|do not|don't) have (?:access|permission) to (?!it)|not allowed|tool_call|temporarily|verified",
)
_text(
    Fault.PERMISSION,
    r"permission|(?:does not|doesn't|do not|don't|not) (?:\w{1,12} )?have (?:\w{1,12} )?access|not (?:authorized|allowed|permitted|entitled|enabled for)|access (?:is |was )?(?:denied|forbidden|restricted|to (?:this |the )?model)|must be verified|forbidden|gated|(?:no|without|requires?|request) access|not available (?:to|for|on|in) your|upgrade (?:your|to)|have been blocked|rbac",
    frozenset((0, 403, 404)),
)
# with a 400 the same words are more often about a field
_text(
    Fault.PERMISSION,
    r"(?:does not|doesn't|do not|don't) have (?:access|permission)|not (?:authorized|allowed|entitled) to (?:use|access|sample|perform|invoke|call)|access denied|permission denied|must be verified|not available (?:to|for|on|in) your (?:account|organi|plan|tier|subscription|project|team|workspace)|not (?:yet )?available for this subscription",
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
    r"(?:model|server|replica|endpoint|instance|deployment)[^.|]{0,120}\b(?:loading|warming|starting up|initiali[sz]ing|not (?:yet )?ready|cold[- ]start|waking up|scal(?:ing|ed) (?:up|to)|being (?:loaded|deployed|downloaded|started))|loading (?:the )?model|cold[- ]?(?:start|boot)|still (?:loading|starting|booting)|warming up",
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
    r"overload|over capacity|(?:at|no|insufficient|lack of|limited|exceed\w*|low|full|out of|available|current) (?:\w{1,12} )?capacity|capacity (?:\w{1,12} ){0,3}(?:exceeded|exhausted|reached|constraints?|limit|unavailable|is full)|(?:high|heavy|peak|unusual|increased|excessive) (?:\w{1,12} )?(?:demand|load|traffic|volume)|peak load|too busy|\bbusy\b|maximum pending requests"
    r"|(?:queue|backlog) (?:is )?(?:full|too long|exceeded)|temporarily unavailable|resource exhausted\. please try again|insufficient[ _]system[ _]resource|too many connections|not enough (?:resources|workers)|no (?:available|healthy) (?:workers?|instances?|servers?|backends?)|no instances? available|system resources",
    _SERVER,
    unless=r"rate limit|tokens? per|requests? per",
    words="overload capacity demand load traffic volume busy pending queue backlog unavailable resource connections worker instance backend server",
)
_text(
    Fault.TIMEOUT,
    r"timed? ?-?out|deadline (?:exceeded|expired)|within the deadline|took too long|before the deadline|deadline_exceeded",
    _SILENT,
    unless=r"connect(?:ion)? timed? ?out",
)

# codes that say only the family
WEAK: tuple[tuple[Ruling, frozenset[str]], ...] = (
    _exact(Fault.AUTH, "authenticationerror unauthenticated unauthorized autherror unauthorizederror"),
    _exact(
        Fault.PERMISSION,
        "permissiondenied permissionerror permissiondeniederror accessdeniedexception accessdenied forbidden",
    ),
    _exact(Fault.REQUEST_TOO_LARGE, "requesttoolarge payloadtoolarge requestentitytoolarge"),
    _exact(
        Fault.NOT_FOUND,
        "modelnotfound deploymentnotfound notfounderror resourcenotfoundexception invalidmodel modelnotavailable"
        " notfound modelnotsupported modelnotfounderror",
    ),
    _exact(Fault.TIMEOUT, "timeouterror deadlineexceeded requesttimeout upstreamtimeout gatewaytimeout"),
    _exact(Fault.CONFLICT, "conflict conflicterror conflictexception aborted alreadyexists"),
    _exact(Fault.CLIENT_CANCELLED, "cancelled canceled requestcancelled"),
    _exact(Fault.OVERLOADED, "unavailable serviceunavailable unavailableerror"),
)
# where there is no status either; OpenAI puts `invalid_request_error` beside a 401, 402, 404 and 409
WEAKEST: tuple[tuple[Ruling, frozenset[str]], ...] = (
    _exact(
        Fault.SERVER_ERROR,
        "servererror apierror internalservererror internalerror internal internalfailure upstreamerror providererror",
    ),
    _exact(
        Fault.INVALID_REQUEST,
        "invalidrequesterror invalidargument validationexception validationerror badrequest badrequesterror",
    ),
)
LIMITED = frozenset(
    "ratelimitexceeded ratelimiterror ratelimited ratelimit ratelimitreached resourceexhausted throttlingexception throttled"
    " toomanyrequests toomanyrequestsexception modelratelimit throttling ratelimitreachederror quotaexceeded requestlimitexceeded"
    " limitrequests dynamicrequestlimited dynamictokenlimited tokens requests throttlingratequota throttlingallocationquota".split()
)
SAYS_LIMITED = re.compile(
    r"rate[ _-]?limit|too many requests|quota exceeded|requests? limit|throttl|call volume quota"
)

_SERVERS = dict.fromkeys(
    (500, 502, 505, 506, 507, 508, 509, 510, 511, 424, 520, 521, 522, 523, 525, 526, 527, 530),
    Fault.SERVER_ERROR,
)
_REQUESTS = dict.fromkeys(
    (400, 405, 406, 411, 412, 414, 415, 416, 417, 418, 421, 422, 426, 428, 431, 505), Fault.INVALID_REQUEST
)
STATUS: dict[int, Ruling] = {
    status: Ruling(fault)
    for status, fault in (
        _SERVERS
        | _REQUESTS
        | {
            401: Fault.AUTH,
            407: Fault.AUTH,
            402: Fault.BILLING,
            403: Fault.PERMISSION,
            404: Fault.NOT_FOUND,
            409: Fault.CONFLICT,
            410: Fault.MODEL_GONE,
            413: Fault.REQUEST_TOO_LARGE,
            423: Fault.CONFLICT,
            425: Fault.CONFLICT,
            451: Fault.REGION_BLOCKED,
            498: Fault.OVERLOADED,  # Groq: no room in the flex tier
            499: Fault.CLIENT_CANCELLED,
            501: Fault.CAPABILITY_MISMATCH,
            503: Fault.OVERLOADED,
            504: Fault.TIMEOUT,
            524: Fault.TIMEOUT,
            529: Fault.OVERLOADED,
            598: Fault.TIMEOUT,
            599: Fault.TIMEOUT,
        }
    ).items()
}
# a server that gave up waiting for the request, not for the model: worth one more try [R3]
STATUS[408] = Ruling(Fault.TIMEOUT, again=True)
