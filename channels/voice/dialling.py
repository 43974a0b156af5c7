"""From the settings and an address to what the SIP side needs: who we are, whom we ask for, where we listen."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from channels.voice.address import VoiceAddress, dialled
from channels.voice.settings import SipSettings
from channels.voice.tls import contexts
from ivr.orders import EndpointConfig
from ivr.sip.digest import Credentials
from ivr.sip.headers import NameAddr
from ivr.sip.uri import SipUri, parse_uri
from ivr.trunk import TrunkConfig

IDENTITY_HEADERS = {"p-asserted": "P-Asserted-Identity", "p-preferred": "P-Preferred-Identity"}
"""RFC 3325, 9.1 and 9.2."""
NOBODY = "tocsin"
"""Our user part where neither a number nor a name was given."""


class InvalidTargetError(Exception):
    """Nobody knows where this is to be sent."""


def credentials_of(settings: SipSettings) -> Credentials | None:
    """What digest is answered with, where there is a password."""
    password = settings.password.get_secret_value()
    if not password:
        return None
    return Credentials(username=settings.auth_username or settings.username, password=password)


def trunk_config(settings: SipSettings) -> TrunkConfig:
    """The trunk as `ivr.trunk` keeps it."""
    proxies = []
    for proxy in settings.proxies:
        host, _, port = proxy.rpartition(":")
        proxies.append((host.strip("[]"), int(port)))
    return TrunkConfig(
        name=settings.name, host=settings.host, port=settings.port, proxies=tuple(proxies),
        transport=settings.transport, domain=settings.domain, username=settings.username,
        credentials=credentials_of(settings), register=settings.register_, register_s=settings.register_s,
        options_s=settings.options_s,
    )  # fmt: skip


def endpoint_config(settings: SipSettings, *, port: int | None = None) -> EndpointConfig:
    """Our side. Raises OSError and ssl.SSLError for TLS files that are wrong."""
    tls = None
    if settings.transport == "tls":
        tls = contexts(
            authorities=settings.tls_ca, verify=settings.tls_verify, certificate=settings.tls_certificate,
            key=settings.tls_key, name=settings.host,
        )  # fmt: skip
    return EndpointConfig(
        host=settings.listen_host, port=settings.listen_port if port is None else port, transport=settings.transport,
        tls=tls, public_address=settings.public_address, user=settings.username or NOBODY,
        rtp_ports=settings.rtp_port_range, codecs=settings.codecs, encrypted=settings.srtp == "required",
        trusted=tuple(ipaddress.ip_network(network, strict=False) for network in settings.trusted),
        incoming_max=settings.incoming_max, calls_per_s=settings.calls_per_s, credentials=credentials_of(settings),
    )  # fmt: skip


def invitation_parts(
    settings: SipSettings, address: VoiceAddress
) -> tuple[str, NameAddr, NameAddr, tuple[tuple[str, str], ...]]:
    """(Request-URI, To, From, further headers) of a call to the address."""
    domain = settings.domain or settings.host
    if address.uri:
        target = address.uri
        found = parse_uri(target)
        to = str(replace(found, params={})) if isinstance(found, SipUri) else target
    else:
        user = dialled(address.number, settings.dial, settings.country) if address.number else address.extension
        params = {} if settings.transport == "udp" else {"transport": settings.transport}
        target = str(SipUri(user=user, host=settings.host, port=settings.port, params=params))
        to = str(SipUri(user=user, host=settings.host, port=settings.port))
    shown = settings.caller_id or settings.username or NOBODY
    from_user = shown if settings.identity == "from" else settings.username or shown
    headers: tuple[tuple[str, str], ...] = ()
    if settings.identity != "from" and settings.caller_id:
        identity = NameAddr(settings.caller_name, str(SipUri(user=shown, host=domain)))
        headers = ((IDENTITY_HEADERS[settings.identity], str(identity)),)
    from_ = NameAddr(settings.caller_name, str(SipUri(user=from_user, host=domain)))
    return target, NameAddr("", to), from_, headers
