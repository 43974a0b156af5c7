"""SRTP with keys from the session description (RFC 3711, RFC 4568), by libsrtp where it is installed (the extra `srtp`)."""

from __future__ import annotations

import base64
import binascii
import importlib.util
from collections.abc import Callable
from typing import Any

from ivr.rtp.stream import Transform
from ivr.sip.sdp import SRTP_SUITES, AudioSession, CryptoAttribute

MASTER_BYTES = 30
"""16 octets of key and 14 of salt (RFC 4568, 6.2)."""


class SrtpUnavailable(RuntimeError):  # noqa: N818 - the state of an installation
    """libsrtp is not installed."""


def installed() -> bool:
    """Whether encrypted audio is possible here."""
    return importlib.util.find_spec("pylibsrtp") is not None


def crypto_attributes(random_bytes: Callable[[int], bytes]) -> tuple[CryptoAttribute, ...]:
    """Fresh keys for an offer or an answer, one for each suite that we can do."""
    if not installed():
        raise SrtpUnavailable('encrypted audio needs the extra "srtp": pip install tocsin[srtp]')
    return tuple(
        CryptoAttribute(tag=n, suite=suite, key=base64.b64encode(random_bytes(MASTER_BYTES)).decode())
        for n, suite in enumerate(SRTP_SUITES, 1)
    )


class SrtpTransform:
    """Encrypts what we send with our key, and opens what comes with theirs."""

    def __init__(self, local: CryptoAttribute, remote: CryptoAttribute) -> None:
        self._local = local.suite, local.key
        self._remote = remote.suite, remote.key
        self._out = _session(local, outbound=True)
        self._in = _session(remote, outbound=False)

    def follow(self, before: Transform) -> None:
        """Takes the place of another one. With the same key the rollover counter goes on (RFC 3711, 3.3.1), for theirs does too and
        no index may come twice, and so does the list of packets that were received (3.3.2)."""
        if isinstance(before, SrtpTransform):
            if before._local == self._local:
                self._out = before._out
            if before._remote == self._remote:
                self._in = before._in

    def protect(self, packet: bytes) -> bytes:
        """The packet, encrypted and signed."""
        protected: bytes = self._out.protect(packet)
        return protected

    def unprotect(self, packet: bytes) -> bytes | None:
        """The packet; None where it is forged, replayed or damaged."""
        import pylibsrtp

        try:
            opened: bytes = self._in.unprotect(packet)
        except pylibsrtp.Error:
            return None
        return opened


def transform_of(session: AudioSession) -> SrtpTransform | None:
    """What the session's keys make of packets; None where it is not encrypted. Raises ValueError for a key that is none."""
    if session.local_crypto is None or session.remote_crypto is None:
        return None
    return SrtpTransform(session.local_crypto, session.remote_crypto)


def _session(attribute: CryptoAttribute, *, outbound: bool) -> Any:
    import pylibsrtp

    try:
        key = base64.b64decode(attribute.key, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != MASTER_BYTES:
        raise ValueError(f"expected {MASTER_BYTES} octets of key and salt")
    short = attribute.suite == SRTP_SUITES[1]
    profile = (
        pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32 if short else pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    )
    kind = pylibsrtp.Policy.SSRC_ANY_OUTBOUND if outbound else pylibsrtp.Policy.SSRC_ANY_INBOUND
    return pylibsrtp.Session(policy=pylibsrtp.Policy(key=key, ssrc_type=kind, srtp_profile=profile))
