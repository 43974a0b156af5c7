"""TLS of one SIP trunk: whom we trust, and who we are. The files are read when the trunk is opened."""

from __future__ import annotations

import ssl

from channels.voice.settings import SipSettings
from ivr.transports import TlsContexts


def contexts_of(settings: SipSettings) -> TlsContexts | None:
    """What the settings ask for; None where SIP is not encrypted. Raises OSError and ssl.SSLError for files that are wrong."""
    if settings.transport != "tls":
        return None
    client = ssl.create_default_context(cafile=settings.tls_ca)
    if not settings.tls_verify:
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
    server = None
    if settings.tls_certificate is not None:
        client.load_cert_chain(settings.tls_certificate, settings.tls_key)
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(settings.tls_certificate, settings.tls_key)
    # the name that was configured has to be in the certificate, not the one that DNS led to (RFC 5922, 7.1)
    return TlsContexts(client=client, server=server, server_name=settings.host)
