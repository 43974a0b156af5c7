"""TLS of one SIP trunk: whom we trust, and who we are."""

from __future__ import annotations

import ssl
from pathlib import Path

from channels.certificates import refusal
from ivr.transports import TlsContexts


def contexts(
    *, authorities: Path | None, verify: bool, certificate: Path | None, key: Path | None, name: str
) -> TlsContexts:
    """How connections are secured. Without a certificate of ours nobody can connect to us. Raises OSError and ssl.SSLError."""
    client = ssl.create_default_context(cafile=authorities)
    if not verify:
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
    server = None
    if certificate is not None:
        client.load_cert_chain(certificate, key, password=_no_pass_phrase)
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(certificate, key, password=_no_pass_phrase)
    # of a dialog that came to us the other side's name is not known: then the trunk's own has to be in the certificate
    return TlsContexts(client=client, server=server, server_name=name)


def check_files(authorities: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Raises ValueError where one of the files cannot be used."""
    try:
        contexts(authorities=authorities, verify=True, certificate=certificate, key=key, name="")
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(str(path) for path in (authorities, certificate, key) if path is not None)
        raise ValueError(f"expected PEM files, cannot use {named}: {refusal(error)}") from None


def _no_pass_phrase() -> str:
    """Nobody is there to be asked for one: without this the start would wait at a terminal."""
    return ""
