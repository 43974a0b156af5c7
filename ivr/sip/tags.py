"""To tags of ours: unguessable, and the same each time that a request comes, without being kept."""

from __future__ import annotations

import hashlib
import hmac

from ivr.sip.headers import parse_cseq
from ivr.sip.message import Request


class Tags:
    """Tags that follow from a request and a secret: a repeated request, and the CANCEL of an INVITE, give the same one
    (RFC 3261, 8.2.7 and 9.2)."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def of(self, request: Request) -> str:
        """The tag of our answers to this request."""
        via, cseq = request.top_via, parse_cseq(request.headers.get("CSeq") or "")
        number = "" if cseq is None else str(cseq.number)
        names = (request.call_id, request.from_.tag or "", number, "" if via is None else via.branch or "")
        octets = "\n".join(names).encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, octets, hashlib.sha256).hexdigest()[:16]
