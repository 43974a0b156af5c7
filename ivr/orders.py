"""What an endpoint is asked for: how it is set up, whom to call, and what is talked about. Carrying it out is the endpoint's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ivr.call import CallOptions, Effects
from ivr.flow import Flow
from ivr.menu import Variable
from ivr.rtp.sources import Network
from ivr.sip.digest import Credentials
from ivr.sip.headers import NameAddr
from ivr.sip.hop import Hop, Transport
from ivr.transports import TlsContexts


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointConfig:
    """Where we are and how we speak; `host` and `port` are what we bind, `public_address` what we tell."""

    host: str
    port: int
    transport: Transport = "udp"
    tls: TlsContexts | None = None
    public_address: str = ""
    user: str = "tocsin"
    rtp_ports: tuple[int, int] = (40_000, 40_999)
    codecs: tuple[str, ...] = ("PCMA", "PCMU")
    encrypted: bool = False
    trusted: tuple[Network, ...] = ()
    """Networks besides the agreed address from which a call's media may come."""
    incoming_max: int = 100
    calls_per_s: float = 10.0
    credentials: Credentials | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What is talked about in a call: a flow, and what performs its effects."""

    flow: Flow
    effects: Effects
    languages: Sequence[str]
    opening: Callable[[], Mapping[str, Variable]] = dict
    """Gives the first variables once the call is answered: what is told is chosen then."""
    options: CallOptions = field(default_factory=CallOptions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One call to be placed: whom, as whom, over which hops in order."""

    target: str
    to: NameAddr
    from_: NameAddr
    hops: tuple[Hop, ...]
    headers: tuple[tuple[str, str], ...] = ()
    urgent: bool = False
    """Goes before others, where calls have to wait for their turn."""
    ring_s: float = 35.0
    first_response_s: float = 4.0
    redirect: Callable[[str], tuple[Hop, ...]] = field(default=lambda _: ())
    answering: Callable[[], None] = field(default=lambda: None)
    """Called when it rings, or is answered."""
    conversation: Conversation
