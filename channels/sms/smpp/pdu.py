"""The PDUs of SMPP 3.4 that Tocsin speaks, as frozen values with the print and parse of their bodies. No header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar, Self

from channels.sms.smpp.errors import MalformedBodyError
from channels.sms.smpp.wire import (
    INTERFACE_VERSION,
    RINVMSGLEN,
    ROK,
    Tlvs,
    c_octets,
    latin1,
    no_tlvs,
    print_tlvs,
    read_lenient_string,
    read_string,
    read_tlvs,
)


class BindMode(IntEnum):
    """How a session may be used; the value is the command_id of the bind that asks for it."""

    RECEIVER = 0x01
    TRANSMITTER = 0x02
    TRANSCEIVER = 0x09


@dataclass(frozen=True, kw_only=True, slots=True)
class Pdu:
    """One protocol data unit; `status` is 0 in requests, `sequence` ties a response to its request."""

    command_id: ClassVar[int]
    sequence: int = 0
    status: int = ROK

    def body(self) -> bytes:
        """What follows the header."""
        return b""

    @classmethod
    def read(cls, body: bytes, status: int, sequence: int) -> Self:  # noqa: ARG003 - most subclasses read it
        """The PDU whose header and body are given. Raises ValueError or IndexError when the body ends early."""
        return cls(sequence=sequence, status=status)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind(Pdu):
    """The common body of bind_receiver, bind_transmitter and bind_transceiver (section 4.1)."""

    system_id: str = ""
    password: str = field(default="", repr=False)
    system_type: str = ""
    interface_version: int = INTERFACE_VERSION
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""

    @property
    def mode(self) -> BindMode:
        """What the session may be used for once this bind is accepted."""
        return BindMode(self.command_id)

    def body(self) -> bytes:
        fixed = bytes((self.interface_version, self.addr_ton, self.addr_npi))
        return b"".join(
            (
                c_octets(self.system_id),
                c_octets(self.password),
                c_octets(self.system_type),
                fixed,
                c_octets(self.address_range),
            )
        )

    @classmethod
    def read(cls, body: bytes, status: int, sequence: int) -> Self:
        system_id, at = read_string(body, 0)
        password, at = read_string(body, at)
        system_type, at = read_string(body, at)
        return cls(
            sequence=sequence,
            status=status,
            system_id=system_id,
            password=password,
            system_type=system_type,
            interface_version=body[at],
            addr_ton=body[at + 1],
            addr_npi=body[at + 2],
            address_range=read_string(body, at + 3)[0],
        )


class BindReceiver(Bind):
    """bind_receiver: only inbound messages and receipts."""

    __slots__ = ()
    command_id = 0x0000_0001


class BindTransmitter(Bind):
    """bind_transmitter: only outbound messages."""

    __slots__ = ()
    command_id = 0x0000_0002


class BindTransceiver(Bind):
    """bind_transceiver: both directions."""

    __slots__ = ()
    command_id = 0x0000_0009


@dataclass(frozen=True, kw_only=True, slots=True)
class BindResp(Pdu):
    """The common body of the answers to a bind; absent where the bind is refused."""

    system_id: str = ""
    tlvs: Tlvs = field(default_factory=no_tlvs)

    def body(self) -> bytes:
        if self.status and not self.system_id and not self.tlvs:
            return b""
        return c_octets(self.system_id) + print_tlvs(self.tlvs)

    @classmethod
    def read(cls, body: bytes, status: int, sequence: int) -> Self:
        system_id, at = read_lenient_string(body)
        return cls(sequence=sequence, status=status, system_id=system_id, tlvs=read_tlvs(body, at))


class BindReceiverResp(BindResp):
    """bind_receiver_resp."""

    __slots__ = ()
    command_id = 0x8000_0001


class BindTransmitterResp(BindResp):
    """bind_transmitter_resp."""

    __slots__ = ()
    command_id = 0x8000_0002


class BindTransceiverResp(BindResp):
    """bind_transceiver_resp."""

    __slots__ = ()
    command_id = 0x8000_0009


@dataclass(frozen=True, kw_only=True, slots=True)
class Outbind(Pdu):
    """outbind: the SMSC asks us to bind as a receiver (section 4.1.7)."""

    command_id: ClassVar[int] = 0x0000_000B
    system_id: str = ""
    password: str = field(default="", repr=False)

    def body(self) -> bytes:
        return c_octets(self.system_id) + c_octets(self.password)

    @classmethod
    def read(cls, body: bytes, status: int, sequence: int) -> Self:
        system_id, at = read_string(body, 0)
        return cls(sequence=sequence, status=status, system_id=system_id, password=read_string(body, at)[0])


class Unbind(Pdu):
    """unbind: the session ends (section 4.2)."""

    __slots__ = ()
    command_id = 0x0000_0006


class UnbindResp(Pdu):
    """unbind_resp."""

    __slots__ = ()
    command_id = 0x8000_0006


class EnquireLink(Pdu):
    """enquire_link: is the other side still there? (section 4.11)."""

    __slots__ = ()
    command_id = 0x0000_0015


class EnquireLinkResp(Pdu):
    """enquire_link_resp."""

    __slots__ = ()
    command_id = 0x8000_0015


class GenericNack(Pdu):
    """generic_nack: the header of a PDU could not be understood (section 4.3)."""

    __slots__ = ()
    command_id = 0x8000_0000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Addressed(Pdu):
    """What submit_sm, deliver_sm and data_sm have in common: who, to whom, and what kind of message."""

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0
    tlvs: Tlvs = field(default_factory=no_tlvs)

    def _addresses(self) -> bytes:
        return b"%b\0%c%c%b\0%c%c%b\0" % (
            latin1(self.service_type),
            self.source_addr_ton,
            self.source_addr_npi,
            latin1(self.source_addr),
            self.dest_addr_ton,
            self.dest_addr_npi,
            latin1(self.destination_addr),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortMessage(_Addressed):
    """The common body of submit_sm and deliver_sm (sections 4.4.1 and 4.6.1)."""

    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    replace_if_present_flag: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""

    def body(self) -> bytes:
        return b"%b%c%c%c%b\0%b\0%c%c%c%c%c%b%b" % (
            self._addresses(),
            self.esm_class,
            self.protocol_id,
            self.priority_flag,
            latin1(self.schedule_delivery_time),
            latin1(self.validity_period),
            self.registered_delivery,
            self.replace_if_present_flag,
            self.data_coding,
            self.sm_default_msg_id,
            len(self.short_message),
            self.short_message,
            print_tlvs(self.tlvs),
        )

    @classmethod
    def read(cls, body: bytes, status: int, sequence: int) -> Self:
        service_type, at = read_string(body, 0)
        source_addr, source_end = read_string(body, at + 2)
        destination_addr, end = read_string(body, source_end + 2)
        schedule, then = read_string(body, end + 3)
        validity, then = read_string(body, then)
        text_at = then + 5
        text_end = text_at + body[then + 4]
        if text_end > len(body):
            raise MalformedBodyError("sm_length reaches beyond the PDU", RINVMSGLEN)
        return cls(
            sequence=sequence,
            status=status,
            service_type=service_type,
            source_addr_ton=body[at],
            source_addr_npi=body[at + 1],
            source_addr=source_addr,
            dest_addr_ton=body[source_end],
            dest_addr_npi=body[source_end + 1],
            destination_addr=destination_addr,
            esm_class=body[end],
            protocol_id=body[end + 1],
            priority_flag=body[end + 2],
            schedule_delivery_time=schedule,
            validity_period=validity,
            registered_delivery=body[then],
            replace_if_present_flag=body[then + 1],
            data_coding=body[then + 2],
            sm_default_msg_id=body[then + 3],
            short_message=body[text_at:text_end],
            tlvs=read_tlvs(body, text_end),
        )


class SubmitSm(ShortMessage):
    """submit_sm: a message to the SMSC (section 4.4)."""

    __slots__ = ()
    command_id = 0x0000_0004


class DeliverSm(ShortMessage):
    """deliver_sm: a message or a receipt from the SMSC (section 4.6)."""

    __slots__ = ()
    command_id = 0x0000_0005


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSm(_Addressed):
    """data_sm: a message in either direction, its text in message_payload (section 4.7)."""

    command_id: ClassVar[int] = 0x0000_0103

    def body(self) -> bytes:
        fixed = bytes((self.esm_class, self.registered_delivery, self.data_coding))
        return self._addresses() + fixed + print_tlvs(self.tlvs)

    @classmethod
    def read(cls, body: bytes, status: int, sequence: int) -> Self:
        service_type, at = read_string(body, 0)
        source_addr, source_end = read_string(body, at + 2)
        destination_addr, end = read_string(body, source_end + 2)
        return cls(
            sequence=sequence,
            status=status,
            service_type=service_type,
            source_addr_ton=body[at],
            source_addr_npi=body[at + 1],
            source_addr=source_addr,
            dest_addr_ton=body[source_end],
            dest_addr_npi=body[source_end + 1],
            destination_addr=destination_addr,
            esm_class=body[end],
            registered_delivery=body[end + 1],
            data_coding=body[end + 2],
            tlvs=read_tlvs(body, end + 3),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageResp(Pdu):
    """The common body of the answers to a message. A failed one may have no body, or a lone NUL."""

    message_id: str = ""
    tlvs: Tlvs = field(default_factory=no_tlvs)

    def body(self) -> bytes:
        if self.status and not self.message_id and not self.tlvs:
            return b""
        return c_octets(self.message_id) + print_tlvs(self.tlvs)

    @classmethod
    def read(cls, body: bytes, status: int, sequence: int) -> Self:
        message_id, at = read_lenient_string(body)
        return cls(sequence=sequence, status=status, message_id=message_id, tlvs=read_tlvs(body, at))


class SubmitSmResp(MessageResp):
    """submit_sm_resp."""

    __slots__ = ()
    command_id = 0x8000_0004


class DeliverSmResp(MessageResp):
    """deliver_sm_resp: its message_id is unused and always one NUL, whatever the status (section 4.6.2)."""

    __slots__ = ()
    command_id = 0x8000_0005

    def body(self) -> bytes:
        return c_octets(self.message_id) + print_tlvs(self.tlvs)


class DataSmResp(MessageResp):
    """data_sm_resp."""

    __slots__ = ()
    command_id = 0x8000_0103


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertNotification(Pdu):
    """alert_notification: a mobile became reachable (section 4.12). Never answered; read only to be passed over."""

    command_id: ClassVar[int] = 0x0000_0102
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    esme_addr_ton: int = 0
    esme_addr_npi: int = 0
    esme_addr: str = ""
    tlvs: Tlvs = field(default_factory=no_tlvs)

    def body(self) -> bytes:
        source = bytes((self.source_addr_ton, self.source_addr_npi)) + c_octets(self.source_addr)
        esme = bytes((self.esme_addr_ton, self.esme_addr_npi)) + c_octets(self.esme_addr)
        return source + esme + print_tlvs(self.tlvs)

    @classmethod
    def read(cls, body: bytes, status: int, sequence: int) -> Self:
        source_addr, end = read_string(body, 2)
        esme_addr, at = read_string(body, end + 2)
        return cls(
            sequence=sequence,
            status=status,
            source_addr_ton=body[0],
            source_addr_npi=body[1],
            source_addr=source_addr,
            esme_addr_ton=body[end],
            esme_addr_npi=body[end + 1],
            esme_addr=esme_addr,
            tlvs=read_tlvs(body, at),
        )


BINDS: Mapping[BindMode, type[Bind]] = MappingProxyType(
    {
        BindMode.RECEIVER: BindReceiver,
        BindMode.TRANSMITTER: BindTransmitter,
        BindMode.TRANSCEIVER: BindTransceiver,
    }
)
