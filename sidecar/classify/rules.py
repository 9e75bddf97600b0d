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
    on: frozenset[int] | None,
    *patterns: str,
    unless: str = "",
    words: str = "",
    scope: Scope | None = None,
    again: bool | None = None,
) -> None:
    excluded = re.compile(unless) if unless else None
    ruling = Ruling(fault, scope, again)
    TEXTS.append(
        Sentence(
            ruling, re.compile("|".join(patterns)), on, excluded, tuple(word.replace("_", " ") for word in words.split())
        )
    )


# Money first: providers say it with 400, 401, 402, 403, 412, 429 and 500 alike. Bought credits and
# unpaid bills are billing, also where a spending limit is named as the other possible reason.
_text(
    Fault.BILLING,
    None,
    r"credit balance|insufficient (?:account )?(?:credits?|balance|funds)",
    r"(?:no|any|more|out of|enough|available|prepayment|purchase|sufficient) credits?\b",
    r"credits? (?:\w{1,12} ){0,3}(?:depleted|exhausted|insufficient|too low)",
    r"credits? (?:\w{1,12} ){0,3}(?:expired|used up|required|run out)",
    r"balance (?:is )?(?:too low|insufficient|not enough|exhausted|negative)",
    r"payment (?:required|information|failed|instrument)|no (?:valid )?payment|invalid_payment",
    r"past (?:due|invoices)|unpaid|overdue|arrears|in good standing|billing to be enabled",
    r"billing (?:is |has )?(?:been )?(?:disabled|not (?:enabled|active))|enable billing",
    r"please check your billing|extra usage is required|please (?:top[- ]?up|recharge)|to top up|余额不足|欠费",
    r"充值",
    unless=r"countr(?:y|ies)|add \d+ credits to unlock|increase your rate limit",
    words="credit balance fund payment past unpaid overdue arrear standing billing usage_is top" " charge 余额 欠费 充值",
)
_text(
    Fault.ORG_LIMIT,
    None,
    r"spend(?:ing)? (?:limit|cap)|usage limits?\b.{0,60}(?:reached|regain)",
    r"reached your (?:specified )?\w{0,12} ?usage limit|regain access",
    r"(?:monthly|weekly|workspace) (?:spend\w*|budget|usage|cost)(?: limit| cap| budget)?",
    r"organi[sz]ation (?:spend\w*|budget|usage|cost)(?: limit| cap| budget)?",
    r"(?:project|team|key) (?:spend\w*|budget|usage|cost)(?: limit| cap| budget)?",
    r"budget (?:has been |limit |was )?(?:exceeded|reached)|exceeded (?:\w{1,12} ){0,3}budget|hard limit",
    r"service quota for your account|key limit exceeded",
    words="spen usage budget regain cost hard_limit quota key_limit",
)
MONEY = tuple(TEXTS)  # says more than the word insufficient_quota, which some send with all of these
# where the caller is; not where a model is served
_text(
    Fault.REGION_BLOCKED,
    _CALLER,
    r"countr(?:y|ies)\b|territor(?:y|ies)|user location|your (?:current )?(?:region|location)",
    r"unsupported (?:region|location)|legal reasons|geo[- ]?(?:block|restrict|fenc)",
)
# the account, not the prompt: before content policy, which such sentences also name
_text(
    Fault.PERMISSION,
    frozenset((0, 400, 403, 404, 412, 422, 429)),
    r"(?:account|organi[sz]ation|workspace)\b[^.|]{0,50}\b(?:suspended|disabled|deactivated)\b",
    r"(?:account|organi[sz]ation|workspace)\b[^.|]{0,50}\b(?:restricted|terminated)\b",
    r"(?:team|project|consumer|tenant)\b[^.|]{0,50}\b(?:suspended|disabled|deactivated)\b",
    r"(?:team|project|consumer|tenant)\b[^.|]{0,50}\b(?:restricted|terminated)\b",
    r"(?:account|organi[sz]ation|workspace)\b[^.|]{0,50}\b(?:banned|blocked|locked|flagged)\b",
    r"(?:account|organi[sz]ation|workspace)\b[^.|]{0,50}\bdenied access\b",
    r"(?:team|project|consumer|tenant)\b[^.|]{0,50}\b(?:banned|blocked|locked|flagged|denied access)\b",
    unless=r"virtual network|api has not been used|flagged as|prompt was",
    words="suspend disabled deactivated restricted terminated banned blocked locked flagged" " denied",
    scope=Scope.KEY,
)
_text(
    Fault.AUTH,
    frozenset((0, 400, 401, 403, 407, 422, 498)),
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?invalid",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?incorrect",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?not valid",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?valid",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?expired",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?missing",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?required",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?revoked",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?reported as leaked",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?not found",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?disabled",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?deleted",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?not provided",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?provided is",
    r"api[ _-]?key (?:provided |you provided |is |was |has |not |format |token )?(?:been )?malformed",
    r"(?:invalid|incorrect) (?:\w{1,12} )?(?:x-)?(?:api|access)[ _-]?(?:key|token|credentials?)",
    r"(?:invalid|incorrect) (?:\w{1,12} )?(?:x-)?subscription[ _-]?(?:key|token|credentials?)",
    r"wrong (?:\w{1,12} )?(?:x-)?(?:api|access|subscription)[ _-]?(?:key|token|credentials?)",
    r"(?:invalid|incorrect|wrong) (?:\w{1,12} )?(?:x-)?(?:api|access|subscription)[ _-]?header",
    r"(?:invalid|incorrect) (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?(?:key|token|credentials?)",
    r"wrong (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?(?:key|token|credentials?)",
    r"(?:invalid|incorrect|wrong) (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?header",
    r"(?:missing|expired) (?:\w{1,12} )?(?:x-)?(?:api|access)[ _-]?(?:key|token|credentials?)",
    r"(?:missing|expired) (?:\w{1,12} )?(?:x-)?subscription[ _-]?(?:key|token|credentials?)",
    r"revoked (?:\w{1,12} )?(?:x-)?(?:api|access|subscription)[ _-]?(?:key|token|credentials?)",
    r"(?:missing|expired|revoked) (?:\w{1,12} )?(?:x-)?(?:api|access|subscription)[ _-]?header",
    r"(?:missing|expired) (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?(?:key|token|credentials?)",
    r"revoked (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?(?:key|token|credentials?)",
    r"(?:missing|expired|revoked) (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?header",
    r"(?:invalid|incorrect|wrong) (?:\w{1,12} )?(?:x-)?authentication[ _-]?(?:key|token|credentials?)",
    r"(?:invalid|incorrect|wrong) (?:\w{1,12} )?(?:x-)?(?:bearer|oauth)[ _-]?(?:key|token|credentials?)",
    r"(?:invalid|incorrect|wrong) (?:\w{1,12} )?(?:x-)?(?:authentication|bearer|oauth)[ _-]?header",
    r"(?:missing|expired|revoked) (?:\w{1,12} )?(?:x-)?authentication[ _-]?(?:key|token|credentials?)",
    r"(?:missing|expired|revoked) (?:\w{1,12} )?(?:x-)?(?:bearer|oauth)[ _-]?(?:key|token|credentials?)",
    r"(?:missing|expired|revoked) (?:\w{1,12} )?(?:x-)?(?:authentication|bearer|oauth)[ _-]?header",
    r"(?:bad|unknown|no) (?:\w{1,12} )?(?:x-)?(?:api|access)[ _-]?(?:key|token|credentials?)",
    r"(?:bad|unknown|no) (?:\w{1,12} )?(?:x-)?subscription[ _-]?(?:key|token|credentials?)",
    r"malformed (?:\w{1,12} )?(?:x-)?(?:api|access|subscription)[ _-]?(?:key|token|credentials?)",
    r"(?:bad|unknown|no|malformed) (?:\w{1,12} )?(?:x-)?(?:api|access|subscription)[ _-]?header",
    r"(?:bad|unknown|no) (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?(?:key|token|credentials?)",
    r"malformed (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?(?:key|token|credentials?)",
    r"(?:bad|unknown|no|malformed) (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?header",
    r"(?:provide an?|valid) (?:\w{1,12} )?(?:x-)?(?:api|access)[ _-]?(?:key|token|credentials?)",
    r"(?:provide an?|valid) (?:\w{1,12} )?(?:x-)?subscription[ _-]?(?:key|token|credentials?)",
    r"(?:provide an?|valid) (?:\w{1,12} )?(?:x-)?(?:api|access|subscription)[ _-]?header",
    r"(?:provide an?|valid) (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?(?:key|token|credentials?)",
    r"(?:provide an?|valid) (?:\w{1,12} )?(?:x-)?(?:auth|authorization)[ _-]?header",
    r"(?:bad|unknown|no|malformed) (?:\w{1,12} )?(?:x-)?authentication[ _-]?(?:key|token|credentials?)",
    r"(?:bad|unknown|no|malformed) (?:\w{1,12} )?(?:x-)?(?:bearer|oauth)[ _-]?(?:key|token|credentials?)",
    r"(?:bad|unknown|no|malformed) (?:\w{1,12} )?(?:x-)?(?:authentication|bearer|oauth)[ _-]?header",
    r"(?:provide an?|valid) (?:\w{1,12} )?(?:x-)?authentication[ _-]?(?:key|token|credentials?)",
    r"(?:provide an?|valid) (?:\w{1,12} )?(?:x-)?(?:bearer|oauth)[ _-]?(?:key|token|credentials?)",
    r"(?:provide an?|valid) (?:\w{1,12} )?(?:x-)?(?:authentication|bearer|oauth)[ _-]?header",
    r"invalid (?:x-api-key|bearer|authentication|credential|authorization)",
    r"invalid (?:username or password|signature)|no (?:auth|api|valid) credentials",
    r"(?:oauth|access|auth|bearer|security|session) token (?:\w{1,12} ){0,4}(?:invalid|expired|revoked)",
    r"unauthenticated|unregistered callers|could not validate credentials",
    r"authentication (?:failed|fails|failure|error|required|credential)|not authenticated",
    r"fails? to authenticate|failed to authenticate|signature we calculated|member of an organi[sz]ation",
    r"credentials? (?:\w{1,12} ){0,3}(?:invalid|expired|missing)|(?:invalid|expired) token\b",
    r"\btoken (?:is |has )?expired|please provide (?:a valid|your|an) api key|missing authorization",
    r"credential should be scoped",
)
_text(
    Fault.PERMISSION,
    frozenset((401,)),
    r"does not have (?:permission|access|the required)",
    r"lacks? (?:the )?(?:required )?(?:permission|data action|privilege)",
    r"insufficient (?:permissions?|scope|privileges)|missing scopes?",
)
# a model's own tool call that the provider could not read: not the caller's fault
_text(
    Fault.MALFORMED_TOOL_CALL,
    _LOOSE,
    r"failed to call a function|model did not call a tool|tool call validation failed",
    r"failed to parse tool call",
)
_text(
    Fault.STRUCTURED_OUTPUT_FAILED,
    _LOOSE,
    r"failed to (?:validate|generate)(?: valid)? json|generated json does not match",
)
_text(
    Fault.CONTENT_POLICY,
    frozenset((0, 400, 403, 406, 422, 451, 498, 500)),
    r"content (?:management )?(?:filter|policy|polic(?:y|ies)|violat|moderation)",
    r"content (?:management )?(?:was blocked|is blocked|blocked)|content[_-]filter",
    r"(?:input|prompt|request|output|content)s? (?:\w{1,12} ){0,6}(?:flagged|violat)",
    r"(?:text|message|image|response)s? (?:\w{1,12} ){0,6}(?:flagged|violat)|requires moderation",
    r"responsible ?ai|guardrail|safety (?:system|filter|guideline|polic|check|reason|setting)",
    r"usage (?:polic(?:y|ies)|guidelines)",
    r"(?:prohibited|inappropriate|harmful|sensitive) (?:content|information|material)",
    r"(?:prohibited|inappropriate|harmful|sensitive) (?:language|text|input)",
    r"(?:unsafe|disallowed|toxic|objectionable) (?:content|information|material|language|text|input)",
    r"blocked (?:input|output|by (?:our |the )?(?:content|safety|policy|moderation))|acceptable use",
    r"content exists risk|copyrighted|recitation|high risk",
)
# the only message for a parameter that names the model as well: before model_gone and the window
_text(
    Fault.UNSUPPORTED_PARAMETER,
    _LOOSE - {404, 403, 401, 429},
    r"unsupported (?:parameter|value|argument|option)",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? (?:is|are|was) deprecated",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? has been deprecated",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? (?:is|are|was) not supported",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? has been not supported",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? (?:is|are|was) removed",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? has been removed",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? (?:is|are|was) unsupported",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? has been unsupported",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? (?:is|are) no longer supported",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? was no longer supported",
    r"(?:^|\| ?)[`'\\"][\w.\[\]]{1,60}[`'\\"](?: and [`'\\"]\w{1,40}[`'\\"])? has been no longer supported",
    r"(?:parameter|argument|option)s?:? [^|]{0,80}?\b(?:is |are )?(?:not supported|unsupported)",
    r"(?:field|sampling)s?:? [^|]{0,80}?\b(?:is |are )?(?:not supported|unsupported)",
    r"(?:parameter|argument|option)s?:? [^|]{0,80}?\b(?:is |are )?(?:deprecated|not compatible)",
    r"(?:field|sampling)s?:? [^|]{0,80}?\b(?:is |are )?(?:deprecated|not compatible)",
    r"argument not supported|not supported (?:on|with|by|for) this model: \w",
    r"does not support (?:the )?parameters?",
    r"does not support (?:the )?[`'\\"]?(?:temperature|top_p|top_k|logprobs|top_logprobs|seed|stop)\b",
    r"does not support (?:the )?[`'\\"]?(?:n|logit_bias|presence_?penalty|frequency_?penalty)\b",
    r"does not support (?:the )?[`'\\"]?(?:max_tokens|reasoning_effort|parallel_tool_calls)\b",
    r"does not support (?:the )?[`'\\"]?(?:service_tier|verbosity)\b",
    r"(?:temperature|top_p)[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported|deprecated)",
    r"(?:top_k|logprobs)[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported|deprecated)",
    r"(?:seed|stop|logit_bias)[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported)",
    r"(?:seed|stop|logit_bias)[`'\\"]? (?:parameter )?(?:is|are|does|do) deprecated",
    r"presence_?penalty[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported|deprecated)",
    r"frequency_?penalty[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported|deprecated)",
    r"(?:max_tokens|reasoning_effort)[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported)",
    r"(?:max_tokens|reasoning_effort)[`'\\"]? (?:parameter )?(?:is|are|does|do) deprecated",
    r"reasoning\.effort[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported|deprecated)",
    r"(?:thinking\.type|effort)[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported)",
    r"(?:thinking\.type|effort)[`'\\"]? (?:parameter )?(?:is|are|does|do) deprecated",
    r"prefill\w*[`'\\"]? (?:parameter )?(?:is|are|does|do) (?:not|n't|unsupported|deprecated)",
)
_text(
    Fault.MODEL_GONE,
    _CALLER,
    r"(?:model|deployment|engine|snapshot)[^|]{0,140}\b(?:deprecated|decommissioned|retired)\b",
    r"(?:version|publisher)[^|]{0,140}\b(?:deprecated|decommissioned|retired)\b",
    r"(?:model|deployment|engine|snapshot)[^|]{0,140}\b(?:discontinued|sunset|sunsetted)\b",
    r"(?:version|publisher)[^|]{0,140}\b(?:discontinued|sunset|sunsetted)\b",
    r"(?:`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\b(?:deprecated|decommissioned|retired)\b",
    r"(?:`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\b(?:discontinued|sunset|sunsetted)\b",
    r"(?:model|deployment|engine|snapshot)[^|]{0,140}\bno longer (?:available|supported|served)\b",
    r"(?:model|deployment|engine|snapshot)[^|]{0,140}\bno longer (?:offered|exists?|being)\b",
    r"(?:version|publisher)[^|]{0,140}\bno longer (?:available|supported|served|offered|exists?|being)\b",
    r"(?:`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\bno longer (?:available|supported|served)\b",
    r"(?:`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\bno longer (?:offered|exists?|being)\b",
    r"(?:model|deployment|engine|snapshot)[^|]{0,140}\bend[- ]of[- ](?:its )?life\b",
    r"(?:model|deployment|engine|snapshot)[^|]{0,140}\b(?:shut ?down|turned off)\b",
    r"(?:version|publisher)[^|]{0,140}\b(?:end[- ]of[- ](?:its )?life|shut ?down|turned off)\b",
    r"(?:`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\bend[- ]of[- ](?:its )?life\b",
    r"(?:`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\b(?:shut ?down|turned off)\b",
    r"(?:model|deployment|engine|snapshot)[^|]{0,140}\b(?:marked (?:by provider )?as legacy|deleted)\b",
    r"(?:version|publisher)[^|]{0,140}\b(?:marked (?:by provider )?as legacy|deleted)\b",
    r"(?:`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\bmarked (?:by provider )?as legacy\b",
    r"(?:`[\w./:@-]{3,80}`|'[\w./:@-]{3,80}')[^|]{0,140}\bdeleted\b",
    r"(?:model|deployment)[^|]{0,100}\b(?:was|were|been) removed",
    r"\b(?:deprecated|decommissioned|retired|discontinued|legacy) (?:model|engine|deployment)",
    unless=r"parameter|argument|field|header|endpoint (?:is|has)",
)
# the window, said outright: also where the same sentence names max_tokens
_text(
    Fault.CONTEXT_WINDOW,
    _LOOSE - {403, 401, 402, 429},
    r"context[ _-]?(?:length|window|size|limit)|maximum (?:context|prompt|input|model|sequence) length",
    r"(?:prompt|input|request) (?:is|are|was|has|have|contains?) (?:too long|too many tokens)",
    r"conversation (?:is|are|was|has|have|contains?) (?:too long|too many tokens)",
    r"(?:prompt|input|request|conversation) (?:is|are|was|has|have|contains?) longer than",
    r"(?:message|messages|text) (?:is|are|was|has|have|contains?) (?:too long|too many tokens)",
    r"(?:message|messages|text) (?:is|are|was|has|have|contains?) longer than|input (?:is )?too long",
    r"prompt too long|input token count",
    r"(?:input|prompt) (?:length|tokens?|size)[^|]{0,80}(?:exceed|greater than|larger than|longer than)",
    r"too large for model with|longer than the maximum model length|max_model_len",
    r"must have less than \d+ tokens|inputs?`? tokens \+",
    r"reduce (?:the length of |your |the )?(?:the )?(?:messages|prompt|input|context)",
    r"range of input length|input tokens exceeded|available context|fit in(?:to)? the context",
    unless=r"not (?:yet )?available|string too long|max_?(?:completion_|output_|new_)?tokens:? \d+ >",
)
# how much is asked for, not how much is sent: no larger window helps
_text(
    Fault.INVALID_REQUEST,
    _CALLER,
    r"string too long",
    r"max_?(?:completion_|output_|new_)?tokens`?:? (?:is too large|\d+ >|must be|should be)",
    r"max_?(?:completion_|output_|new_)?tokens`?:? (?:cannot|exceeds|value)",
    r"(?:completion|output) tokens[^|]{0,40}(?:at most|maximum allowed)",
    r"maximum allowed number of output tokens|maximum tokens you requested",
)
_text(
    Fault.CONTEXT_WINDOW,
    frozenset((0, 400, 413, 422)),
    r"too many (?:input |total |prompt )?tokens",
    r"tokens?\b[^|]{0,60}\b(?:exceeds?|exceeded|exceeding)\b[^|]{0,60}(?:limit|max|allowed|token|\d)",
    r"tokens?\b[^|]{0,60}\b(?:more than|greater than)\b[^|]{0,60}(?:limit|max|allowed|token|\d)",
    r"tokens?\b[^|]{0,60}\b(?:over|cannot exceed)\b[^|]{0,60}(?:limit|max|allowed|token|\d)",
    r"tokens?\b[^|]{0,60}\b(?:must be <=|above)\b[^|]{0,60}(?:limit|max|allowed|token|\d)",
    r"exceeds? (?:the |its )?(?:\w{1,12} ){0,3}(?:max\w*|limit|number) (?:\w{1,12} ){0,4}tokens",
    r"max(?:imum)? size: \d+ tokens|token limit",
    unless=r"per min|tpm|rate limit|please wait",
)
_text(
    Fault.REQUEST_TOO_LARGE,
    frozenset((0, 400, 413, 422)),
    r"(?:request|payload)(?: content| body| payload| entity)?(?: size)? (?:is )?(?:too large|exceeds)",
    r"(?:request|payload)(?: content| body| payload| entity)?(?: size)? (?:is )?exceeded",
    r"(?:body|entity)(?: content| body| payload| entity)?(?: size)? (?:is )?(?:too large|exceeds)",
    r"(?:body|entity)(?: content| body| payload| entity)?(?: size)? (?:is )?exceeded",
    r"(?:request|payload)(?: content| body| payload| entity)?(?: size)? (?:is )?(?:larger than|over)",
    r"(?:body|entity)(?: content| body| payload| entity)?(?: size)? (?:is )?(?:larger than|over)",
    r"maximum allowed number of bytes|too large a (?:request|body)|content too large",
    r"exceeds? (?:the )?(?:maximum )?(?:request|payload|body) size",
)
# ids of things that live at one provider: no fallback can know them
_text(
    Fault.INVALID_REQUEST,
    frozenset((0, 400, 404)),
    r"(?:response|item|file|thread|conversation)s?\b[^|]{0,20} (?:with id |id |found with id |not found)",
    r"(?:assistant|batch|vector store)s?\b[^|]{0,20} (?:with id |id |found with id |not found)",
    r"(?:container|run|cached ?content)s?\b[^|]{0,20} (?:with id |id |found with id |not found)",
    r"(?:message|tool_call_id)s?\b[^|]{0,20} (?:with id |id |found with id |not found)",
    unless=r"\bmodel\b|deployment|endpoints? found",
)
_text(
    Fault.INVALID_REQUEST,
    frozenset((0, 404, 405)),
    r"invalid url|unknown (?:request )?url|no (?:such )?(?:route|handler)",
    r"cannot (?:get|post|put|delete) /|unrecognized request url|page not found|method not allowed",
    r"requested url\b.{0,200}\bwas not found on this server|^not found$|route [^|]{0,80}not found",
    r"path [^|]{0,80}not found|unknown (?:path|route)|not found: /",
)
# a model that exists and can do other things
_text(
    Fault.CAPABILITY_MISMATCH,
    _LOOSE - {401, 429, 402},
    r"no endpoints found that support",
    r"(?:does not|doesn't) (?:\w{1,12} ){0,2}?(?:support|accept)\b(?! (?:on-demand|this api|parameter))",
    r"do not (?:\w{1,12} ){0,2}?(?:support|accept)\b(?! (?:on-demand|this api|parameter))",
    r"(?:does not|doesn't) (?:\w{1,12} ){0,2}?(?:handle|process)\b(?! (?:on-demand|this api|parameter))",
    r"do not (?:\w{1,12} ){0,2}?(?:handle|process)\b(?! (?:on-demand|this api|parameter))",
    r"(?:don't|cannot) (?:\w{1,12} ){0,2}?(?:support|accept)\b(?! (?:on-demand|this api|parameter))",
    r"can't (?:\w{1,12} ){0,2}?(?:support|accept)\b(?! (?:on-demand|this api|parameter))",
    r"(?:don't|cannot) (?:\w{1,12} ){0,2}?(?:handle|process)\b(?! (?:on-demand|this api|parameter))",
    r"can't (?:\w{1,12} ){0,2}?(?:handle|process)\b(?! (?:on-demand|this api|parameter))",
    r"(?:image|vision)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"(?:audio|video)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"(?:image|vision|audio|video)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"(?:tool|tools|function)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"(?:tool|tools|function)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"(?:image|vision)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"(?:audio|video)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"(?:tool|tools|function)s?\b[^|]{0,50} (?:is|are) (?:not|currently not) (?:implemented|allowed)",
    r"(?:tool|tools|function)s?\b[^|]{0,50} (?:is|are) only (?:implemented|allowed)",
    r"function callings?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"tool uses?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"(?:function calling|tool use)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"tool callings?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled|available)",
    r"function callings?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"tool uses?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"tool callings?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"(?:image|vision|audio|video|tool|tools|function)s?\b[^|]{0,50} (?:is|are) unsupported",
    r"(?:function calling|tool use|tool calling)s?\b[^|]{0,50} (?:is|are) unsupported",
    r"(?:tool choice|streaming)s?\b[^|]{0,50} (?:is|are) (?:not|currently not) (?:supported|enabled)",
    r"(?:tool choice|streaming)s?\b[^|]{0,50} (?:is|are) only (?:supported|enabled)",
    r"(?:tool choice|streaming)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"(?:json mode|json_schema)s?\b[^|]{0,50} (?:is|are) (?:not|currently not) (?:supported|enabled)",
    r"(?:json mode|json_schema)s?\b[^|]{0,50} (?:is|are) only (?:supported|enabled)",
    r"(?:json mode|json_schema)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"(?:tool choice|streaming)s?\b[^|]{0,50} (?:is|are) (?:not|currently not) (?:implemented|allowed)",
    r"(?:tool choice|streaming)s?\b[^|]{0,50} (?:is|are) only (?:implemented|allowed)",
    r"(?:json mode|json_schema)s?\b[^|]{0,50} (?:is|are) (?:not|currently not) (?:implemented|allowed)",
    r"(?:json mode|json_schema)s?\b[^|]{0,50} (?:is|are) only (?:implemented|allowed)",
    r"structured outputs?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"structured outputs?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"structured outputs?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"(?:tool choice|streaming|json mode|json_schema)s?\b[^|]{0,50} (?:is|are) unsupported",
    r"structured outputs?s?\b[^|]{0,50} (?:is|are) unsupported",
    r"response_formats?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"response_formats?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"response_formats?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"system (?:role|prompt)s?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"system instructions?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"system (?:role|prompt|instruction)s?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"system messages?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"system messages?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"system (?:role|prompt)s?s?\b[^|]{0,50} (?:is|are) (?:not|currently not) (?:implemented|allowed)",
    r"system (?:role|prompt)s?s?\b[^|]{0,50} (?:is|are) only (?:implemented|allowed)",
    r"system instructions?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"system messages?s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"developer instructions?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"developer instructions?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"developer instructions?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"response_formats?\b[^|]{0,50} (?:is|are) unsupported",
    r"system (?:role|prompt|instruction|message)s?s?\b[^|]{0,50} (?:is|are) unsupported",
    r"developer instructions?\b[^|]{0,50} (?:is|are) unsupported",
    r"(?:thinking|reasoning)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"(?:thinking|reasoning)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"multimodals?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled|available)",
    r"(?:thinking|reasoning)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"multimodals?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"(?:modality|pdf|document)s?\b[^|]{0,50} (?:is|are) (?:not|currently not) (?:supported|enabled)",
    r"(?:modality|pdf|document)s?\b[^|]{0,50} (?:is|are) only (?:supported|enabled)",
    r"files?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:supported|enabled)",
    r"(?:modality|pdf|document|file)s?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) available",
    r"(?:modality|pdf|document)s?\b[^|]{0,50} (?:is|are) (?:not|currently not) (?:implemented|allowed)",
    r"(?:modality|pdf|document)s?\b[^|]{0,50} (?:is|are) only (?:implemented|allowed)",
    r"files?\b[^|]{0,50} (?:is|are) (?:not|currently not|only) (?:implemented|allowed)",
    r"(?:thinking|reasoning|multimodal|modality|pdf|document|file)s?\b[^|]{0,50} (?:is|are) unsupported",
    r"not (?:a )?(?:multimodal|multi-modal|vision|chat) (?:model|completion)|not a chat model",
    r"only supported in v1/|at most 0 (?:image|audio|video)|requires --enable-auto-tool-choice",
    r"unsupported (?:content|modality|input) type|not supported in the v1/",
    r"without (?:vision|tool|image) support|no chat template|does not work with the specified model",
    unless=r"is not found|not found for api version|does not exist|unsupported (?:country|region)",
)
_text(
    Fault.NOT_FOUND,
    frozenset((0, 400, 403, 404, 422)),
    r"(?:model|deployment|engine|publisher)s?\b[^|]{0,160}?(?:not found|not_found|does not exist)",
    r"(?:model|deployment|engine|publisher)s?\b[^|]{0,160}?(?:doesn't exist|not exist)",
    r"(?:endpoint|inference profile)s?\b[^|]{0,160}?(?:not found|not_found|does not exist)",
    r"(?:endpoint|inference profile)s?\b[^|]{0,160}?(?:doesn't exist|not exist)",
    r"(?:model|deployment|engine|publisher)s?\b[^|]{0,160}?(?:could not be found|cannot be found)",
    r"(?:model|deployment|engine|publisher)s?\b[^|]{0,160}?can't be found",
    r"(?:endpoint|inference profile)s?\b[^|]{0,160}?(?:could not be found|cannot be found)",
    r"(?:endpoint|inference profile)s?\b[^|]{0,160}?can't be found",
    r"(?:model|deployment|engine|publisher)s?\b[^|]{0,160}?(?:is invalid|isn't valid|not a valid)",
    r"(?:endpoint|inference profile)s?\b[^|]{0,160}?(?:is invalid|isn't valid|not a valid)",
    r"(?:model|deployment|engine|publisher)s?\b[^|]{0,160}?(?:not valid|unknown|not recognized)",
    r"(?:endpoint|inference profile)s?\b[^|]{0,160}?(?:not valid|unknown|not recognized)",
    r"(?:model|deployment|engine|publisher)s?\b[^|]{0,160}?(?:not servable|not deployed|not available)",
    r"(?:endpoint|inference profile)s?\b[^|]{0,160}?(?:not servable|not deployed|not available)",
    r"(?:unknown|invalid|unrecognized|non-existent) (?:\w{1,12} )?(?:model|deployment|engine)\b",
    r"(?:no such|nonexistent) (?:\w{1,12} )?(?:model|deployment|engine)\b",
    r"(?:not found|could not find|couldn't find|unable to (?:access|find))\b[^|]{0,20} (?:the )?model\b",
    r"(?:cannot find|no)\b[^|]{0,20} (?:the )?model\b",
    r"no (?:endpoints|allowed providers|providers|available providers?) (?:found|are)|try pulling it",
    r"could not resolve the foundation model|is not a valid model|on-demand throughput",
    r"model:? [\w./:@-]{3,80}$|not found for account",
    unless=r"(?:does not|doesn't|do not|don't) have (?:access|permission) to (?!it)|not allowed|tool_call|temporarily|verified",
)
_text(
    Fault.PERMISSION,
    frozenset((0, 403, 404)),
    r"permission|(?:does not|doesn't|do not|don't|not) (?:\w{1,12} )?have (?:\w{1,12} )?access",
    r"not (?:authorized|allowed|permitted|entitled|enabled for)",
    r"access (?:is |was )?(?:denied|forbidden|restricted|to (?:this |the )?model)|must be verified",
    r"forbidden|gated|(?:no|without|requires?|request) access|not available (?:to|for|on|in) your",
    r"upgrade (?:your|to)|have been blocked|rbac",
)
# with a 400 the same words are more often about a field
_text(
    Fault.PERMISSION,
    frozenset((400, 422)),
    r"(?:does not|doesn't|do not|don't) have (?:access|permission)",
    r"not (?:authorized|allowed|entitled) to (?:use|access|sample|perform|invoke|call)|access denied",
    r"permission denied|must be verified",
    r"not available (?:to|for|on|in) your (?:account|organi|plan|tier|subscription)",
    r"not available (?:to|for|on|in) your (?:project|team|workspace)",
    r"not (?:yet )?available for this subscription",
)
_text(
    Fault.CONFLICT,
    frozenset((0, 409)),
    r"already (?:in progress|being processed|exists)|conflict",
)

