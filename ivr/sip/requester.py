"""Our requests within one dialog (RFC 3261, 12.2.1): each with a number and credentials of its own, sent again where challenged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ivr.sip.dialog import Dialog, in_dialog, next_request, refreshed
from ivr.sip.digest import AUTHENTICATE, Asker, Prover
from ivr.sip.events import Lost
from ivr.sip.headers import Headers
from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response

if TYPE_CHECKING:
    from ivr.sip.agent import UserAgent

TRIES_MAX = 4
"""How often one request is sent at most: there are two or three on its way who can ask for credentials."""
LINGER_S = 32.0
"""64*T1: so long a final answer may still come to what was given up."""

Then = Callable[[Response | None, float], None]


def _nothing(_response: Response | None, _now: float) -> None:
    """Nothing follows from the answer."""


class Requester:
    """Our side of one dialog, early or confirmed: its state, where its requests go, and what proves who we are. `home`: where
    they go when their connection is lost and nothing else is known."""

    def __init__(self, agent: UserAgent, dialog: Dialog, hop: Hop, prover: Prover, *, home: Hop) -> None:
        self.agent = agent
        self.dialog = dialog
        self.hop = hop
        self.home = home
        self.prover = prover

    def confirm(self, dialog: Dialog, hop: Hop) -> None:
        """The early dialog was answered: route and target are those of the 2xx, the numbers go on (RFC 3261, 13.2.2.4)."""
        old = self.dialog
        self.dialog = replace(dialog, local_cseq=old.local_cseq, remote_cseq=old.remote_cseq)
        self.hop = hop

    def refresh(self, message: Request | Response) -> None:
        """A re-INVITE or an UPDATE, theirs or the 2xx to ours, may name another target (RFC 3261, 12.2.1.2; RFC 3311, 5)."""
        self.dialog = refreshed(self.dialog, message)
        self.hop = self.agent.hop_of(self.dialog.next_hop(), self.hop)

    def connection_lost(self, hop: Hop) -> None:
        """A closed connection is not used again: at the port that it came from nobody listens. What comes next goes to the route
        set, or to the Contact (RFC 3261, 12.2.1.1 and 18.1.1)."""
        if self.hop == hop:
            self.hop = self.agent.hop_of(self.dialog.next_hop(), self.home, connected=False)

    def ask(
        self, method: str, now: float, *,
        headers: Iterable[tuple[str, str]] = (), body: bytes = b"", then: Then = _nothing,
    ) -> Asked:  # fmt: skip
        """Sends the next request of the dialog; `then` hears once of its final answer, or None where there is none."""
        asked = Asked(self, method, tuple(headers), body, then)
        asked.send(now)
        return asked

    def compose(self, method: str, headers: Iterable[tuple[str, str]], body: bytes) -> Request:
        """The next request, its credentials made for it (RFC 7616, 3.4)."""
        self.dialog, request = next_request(
            self.dialog, method, via=self.agent.via(self.hop), contact=self._contact, headers=headers, body=body
        )
        proofs = self.prover.headers(method, request.uri, body)
        return replace(request, headers=Headers([*request.headers, *proofs]))

    def acknowledge(self, invite: Request) -> Request:
        """Sends the ACK of a 2xx: of the dialog, with the INVITE's number and credentials (RFC 3261, 13.2.2.4 and 22.1)."""
        proofs = [(name, value) for _, name in AUTHENTICATE.values() for value in invite.headers.all(name)]
        ack = in_dialog(
            self.dialog, "ACK", invite.cseq.number, via=self.agent.via(self.hop), contact=self._contact, headers=proofs
        )
        self.agent.send(ack, self.hop)
        return ack

    @property
    def _contact(self) -> str:
        return self.agent.local.contact(self.hop.transport)


class Asked:
    """One request of ours under way: sent again where it is challenged, a repeated 2xx of an INVITE acknowledged again."""

    def __init__(
        self, side: Requester, method: str, headers: tuple[tuple[str, str], ...], body: bytes, then: Then
    ) -> None:
        self._side = side
        self._method = method
        self._headers = headers
        self._body = body
        self._then = then
        self._tried: frozenset[Asker] = frozenset()
        self._times = 0
        self._request: Request | None = None
        self._ack: Request | None = None
        self._key = ""

    def send(self, now: float) -> None:
        """Sends it, for the first time or again."""
        self._times += 1
        self._request = self._side.compose(self._method, self._headers, self._body)
        self._key = self._side.agent.transact(self._request, self._side.hop, self, now)

    def give_up(self, now: float) -> None:
        """It is not sent again; its final answer gets its ACK for a while, if one comes at all."""
        self._times = TRIES_MAX
        self._side.agent.at(now + LINGER_S, lambda _: self._side.agent.forget(self._key))

    def on_response(self, _key: str, response: Response, _source: Hop, now: float) -> None:
        """An answer: a provisional one says nothing here."""
        if self._ack is not None:  # the 2xx again: the same ACK (RFC 3261, 13.2.2.4)
            self._side.agent.send(self._ack, self._side.hop)
        elif response.status >= 200:
            if self._proves_more(response):
                self.send(now)
                return
            if response.status < 300:
                self._succeeded(response)
            self._then(response, now)

    def on_lost(self, _key: str, _lost: Lost, now: float) -> None:
        """No answer."""
        self._then(None, now)

    def _proves_more(self, response: Response) -> bool:
        """Whether it was challenged by somebody whom we can answer and have not answered yet."""
        if response.status not in AUTHENTICATE or self._times >= TRIES_MAX:
            return False
        askers = self._side.prover.take(response.status, response.headers, self._tried)
        self._tried |= askers
        return bool(askers)

    def _succeeded(self, response: Response) -> None:
        """A 2xx: that to an INVITE gets its ACK (RFC 3261, 13.2.2.4)."""
        if self._method in ("INVITE", "UPDATE"):
            self._side.refresh(response)
        if self._method == "INVITE":
            assert self._request is not None
            self._ack = self._side.acknowledge(self._request)
