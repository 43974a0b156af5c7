"""Files of certificates that settings name: whether TLS can use them, and until when they are good. No connection is made."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

FILE_BYTES_MAX = 4 * 1024 * 1024
"""The authorities of a whole system are some 250 kB; a larger file is another one named by mistake."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s*.*?-----END CERTIFICATE-----", re.DOTALL)
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime and GeneralizedTime (RFC 5280, 4.1.2.5)
_SEQUENCE, _VERSION = 0x30, 0xA0


def refusal(error: OSError) -> str:
    """Why a file is of no use, in the words of people."""
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    reason = error.reason or str(error)
    return {
        "NO_CERTIFICATE_OR_CRL_FOUND": "there is no certificate in it",
        "NO_START_LINE": "it is no PEM file",
        "PEM_LIB": "it is no PEM file",
        "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
        "BAD_PASSWORD_READ": "the key is encrypted: expected one without a pass phrase",
        "BAD_DECRYPT": "the key is encrypted: expected one without a pass phrase",
    }.get(reason, reason.replace("_", " ").lower())


def _authorities(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        told = refusal(error) if isinstance(error, OSError) else str(error)
        raise ValueError(f"expected a PEM file of authorities, cannot use {path}: {told}") from None
    return path


Authorities = Annotated[Path, AfterValidator(_authorities)]
"""A PEM file of authorities to trust, which can be read."""


def out_of_date(path: Path, now: datetime) -> str:
    """Why no certificate of the file is good now: ``expired on 2026-01-31``; "" where one is, or nothing can be told."""
    spans = list(_spans(path))
    if not spans or any(begin <= now <= end for begin, end in spans):
        return ""
    begin, end = max(spans, key=lambda span: span[1])
    return f"expired on {end:%Y-%m-%d}" if end < now else f"is not good before {begin:%Y-%m-%d}"


def _spans(path: Path) -> Iterator[tuple[datetime, datetime]]:
    """From when until when each certificate of a PEM file is good."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX)
        for block in _PEM.findall(content):
            yield _span(ssl.PEM_cert_to_DER_cert(block.decode("ascii").strip()))
    except (OSError, ValueError, IndexError):
        return  # whoever uses the file says what is wrong with it


def _span(der: bytes) -> tuple[datetime, datetime]:
    """The validity of a certificate (RFC 5280, 4.1): the sequence of two times behind the issuer. Raises ValueError, IndexError."""
    _, at, _ = _element(der, 0)  # Certificate
    _, at, _ = _element(der, at)  # TBSCertificate
    tag, _, end = _element(der, at)
    skipped = 3 if tag == _VERSION else 2  # version, serialNumber and signature stand before the issuer
    for _ in range(skipped):
        at = end
        _, _, end = _element(der, at)
    _, at, _ = _element(der, end)  # Validity
    tag, first, at = _element(der, at)
    begin = _time(tag, der[first:at])
    tag, first, at = _element(der, at)
    return begin, _time(tag, der[first:at])


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """The tag at the place, where its content begins and where it ends (X.690, 8.1)."""
    tag, length, at = der[at], der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        length, at = int.from_bytes(der[at : at + octets]), at + octets
    if at + length > len(der):
        raise ValueError("cut off")
    return tag, at, at + length


def _time(tag: int, content: bytes) -> datetime:
    form = _TIMES.get(tag)
    if form is None:
        raise ValueError("expected a time")
    return datetime.strptime(content.decode("ascii"), form).replace(tzinfo=UTC)
