"""Where a SIP message goes or came from. Looking names up and opening connections is the endpoint's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Transport = Literal["udp", "tcp", "tls"]


@dataclass(frozen=True, slots=True)
class Hop:
    """One other side: the transport and the address (a numeric one, IPv6 without brackets) and port there.

    `name`, with TLS: the domain that was asked for, which the certificate there has to be for (RFC 5922, 7.3), whatever DNS
    led to. "" where nobody asked for one: of connections to us.
    """

    transport: Transport
    host: str
    port: int
    name: str = ""

    @property
    def reliable(self) -> bool:
        """Whether the transport itself repeats what is lost (RFC 3261, 17: timers A, E and G then do not run)."""
        return self.transport != "udp"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"