# It never heals by itself: too little memory for this model on that machine.
_text(
    Fault.SERVER_ERROR,
    _SERVER,
    r"requires more (?:system |gpu )?memory|not enough (?:gpu )?memory to load",
    r"insufficient memory to load",
    again=False,
)
_text(
    Fault.MODEL_LOADING,
    frozenset((0, 409, 424, 425, 429, 500, 502, 503, 504)),
    r"(?:model|server|replica|endpoint)[^.|]{0,120}\b(?:loading|warming|starting up|initiali[sz]ing)",
    r"(?:instance|deployment)[^.|]{0,120}\b(?:loading|warming|starting up|initiali[sz]ing)",
    r"(?:model|server|replica|endpoint)[^.|]{0,120}\b(?:not (?:yet )?ready|cold[- ]start|waking up)",
    r"(?:instance|deployment)[^.|]{0,120}\b(?:not (?:yet )?ready|cold[- ]start|waking up)",
    r"(?:model|server|replica|endpoint|instance|deployment)[^.|]{0,120}\bscal(?:ing|ed) (?:up|to)",
    r"(?:model|server|replica|endpoint)[^.|]{0,120}\bbeing (?:loaded|deployed|downloaded|started)",
    r"(?:instance|deployment)[^.|]{0,120}\bbeing (?:loaded|deployed|downloaded|started)",
    r"loading (?:the )?model|cold[- ]?(?:start|boot)|still (?:loading|starting|booting)|warming up",
    unless=r"overloaded",
    words="load warm start initiali ready cold waking scal being",
)
_text(
    Fault.RATE_LIMIT_ACCELERATION,
    frozenset((0, 503, 529)),
    r"slow down|request rate increased|ramp(?:ing)? up",
)
_text(
    Fault.OVERLOADED,
    _SERVER,
    r"overload|over capacity|(?:at|no|insufficient|lack of|limited|exceed\w*) (?:\w{1,12} )?capacity",
    r"(?:low|full|out of|available|current) (?:\w{1,12} )?capacity",
    r"capacity (?:\w{1,12} ){0,3}(?:exceeded|exhausted|reached|constraints?|limit|unavailable|is full)",
    r"(?:high|heavy|peak|unusual|increased|excessive) (?:\w{1,12} )?(?:demand|load|traffic|volume)",
    r"peak load|too busy|\bbusy\b|maximum pending requests",
    r"(?:queue|backlog) (?:is )?(?:full|too long|exceeded)|temporarily unavailable",
    r"resource exhausted\. please try again|insufficient[ _]system[ _]resource|too many connections",
    r"not enough (?:resources|workers)",
    r"no (?:available|healthy) (?:workers?|instances?|servers?|backends?)|no instances? available",
    r"system resources",
    unless=r"rate limit|tokens? per|requests? per",
    words="overload capacity demand load traffic volume busy pending queue backlog unavailable" " resource connections worker instance backend server",
)
_text(
    Fault.TIMEOUT,
    _SILENT,
    r"timed? ?-?out|deadline (?:exceeded|expired)|within the deadline|took too long|before the deadline",
    r"deadline_exceeded",
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
