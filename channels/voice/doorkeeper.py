"""Who may call us: the trunk itself, networks that are trusted, and whoever proves a password. Nobody else gets an answer."""

from __future__ import annotations

import ipaddress
import logging
import secrets

import structlog
from prometheus_client import Counter

from channels.voice.settings import SipSettings
from ivr.sip.agent import Admission, Admitted, Challenged, Dropped
from ivr.sip.digest import Credentials, Proved, Verifier
from ivr.sip.hop import Hop
from ivr.sip.message import Request
from ivr.trunk import Trunk, plain_host

log = structlog.get_logger(__name__)

KEY_BYTES = 32
"""Of the key that signs nonces, made at every start: what was signed before is stale."""
LINE_EVERY_S = 60.0
"""Strangers knock by the thousand: one line of the log tells of all that came in this time."""

NOT_ADMITTED = Counter(
    "tocsin_sip_not_admitted_total",
    "Requests that were not let in: dropped, or with a wrong password",
    ["provider", "reason"],
)


class _Notices:
    """Tells of what strangers do again and again: each time in a counter, now and then in the log."""

    def __init__(self, provider: str, event: str, reason: str, level: int) -> None:
        self._counter = NOT_ADMITTED.labels(provider, reason)
        self._level = level
        self._event = event
        self._provider = provider
        self._next_at: float | None = None
        self._left_out = 0

    def add(self, request: Request, hop: Hop, now: float) -> None:
        """It happened once more."""
        self._counter.inc()
        if self._next_at is not None and now < self._next_at:
            self._left_out += 1
            return
        known = {"provider": self._provider, "method": request.method, "source": str(hop)}
        log.log(self._level, self._event, left_out=self._left_out, **known)
        self._next_at, self._left_out = now + LINE_EVERY_S, 0


class Doorkeeper:
    """Decides over every request from outside a dialog. The number that it claims to come from proves nothing."""

    def __init__(self, settings: SipSettings, trunk: Trunk) -> None:
        self._trunk = trunk
        self._trusted = tuple(ipaddress.ip_network(network, strict=False) for network in settings.trusted)
        self._dropped = _Notices(settings.name, "sip_request_dropped", "dropped", logging.INFO)
        self._wrong = _Notices(settings.name, "sip_password_wrong", "wrong_password", logging.WARNING)
        self._verifier: Verifier | None = None
        password = settings.inbound_password.get_secret_value()
        if password:
            self._verifier = Verifier(
                realm=settings.domain or settings.host,
                credentials=Credentials(username=settings.inbound_username, password=password),
                key=secrets.token_bytes(KEY_BYTES),
            )

    def __call__(self, request: Request, hop: Hop, now: float) -> Admission:
        """See `ivr.sip.agent.Doorkeeper`."""
        if self.knows(hop):
            return Admitted()
        if self._verifier is None:
            self._dropped.add(request, hop, now)
            return Dropped()
        stale = False
        for value in request.headers.all("Authorization"):
            proof = self._verifier.check(value, method=request.method, uri=request.uri, now=now)
            if isinstance(proof, Proved):
                return Admitted()
            stale = stale or proof.stale
            if not proof.stale:
                self._wrong.add(request, hop, now)
        return Challenged(self._verifier.challenges(now, secrets.token_hex(8), stale=stale))

    def knows(self, hop: Hop) -> bool:
        """Whether whoever is there may come in without a proof."""
        return self._trunk.is_from(hop) or self._is_trusted(hop.host)

    def _is_trusted(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(plain_host(host))
        except ValueError:
            return False
        return any(address in network for network in self._trusted)
