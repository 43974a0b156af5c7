"""A test's side of an SMPP conversation: what the peer says and the session answers, as PDUs, with a clock by hand."""

from __future__ import annotations

from typing import TypeVar

from channels.sms.smpp.codec import decode, encode, read_header
from channels.sms.smpp.events import BindRequested, Bound, Event
from channels.sms.smpp.limits import Limits
from channels.sms.smpp.operations import RESPONSE_TO, Role
from channels.sms.smpp.pdu import BINDS, BindMode, Pdu, SubmitSm
from channels.sms.smpp.session import Session

PduT = TypeVar("PduT", bound=Pdu)
EventT = TypeVar("EventT", bound=Event)

LIMITS = Limits(
    window=3,
    response_s=20,
    bind_s=5,
    enquire_link_s=30,
    enquire_answer_s=10,
    drain_s=8,
    unbind_answer_s=2,
    inbound_max=2,
)
"""Small enough that each of them is reached."""


class Conversation:
    """One session and the peer it talks to."""

    def __init__(self, role: Role = Role.ESME, limits: Limits | None = None) -> None:
        self.now = 1000.0
        self.session = Session(role, limits or Limits(), self.now)

    def peer_says(self, *pdus: Pdu) -> None:
        self.peer_sends(b"".join(encode(pdu) for pdu in pdus))

    def peer_sends(self, octets: bytes) -> None:
        self.session.receive_bytes(octets, self.now)

    def said(self) -> list[Pdu]:
        """Everything that the session wrote since it was last asked."""
        return split(self.session.bytes_to_send())

    def expect_said(self, kind: type[PduT]) -> PduT:
        (pdu,) = self.said()
        assert type(pdu) is kind
        assert isinstance(pdu, kind)
        return pdu

    def expect_silence(self) -> None:
        assert self.said() == []

    def events(self) -> list[Event]:
        events = []
        while (event := self.session.next_event()) is not None:
            events.append(event)
        return events

    def expect_event(self, kind: type[EventT]) -> EventT:
        (event,) = self.events()
        assert isinstance(event, kind)
        return event

    def pass_time(self, seconds: float) -> None:
        """Lets time pass as the driver would: every deadline on the way is kept."""
        until = self.now + seconds
        while (deadline := self.session.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.session.handle_deadline(self.now)
        self.now = until


def split(octets: bytes) -> list[Pdu]:
    pdus = []
    while octets:
        length = read_header(octets, 0)[0]
        pdus.append(decode(octets[:length]))
        octets = octets[length:]
    return pdus


def bound_esme(mode: BindMode = BindMode.TRANSCEIVER, limits: Limits | None = None) -> Conversation:
    """A client whose bind was just accepted."""
    talk = Conversation(Role.ESME, limits)
    talk.session.bind(BINDS[mode](system_id="user", password="pw"), talk.now)
    (request,) = talk.said()
    talk.peer_says(RESPONSE_TO[type(request)](sequence=request.sequence))
    talk.expect_event(Bound)
    return talk


def bound_smsc(mode: BindMode = BindMode.TRANSCEIVER, limits: Limits | None = None) -> Conversation:
    """A server that just accepted a bind."""
    talk = Conversation(Role.SMSC, limits)
    talk.peer_says(BINDS[mode](sequence=1, system_id="user", password="pw"))
    talk.expect_event(BindRequested)
    assert talk.session.respond(1, name="SMSC")
    talk.said()
    return talk


def text_message(text: bytes = b"fire in hall 3") -> SubmitSm:
    return SubmitSm(source_addr="ALERT", source_addr_ton=5, destination_addr="33612345678", short_message=text)
