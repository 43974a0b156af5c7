"""The settings of one SMTP provider, typed and checked. Nothing here opens a file or a connection."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    field_validator,
    model_validator,
)

from channels.certificates import Authorities
from channels.channel import InvalidAddressError
from channels.email.address import parse_address
from channels.email.envelope import BASE_LOCAL_PART_MAX
from channels.hosts import HostAlone
from channels.listening import Listening, listening_at

MIB = 1024 * 1024
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def _canonical(raw: str) -> str:
    try:
        return parse_address(raw)
    except InvalidAddressError as error:
        raise ValueError(str(error)) from error


MailAddress = Annotated[str, AfterValidator(_canonical)]


class SmtpSettings(BaseModel):
    """One mail server to hand messages to, and where its reports come back.

    `tls`
      * ``opportunistic`` (default): plain on loopback; elsewhere STARTTLS whenever it is offered. The certificate
        is checked where `tls_ca` or `username` is set; without them encryption to an unproven server beats none
        (RFC 7435). With a `username` the server must offer STARTTLS: a password never travels in the clear.
      * ``starttls``: STARTTLS or nothing, certificate checked.
      * ``tls``: TLS from the first byte (RFC 8314, usually port 465), certificate checked.
      * ``none``: plain. Not together with a `username`, except on loopback.
    `tls_ca`             PEM file of the authorities to trust instead of the system's.
    `connections`        size of the pool, and how many messages are under way at once.
    `connect_s`          for TCP, TLS and the greeting, each.
    `response_s`         for the answer to each command and to the message itself (RFC 5321 4.5.3.2 recommends
                         minutes; an alarm would rather try elsewhere). Uploads get more, by their size.
    `idle_s`             a pooled connection unused for so long is closed (servers commonly close after 300 s).
    `dsn`                ask for delivery status notifications (RFC 3461) where the server offers them.
    `bounce_listen`      ``host:port`` of our listener for reports; the mail server must route `bounce_address` to it.
                         Without it there are no receipts. Port 0 takes a free one.
    `bounce_peers`       networks whose reports are believed. Whoever may speak to the listener can claim a delivery.
    `bounce_address`     the envelope sender, to which reports are addressed; default is `sender`.
    `verp`               the envelope sender carries the delivery's id (``bounces+ID@…``), so that reports which
                         quote nothing are matched too. The mail server must route the tagged addresses as well.
    `max_message_bytes`  a larger message, as sent, is refused before a connection is used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=100)
    channel: Literal["email"] = "email"
    kind: Literal["smtp"] = "smtp"
    host: HostAlone = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.:_-]+$")
    port: int = Field(default=25, ge=1, le=65535)
    sender: MailAddress
    tls: Literal["opportunistic", "starttls", "tls", "none"] = "opportunistic"
    tls_ca: Authorities | None = None
    username: str | None = Field(default=None, min_length=1, max_length=255)
    password: SecretStr | None = None
    ehlo_name: str = Field(default="", max_length=255, pattern=r"^[A-Za-z0-9.:\[\]-]*$")
    connections: int = Field(default=4, ge=1, le=100)
    connect_s: float = Field(default=15.0, gt=0, le=300)
    response_s: float = Field(default=60.0, gt=0, le=600)
    idle_s: float = Field(default=60.0, gt=0, le=3600)
    dsn: bool = True
    bounce_listen: str | None = None
    bounce_peers: tuple[IPvAnyNetwork, ...] = LOOPBACK
    bounce_address: MailAddress | None = None
    verp: bool = False
    max_message_bytes: int = Field(default=10 * MIB, ge=16 * 1024, le=50 * MIB)

    @field_validator("bounce_listen")
    @classmethod
    def _listen_is_host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            parse_endpoint(value)
        return value

    @model_validator(mode="after")
    def _keys_fit_together(self) -> SmtpSettings:
        if (self.username is None) != (self.password is None):
            raise ValueError("expected username and password together, or neither")
        if self.username is not None and self.tls == "none" and not self.on_loopback:
            raise ValueError(
                'expected tls = "starttls" or "tls" with a username: a password never travels in the clear'
            )
        if self.verp and self.bounce_listen is None:
            raise ValueError("expected bounce_listen with verp = true: nobody would read the tagged reports")
        if self.verp and len(self.envelope_sender.rpartition("@")[0]) > BASE_LOCAL_PART_MAX:
            raise ValueError(
                f"expected at most {BASE_LOCAL_PART_MAX} characters before the @ of the bounce address with verp"
            )
        return self

    @property
    def on_loopback(self) -> bool:
        """The server is on this machine: nobody can listen in between."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def envelope_sender(self) -> str:
        """Where reports go (RFC 5321 4.1.1.2), without a tag."""
        return self.bounce_address or self.sender

    @property
    def bounce_endpoint(self) -> tuple[str, int] | None:
        """Host and port of our listener; None without one."""
        return None if self.bounce_listen is None else parse_endpoint(self.bounce_listen)

    @property
    def listening(self) -> Listening | None:
        """See `channels.listening.Listens`."""
        at = self.bounce_endpoint
        return None if at is None else listening_at("bounce_listen", "tcp", *at)

    @property
    def receipts(self) -> bool:
        """Reports are asked for, and there is somewhere for them to come."""
        return self.dsn and self.bounce_listen is not None


def parse_endpoint(text: str) -> tuple[str, int]:
    """`host:port` or `[ipv6]:port` as a pair. Raises ValueError with what was expected."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise ValueError('expected host:port such as "127.0.0.1:2525"')
    return host, int(port)
