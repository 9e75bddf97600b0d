"""Codes, types and statuses: what machines say to machines.

`EXACT`    codes that mean one thing wherever they appear; the first row that has one wins
`WEAK`     codes that name only the family; asked after the sentences
`WEAKEST`  as `WEAK`, but only where there is no status either
`STATUS`   the status alone, when nothing else spoke

Words are squeezed to lower case letters and digits: `Rate-Limit_Exceeded` is `ratelimitexceeded`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.model import Fault, Scope


@dataclass(frozen=True, slots=True)
class Ruling:
    """A class and, where the evidence says more than the class, how far it reaches and whether
    the same target may be asked again (None: as the class says)."""

    fault: Fault
    scope: Scope | None = None
    again: bool | None = None


def _exact(fault: Fault, words: str, scope: Scope | None = None) -> tuple[Ruling, frozenset[str]]:
    return Ruling(fault, scope), frozenset(words.split())


EXACT: tuple[tuple[Ruling, frozenset[str]], ...] = (
    _exact(
        Fault.ORG_LIMIT,
        "organizationspendlimitexceeded projectspendlimitexceeded spendlimitexceeded"
        " spendlimitreached spendinglimitreached budgetexceeded blockedapiaccess"
        " servicequotaexceededexception billinghardlimitreached hardlimitreached"
        " organizationusagelimitexceeded usagelimitexceeded usagelimitreached"
        " monthlyspendlimitreached",
    ),
    _exact(
        Fault.BILLING,
        "billingnotactive billingerror billingdisabled insufficientcredits insufficientbalance"
        " insufficientbalanceerror paymentrequired accountsuspended arrearage creditsexhausted"
        " creditserror nocredits outofcredits creditbalancetoolow insufficientfunds"
        " accountoverdueerror",
    ),
    _exact(
        Fault.REGION_BLOCKED,
        "unsupportedcountryregionterritory unsupportedcountry regionnotsupported countryblocked",
    ),
    _exact(
        Fault.QUOTA_EXHAUSTED,
        "insufficientquota exceededcurrentquotaerror insufficientuserquota tokenquotareached"
        " quotaexhausted consumptionlimitreached",
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
        "modeldecommissioned modeldeprecated modelretired deploymentretired modelremoved"
        " modelnolongeravailable modeleol",
    ),
    _exact(
        Fault.CONTEXT_WINDOW,
        "contextlengthexceeded contextwindowexceeded exceedcontextsizeerror"
        " contextlengthexceedederror tokenslimitreached maxcontextlengthexceeded"
        " modelcontextwindowexceeded contextwindowexceedederror prompttoolong inputtoolong"
        " promptistoolong",
    ),
    _exact(
        Fault.CONTENT_POLICY,
        "contentfilter contentpolicyviolation invalidprompt moderationblocked guardrailerror"
        " responsibleaipolicyviolation datainspectionfailed contentfiltererror contentmoderation"
        " cyberpolicyviolation biopolicy imagecontentpolicyviolation guardrailintervened"
        " safetyerror contentpolicyviolationerror sensitivecontentdetected imagegenerationusererror",
    ),
    _exact(
        Fault.AUTH,
        "invalidapikey apikeyinvalid apikeyexpired incorrectapikey missingapikey"
        " invalidauthenticationerror expiredtokenexception expiredtoken unrecognizedclientexception"
        " invalidsignatureexception incompletesignatureexception"
        " missingauthenticationtokenexception missingauthenticationtoken invalidclienttokenid"
        " accesstokenexpired authenticationtokenexpired invalidsubscriptionkey credentialsmissing"
        " accountdeactivated keydisabled",
    ),
    _exact(
        Fault.PERMISSION,
        "organizationrestricted servicedisabled apikeyservicerestriction apikeyhttpreferrerblocked",
        Scope.KEY,
    ),
    _exact(
        Fault.PERMISSION,
        "apikeyipaddressblocked modelpermissionblockedorg modeltermsrequired ipnotallowed"
        " accountflagged consumersuspended accountdisabled",
        Scope.KEY,
    ),
    _exact(Fault.MODEL_LOADING, "modelnotreadyexception deploymentnotready modelnotready modelloading"),
    # AWS gave the model minutes: the same request takes as long again
    _exact(Fault.TIMEOUT, "modeltimeoutexception"),
    _exact(Fault.STRUCTURED_OUTPUT_FAILED, "jsonvalidatefailed structuredoutputfailed"),
    _exact(Fault.MALFORMED_TOOL_CALL, "toolusefailed outputparsefailed"),
    _exact(
        Fault.OVERLOADED,
        "engineoverloaded engineoverloadederror overloadederror overloaded modeloverloaded"
        " serveroverloaded servicetiercapacityexceeded capacityexceeded overcapacity nocapacity"
        " deploymentovercapacity servicebusy serverbusy modelovercapacity"
        " servicetemporarilyunavailable insufficientcapacity serviceunavailableexception"
        " serviceunavailableerror modelatcapacity resourceunavailable serverisoverloaded",
    ),
    _exact(
        Fault.SERVER_ERROR,
        "modelerrorexception modelstreamerrorexception internalserverexception enginedeaderror"
        " vectorstoretimeout",
    ),
    _exact(Fault.CAPABILITY_MISMATCH, "operationnotsupported"),
    _exact(
        Fault.UNSUPPORTED_PARAMETER,
        "unsupportedparameter unsupportedvalue unsupportedparam unsupportedparamserror",
    ),
    _exact(
        Fault.INVALID_REQUEST,
        "stringabovemaxlength arrayabovemaxlength invalidjsonschema invalidfunctionparameters"
        " unknownparameter missingrequiredparameter invalidencryptedcontent unknownurl invalidtype"
        " invalidbase64 invalidimage invalidimageurl integerabovemaxvalue integerbelowminvalue"
        " decimalabovemaxvalue decimalbelowminvalue emptyarray previousresponsenotfound",
    ),
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
        "modelnotfound deploymentnotfound notfounderror resourcenotfoundexception invalidmodel"
        " modelnotavailable notfound modelnotsupported modelnotfounderror",
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
        "servererror apierror internalservererror internalerror internal internalfailure"
        " upstreamerror providererror",
    ),
    _exact(
        Fault.INVALID_REQUEST,
        "invalidrequesterror invalidargument validationexception validationerror badrequest badrequesterror",
    ),
)
_, LIMITED = _exact(
    Fault.RATE_LIMIT_UNKNOWN,
    "ratelimitexceeded ratelimiterror ratelimited ratelimit ratelimitreached resourceexhausted"
    " throttlingexception throttled toomanyrequests toomanyrequestsexception modelratelimit"
    " throttling ratelimitreachederror quotaexceeded requestlimitexceeded limitrequests"
    " dynamicrequestlimited dynamictokenlimited tokens requests throttlingratequota"
    " throttlingallocationquota",
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
