"""One early dialog of a call of ours (RFC 3261, 12.1): what a phone says before it answers, and what we say to it."""

from __future__ import annotations

from ivr.sip.bodies import sdp_of
from ivr.sip.dialog import early_status
from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response
from ivr.sip.negotiation import Negotiation
from ivr.sip.requester import Requester
from ivr.sip.session import SDP


class EarlyDialog:
    """The phones of a fork have one each, and may each give an answer of their own. `preview` is the description that came
    unreliably: the answer only if the 2xx of the same dialog has none (RFC 3261, 13.2.1)."""

    def __init__(self, side: Requester, negotiation: Negotiation) -> None:
        self.side = side
        self.negotiation = negotiation
        self.preview = b""
        self._rseq: int | None = None

    def on_provisional(self, invite: Request, response: Response, now: float) -> None:
        """A provisional answer beyond 100. A body that is no description leaves the preview as it is."""
        body = sdp_of(response)
        self.preview = body or self.preview
        rseq = reliable_rseq(response)
        if rseq is None or (self._rseq is not None and rseq != self._rseq + 1):
            # one that comes again, or before another that is missing, gets no PRACK: it is sent again (RFC 3262, 4)
            return
        self._rseq = rseq
        if body:  # what is answered reliably to our offer is final (RFC 3261, 13.2.1)
            self.negotiation.accept(body)
        self.side.ask("PRACK", now, headers=[("RAck", f"{rseq} {invite.cseq}")])

    def on_request(self, key: str, request: Request, source: Hop, now: float) -> None:
        """A request of the other side before its answer. A BYE gives the dialog up: whoever has it forgets it."""
        status, headers, answer = early_status(request.method), list[tuple[str, str]](), b""
        offer = sdp_of(request)
        if request.method == "BYE":
            status = 200
        elif request.method == "INVITE":
            status = 491  # ours is not answered yet (RFC 3261, 14.2)
        elif request.method == "UPDATE" and offer and self.negotiation.offering:
            status = 491  # nor is our offer (RFC 3311, 5.2)
        elif request.method == "UPDATE":
            found = self.negotiation.answer(offer) if offer else b""
            if found is None:
                status = 488
            else:
                self.side.refresh(request)
                headers, answer = [SDP] if found else [], found
        self.side.agent.answer(key, request, status, source.transport, now, headers, answer)


def reliable_rseq(response: Response) -> int | None:
    """The number of a provisional answer that is sent reliably (RFC 3262, 4); None where it is not."""
    required = {value.lower() for value in response.headers.elements("Require")}
    rseq = response.headers.get("RSeq") or ""
    return int(rseq) if "100rel" in required and rseq.isascii() and rseq.isdigit() and len(rseq) <= 10 else None
