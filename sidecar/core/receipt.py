"""What the owner of a deferred call is told as long as there is no answer: 202, and where to ask [R22]."""

from __future__ import annotations

import msgspec

from sidecar.core.jobs import Receipt
from sidecar.model import Head, Headers, Tier

PLACE = "/llm-sidecar/jobs/"  # on the listener; no provider has this name
ASK_AGAIN = 10  # seconds, for a client that polls


def waiting(receipt: Receipt, reason: str = "") -> tuple[Head, bytes]:
    """What is said of a job that has no answer yet; `reason` why it was deferred."""
    url = PLACE + receipt.id
    job = {"id": receipt.id, "state": "waiting", "url": url, "expires": int(receipt.expires)}
    body = msgspec.json.encode({"object": "llm_sidecar.job", "degraded": True, **job})
    headers: Headers = (
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"location", url.encode()),
        (b"retry-after", b"%d" % ASK_AGAIN),
        (b"x-llm-sidecar-job", receipt.id.encode()),
        (b"x-llm-sidecar-served-by", b"deferred"),
        (b"x-llm-sidecar-tier", Tier.DEFERRED.value.encode()),
    )
    if reason:
        headers += ((b"x-llm-sidecar-degraded", reason.encode()),)
    return Head(202, "Accepted", headers), body
