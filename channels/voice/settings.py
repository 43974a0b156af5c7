"""The settings of a voice provider that speaks SIP, with their bounds. The files that they name are looked at, so that a wrong
one shows at the start and not in a call."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self

import phonenumbers
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from channels.listening import Listening
from channels.voice.address import DialForm
from channels.voice.tls import check_files
from ivr.sip.hop import Transport

Identity = Literal["from", "p-asserted", "p-preferred"]
"""Where the caller's number is told: the From header alone, or P-Asserted-Identity or P-Preferred-Identity as well (RFC 3325)."""
Srtp = Literal["off", "required"]


OPTIONS_S_MIN = 1.0
"""More often is no question whether somebody is there, but a flood."""

_HOST_CHARS_MAX = 253
"""RFC 1035, 2.3.4, without the dot at the end."""
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_USER = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/]*")
"""What the user part of a SIP address holds unescaped (RFC 3261, 25.1): it stands in Contact as it is."""
_EXTENSION = re.compile(r"[0-9x*#]{1,12}")
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return "%" not in value


def _host(value: str) -> str:
    in_brackets = value.startswith("[") and value.endswith("]")
    bare = value[1:-1] if in_brackets and ":" in value else value
    if not _is_address(bare) and not (len(bare) <= _HOST_CHARS_MAX and _HOST.fullmatch(bare)):
        raise ValueError("expected a name such as sip.example.org, of parts of 1 to 63 characters, or an IP address")
    return bare


def _host_or_none(value: str) -> str:
    return _host(value) if value else value


def _parts(value: str) -> tuple[str, int]:
    """The host, an IPv6 address without the brackets that it needs, and the port."""
    host, colon, port = value.rpartition(":")
    bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not colon or not host or bare_ipv6 or not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError('expected "address:port", an IPv6 address in brackets')
    return host.strip("[]"), int(port)


def _listen(value: str) -> str:
    if not _is_address(_parts(value)[0]):
        raise ValueError('expected an IP address of this machine and a port, such as "0.0.0.0:5060" or "[::]:5060"')
    return value


def _proxy(value: str) -> str:
    host, port = _parts(value)
    _host(host)
    if not port:
        raise ValueError("expected a port from 1 to 65535")
    return value


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError(
            "expected letters, digits and -_.!~*'()&=+$,;?/ alone, as in a SIP address; a name for digest that has others is"
            " the auth_username"
        )
    return value


def _seconds_or_never(value: float) -> float:
    if 0 < value < OPTIONS_S_MIN:
        raise ValueError(f"expected 0 for never, or {OPTIONS_S_MIN:g} to 3600")
    return value


def _country(value: str) -> str:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError('expected an ISO 3166 country code such as "FR"')
    return value


def _extension(value: str) -> str:
    if not _EXTENSION.fullmatch(value):
        raise ValueError('expected 1 to 12 digits, * and #, with an x for any digit, such as "39xx"')
    return value


def _port_range(value: str) -> str:
    first, dash, last = value.partition("-")
    if not dash or not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise ValueError('expected "first-last", such as "40000-40999"')
    if not 1_024 <= int(first) < int(last) <= 65_535:
        raise ValueError("expected ports from 1024 to 65535, the first below the last")
    return value


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError('expected an address or a network such as "192.0.2.0/24"') from None
    if ipaddress.ip_address(value.partition("/")[0]) != network.network_address:
        raise ValueError(f'expected "{network}", or an address alone: the host bits of "{value}" are set')
    return value


def _refusal(wrong: Mapping[str, str]) -> ValidationError:
    """What is wrong with keys that do not fit together, each said of its key."""
    return ValidationError.from_exception_data(
        "SipSettings",
        [
            InitErrorDetails(
                type=PydanticCustomError("value_error", "{error}", {"error": ValueError(text)}), loc=(key,), input=None
            )
            for key, text in wrong.items()
        ],
        hide_input=True,
    )


Host = Annotated[str, AfterValidator(_host)]
OptionalHost = Annotated[str, AfterValidator(_host_or_none)]
Country = Annotated[str, AfterValidator(_country)]
ListenAt = Annotated[str, AfterValidator(_listen)]
Proxy = Annotated[str, AfterValidator(_proxy)]
User = Annotated[str, AfterValidator(_user)]
Extension = Annotated[str, AfterValidator(_extension)]
PortRange = Annotated[str, AfterValidator(_port_range)]
Network = Annotated[str, AfterValidator(_network)]
SecondsOrNever = Annotated[float, AfterValidator(_seconds_or_never)]


