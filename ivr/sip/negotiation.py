"""Offer and answer (RFC 3264) from the side of one call: what we said, what they said, and what follows for the media."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from ivr.sip import offers, sdp
from ivr.sip.sdp import AudioSession, CryptoAttribute, Rejected, SessionDescription


class Negotiation:
    """One call's media, as its offers and answers make them. `agreed` is the state both ends have now."""

    def __init__(
        self,
        *,
        address: str,
        port: int,
        session_id: int,
        codecs: Sequence[str] = ("PCMA", "PCMU"),
        crypto: Sequence[CryptoAttribute] = (),
        events: bool = True,
    ) -> None:
        self._address = address
        self._port = port
        self._session_id = session_id
        self._codecs = tuple(codecs)
        self._crypto = tuple(crypto)
        self._events = events
        self._told: SessionDescription | None = None
        self._offered: SessionDescription | None = None
        self._local: SessionDescription | None = None
        self.agreed: AudioSession | None = None
        self.refusal = ""
        """Why the last description of the other side was not taken."""

    def forked(self) -> Negotiation:
        """The same state towards one of several phones, who may each give an answer of their own (RFC 3261, 13.2.1)."""
        return copy(self)

    @property
    def offering(self) -> bool:
        """Whether an offer of ours waits for its answer."""
        return self._offered is not None

    def offer(self) -> bytes:
        """Our offer; the same again until it is answered or withdrawn."""
        if self._offered is None:
            offer = offers.offer(
                address=self._address,
                port=self._port,
                session_id=self._session_id,
                version=self._session_id,
                codecs=self._codecs,
                crypto=self._crypto,
                events=self._events,
                before=self._local,
            )
            self._offered = self._told = self._numbered(offer)
        return sdp.encode(self._offered)

    def withdraw(self) -> None:
        """The offer was refused: what was agreed before stands (RFC 3261, 14.1)."""
        self._offered = None

    def accept(self, body: bytes) -> bool:
        """Takes the answer to our offer; False where nothing comes of it that we can use. A later answer to an offer that was
        answered already (a 200 after a reliable 183) changes nothing."""
        if self._offered is None:
            return self.agreed is not None
        remote = sdp.parse(body)
        if remote is None:
            return False
        agreed = offers.agreed(self._offered, remote)
        if isinstance(agreed, Rejected):
            self.refusal = agreed.reason
            return False
        self._local, self._offered = self._offered, None
        self.agreed = agreed
        return True

    def answer(self, body: bytes) -> bytes | None:
        """Our answer to their offer; None where there is nothing in it that we can use (488)."""
        remote = sdp.parse(body)
        if remote is None:
            return None
        answer = offers.answer(
            remote,
            address=self._address,
            port=self._port,
            session_id=self._session_id,
            version=self._session_id,
            codecs=self._codecs,
            crypto=self._crypto,
            events=self._events,
        )
        if isinstance(answer, Rejected):
            self.refusal = answer.reason
            return None
        agreed = offers.agreed(answer, remote)
        if isinstance(agreed, Rejected):
            self.refusal = agreed.reason
            return None
        self._local = self._told = self._numbered(answer)
        self.agreed = agreed
        return sdp.encode(self._local)

    def _numbered(self, description: SessionDescription) -> SessionDescription:
        """The description with its version: one more than that of the last one that we sent, or the same where it says the same
        (RFC 3264, 8; so a refresh of the session changes nothing, RFC 4028, 7.4)."""
        told = self._told
        if told is None:
            return description
        same = replace(description, version=told.version)
        return same if same == told else replace(description, version=told.version + 1)