class SipSettings(BaseModel):
    """One `[[providers]]` table with `channel = "voice"` and `kind = "sip"`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=64, description="The provider's name, as routes and reports name it.")
    channel: Literal["voice"] = "voice"
    kind: Literal["sip"] = "sip"

    listen: ListenAt = Field(default="0.0.0.0:5060", description="Our side of SIP; port 0 takes any free one.")
    host: Host = Field(description="Name or address of the trunk or exchange.")
    port: int | None = Field(
        default=None, ge=1, le=65_535, description="Its port; without one DNS SRV is asked, then 5060, with TLS 5061."
    )
    proxies: tuple[Proxy, ...] = Field(
        default=(), max_length=8, description="Further proxies of the trunk, tried in this order when it fails."
    )
    transport: Transport = Field(default="udp", description="udp, tcp or tls.")
    tls_ca: Path | None = Field(
        default=None, description="PEM file of the authorities to trust instead of the system's."
    )
    tls_verify: bool = Field(default=True, description="Verify the trunk's certificate and name.")
    tls_certificate: Path | None = Field(default=None, description="PEM file of our certificate, for calls to us.")
    tls_key: Path | None = Field(default=None, description="PEM file of its key.")

    username: User = Field(default="", max_length=128, description="Our user name at the trunk.")
    auth_username: str = Field(
        default="", max_length=128, pattern=_PRINTABLE, description="For digest, where it is not the user name."
    )
    password: SecretStr = Field(default=SecretStr(""), max_length=256, description="For digest.")
    domain: OptionalHost = Field(default="", description="The domain of our address; the host unless given.")
    register_: bool = Field(default=False, alias="register", description="REGISTER with the trunk.")
    register_s: int = Field(default=300, ge=60, le=86_400, description="How long a registration is asked to last.")
    options_s: SecondsOrNever = Field(
        default=30.0, ge=0, le=3_600, description="How often the trunk is asked whether it is there; 0: never."
    )

    caller_id: str = Field(default="", max_length=64, description="The number shown; it rings back here.")
    caller_name: str = Field(
        default="",
        max_length=64,
        pattern=_PRINTABLE,
        description="The name shown, where networks carry one.",
    )
    identity: Identity = Field(default="from", description="Where the number is told: from, p-asserted or p-preferred.")
    dial: DialForm = Field(default="+", description="How numbers are dialled: +, 00, or 0 within `country`.")
    country: Country | None = Field(
        default=None,
        description="ISO 3166 code: where the trunk is, whose national numbers it takes.",
    )
    extensions: tuple[Extension, ...] = Field(
        default=(),
        max_length=200,
        description="The exchange's own numbers, with an x for any digit: they are taken though the country has such short numbers.",
    )
    allowed_domains: tuple[Host, ...] = Field(
        default=(), max_length=100, description="Domains of SIP addresses that may be called, and be redirected to."
    )

    trusted: tuple[Network, ...] = Field(
        default=(),
        max_length=100,
        description="Networks besides the trunk's own from which calls to us, and the sound of calls, are taken.",
    )
    inbound_username: str = Field(
        default="", max_length=128, pattern=_PRINTABLE, description="Who calls us from elsewhere proves with this"
    )
    inbound_password: SecretStr = Field(
        default=SecretStr(""), max_length=256, description="and this password (digest)."
    )

    public_address: str = Field(default="", max_length=64, description="Our address as seen from outside a NAT.")
    rtp_ports: PortRange = Field(default="40000-40999", description="Ports for audio; a call takes an even one.")
    codecs: tuple[Literal["PCMA", "PCMU"], ...] = Field(
        default=("PCMA", "PCMU"), min_length=1, max_length=2, description="Codecs offered, the preferred first."
    )
    srtp: Srtp = Field(default="off", description="required: audio is encrypted (SDES), calls without it fail.")
    media_timeout_s: float = Field(
        default=60.0, ge=2, le=300,
        description="Without audio for so long a call is over. Phones may send none while they listen to a text or hold a call.",
    )  # fmt: skip

    max_calls: int = Field(default=100, ge=1, le=5_000, description="Calls out at once.")
    incoming_max: int = Field(default=100, ge=0, le=5_000, description="Calls to us at once; 0: none are taken.")
    calls_per_s: float = Field(default=10.0, ge=0.1, le=1_000, description="Most new calls a second.")
    ring_s: float = Field(default=35.0, ge=5, le=180, description="How long it rings; below the pick-up of mailboxes.")
    first_response_s: float = Field(
        default=4.0, ge=0.5, le=32, description="How long a proxy may take for its first word; then the next is tried."
    )
    call_max_s: int = Field(default=300, ge=10, le=3_600, description="The longest call; its minutes are held.")

    language: str = Field(
        default="en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="Spoken by default."
    )
    wait_for_beep: bool = Field(
        default=True, description="Listen for an answering machine, and speak after its tone. It acknowledges nothing."
    )
    words_per_minute: int = Field(default=150, ge=80, le=300, description="How fast texts are spoken.")
    prompts: Path | None = Field(default=None, description="A folder of WAV files that replace fixed prompts.")
    flow: Path | None = Field(default=None, description="A TOML file with another dialogue for calls out.")

    @field_validator("prompts")
    @classmethod
    def _prompts_can_be_played(cls, value: Path | None) -> Path | None:
        if value is not None:
            from ivr.audio.prompts import Prompts  # only who names files needs what reads them

            Prompts(value)  # a PromptError says what is wrong
        return value

    @field_validator("flow")
    @classmethod
    def _flow_makes_sense(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None:
            from channels.voice.files import flow_at
            from ivr.audio.prompts import Prompts
            from ivr.flow import FlowError

            try:
                flow_at(value, Prompts(info.data.get("prompts")), "alert")
            except FlowError as error:
                raise ValueError("; ".join(error.problems)) from None
        return value

    @field_validator("caller_id")
    @classmethod
    def _caller_id_is_a_number(cls, value: str) -> str:
        plain = value.removeprefix("+").replace("*", "").replace("#", "")
        if value and not (plain.isascii() and plain.isalnum()):
            raise ValueError("expected a number such as +33100000000, or an extension")
        return value

    @field_validator("public_address")
    @classmethod
    def _public_address_is_reached(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        if not _is_address(value) or ipaddress.ip_address(value).is_unspecified:
            raise ValueError("expected an IP address under which others reach us")
        listen = info.data.get("listen")
        if listen is not None and (":" in value) != (":" in _parts(listen)[0]):
            raise ValueError("expected an address of the family of listen: both IPv4, or both IPv6")
        return value

    @field_validator("codecs")
    @classmethod
    def _codecs_are_offered_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected each codec once")
        return value

    @model_validator(mode="after")
    def _keys_belong_together(self) -> Self:
        wrong = dict(self._contradictions())
        if wrong:
            raise _refusal(wrong)
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        """The keys that do not fit to others, and why."""
        if self.register_ and not self.username:
            yield "register", "register = true needs a username"
        if self.password.get_secret_value() and not self.username:
            yield "password", "a password needs a username"
        if self.identity != "from" and not self.caller_id:
            yield "identity", f'identity = "{self.identity}" needs the caller_id that it tells'
        if self.srtp == "required" and find_spec("pylibsrtp") is None:
            yield "srtp", 'srtp = "required" needs the package pylibsrtp, which the extra "srtp" installs'
        if self.dial == "0" and self.country is None:
            yield "dial", 'dial = "0" needs the country that the trunk is in'
        yield from self._tls_contradictions()
        if bool(self.inbound_username) != bool(self.inbound_password.get_secret_value()):
            missing = "inbound_password" if self.inbound_username else "inbound_username"
            yield missing, "inbound_username and inbound_password go together"
        first, last = self.rtp_port_range
        if self.transport == "udp" and first <= self.listen_port <= last:
            yield "rtp_ports", "rtp_ports must not hold the port of listen"
        elif (last + 1 - first - first % 2) // 2 < self.max_calls + self.incoming_max:
            calls = self.max_calls + self.incoming_max
            said = f"a call takes two, and max_calls and incoming_max together are {calls} calls"
            yield "rtp_ports", f"expected at least {2 * calls} ports, the first one even: {said}"

    def _tls_contradictions(self) -> Iterator[tuple[str, str]]:
        for key, said in (
            ("tls_ca", self.tls_ca),
            ("tls_certificate", self.tls_certificate),
            ("tls_key", self.tls_key),
        ):
            if said is not None and self.transport != "tls":
                yield key, 'the tls_ keys have a meaning only with transport = "tls"'
        if not self.tls_verify and self.transport != "tls":
            yield "tls_verify", 'the tls_ keys have a meaning only with transport = "tls"'
        if (self.tls_certificate is None) != (self.tls_key is None):
            yield "tls_key" if self.tls_key is None else "tls_certificate", "tls_certificate and tls_key go together"
            return
        try:
            check_files(self.tls_ca, None, None)
        except ValueError as error:
            yield "tls_ca", str(error)
        try:
            check_files(None, self.tls_certificate, self.tls_key)
        except ValueError as error:
            yield "tls_certificate", str(error)

    @property
    def listen_host(self) -> str:
        """The address to listen on, an IPv6 address without its brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def listen_port(self) -> int:
        """The port to listen on; 0 is any free one."""
        return int(self.listen.rpartition(":")[2])

    @property
    def listening(self) -> Listening | None:
        """See `channels.listening.Listens`. With TLS and no certificate nobody can connect to us, and no socket listens."""
        if self.transport == "tls" and self.tls_certificate is None:
            return None
        protocol: Literal["udp", "tcp"] = "udp" if self.transport == "udp" else "tcp"
        return Listening(key="listen", protocol=protocol, host=self.listen_host, port=self.listen_port)

    @property
    def rtp_port_range(self) -> tuple[int, int]:
        """The first and the last port for audio."""
        first, _, last = self.rtp_ports.partition("-")
        return int(first), int(last)

    @property
    def minutes_max(self) -> int:
        """The most minutes that a call can begin: what is held for it."""
        return -(-self.call_max_s // 60)
