"""One SMPP 3.4 session without I/O, for both sides: bytes and `now` in, bytes and events out. No policy of ours.

Time is any monotonic count of seconds. What comes from the network never raises; `LocalProtocolError` is our own fault.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType

from channels.sms.smpp.codec import decode_body, read_header
from channels.sms.smpp.errors import LocalProtocolError, MalformedBodyError, OutOfStepError, UnknownCommandError
from channels.sms.smpp.events import (
    Answered,
    BindRefused,
    BindRequested,
    Bound,
    CloseCause,
    Closed,
    Event,
    MessageReceived,
    OutbindReceived,
    PeerLeaving,
    Unanswered,
)
from channels.sms.smpp.lapses import Lapses
from channels.sms.smpp.limits import Limits
from channels.sms.smpp.operations import BOUND_AS, RESPONSE_TO, Role, State, may_issue
from channels.sms.smpp.outbox import Outbox, Returned
from channels.sms.smpp.parting import Parting, Stage
from channels.sms.smpp.pdu import (
    AlertNotification,
    Bind,
    BindReceiver,
    BindReceiverResp,
    BindResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    MessageResp,
    Outbind,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from channels.sms.smpp.silence import Due, Silence
from channels.sms.smpp.wire import (
    HEADER_OCTETS,
    INTERFACE_VERSION,
    RALYBND,
    RESPONSE,
    RINVBNDSTS,
    RINVCMDID,
    ROK,
    RSYSERR,
    TLV_SC_INTERFACE_VERSION,
)

OUT_PDUS_MAX = 10_000
"""From this many PDUs that the network does not take, no more is read: a peer that only asks cannot fill our memory."""

_MESSAGES = (SubmitSm, DeliverSm, DataSm)

_UNBOUND = (State.OPEN, State.CLOSED)

_SERVER_TLVS = MappingProxyType({TLV_SC_INTERFACE_VERSION: bytes((INTERFACE_VERSION,))})


class Session:
    """One connection from its first byte to its last, seen from `role`."""

    def __init__(self, role: Role, limits: Limits, now: float) -> None:
        self.role = role
        self.state = State.OPEN
        self.strays = 0
        """Responses that belonged to no request of ours, or to one that lapsed long ago."""
        self._limits = limits
        self._tail = bytearray()
        self._needed = HEADER_OCTETS
        self._outbox = Outbox()
        self._events: deque[Event] = deque()
        self._unanswered: dict[int, type[Pdu]] = {}
        self._silence = Silence(enquire_link_s=limits.enquire_link_s, enquire_answer_s=limits.enquire_answer_s, now=now)
        self.lapses = Lapses(grace_s=limits.response_s if role is Role.ESME else math.inf)
        self._bind: tuple[int, Bind] | None = None
        self._bind_deadline: float | None = now + limits.bind_s
        self._now = now
        self._parting = Parting(
            drain_s=limits.drain_s, peer_drain_s=limits.peer_drain_s, unbind_answer_s=limits.unbind_answer_s
        )

    # -- what the driver calls ------------------------------------------------------------------------------------

    def receive_bytes(self, data: bytes, now: float) -> None:
        """Takes what the network brought, in pieces of any size."""
        if self.state is State.CLOSED:
            return
        self._now = now
        if self._tail:
            self._tail += data
            if len(self._tail) < self._needed:
                return
            data = bytes(self._tail)
            self._tail.clear()
        try:
            used = self._receive_pdus(data)
        except OutOfStepError as error:
            self._close(CloseCause.OUT_OF_STEP, str(error))
            return
        if used:
            self._silence.broken(now, paused=self.reading_paused)
        if used < len(data) and not self.closed:
            self._tail += data[used:]

    def receive_eof(self) -> None:
        """The peer will send nothing more, or the connection is gone."""
        self._close(CloseCause.EOF, "")

    def bytes_to_send(self) -> bytes:
        """What must be written now. Whatever was handed over here counts as possibly sent."""
        return self._outbox.take() if self._outbox else b""

    def next_event(self) -> Event | None:
        """The oldest event not yet seen, or None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `handle_deadline` must be called, or None once closed."""
        if self.state is State.CLOSED:
            return None
        lapse, work = self._outbox.next_deadline, self.lapses.deadline(self._outbox.outstanding)
        deadlines = (self._silence.deadline, self._bind_deadline, lapse, self._parting.deadline, work)
        return min(deadline for deadline in deadlines if deadline is not None)

    def handle_deadline(self, now: float) -> None:
        """Does what is due; harmless when nothing is."""
        if self.state is State.CLOSED:
            return
        if self._bind_deadline is not None and now >= self._bind_deadline:
            self._close(CloseCause.BIND_UNANSWERED, "")
            return
        self._now = now
        if self._parting.stage is Stage.SAID and self._parting.over(now):
            self._close(CloseCause.UNBOUND, "unbind was not answered")
            return
        self._lapse_waiting(now)
        if self._parting.drains and self._parting.over(now):
            self._part()
        if not self.closed:
            self._watch_silence(now)
            self._watch_work(now)

    @property
    def closed(self) -> bool:
        """The stream should be closed once `bytes_to_send` is empty."""
        return self.state is State.CLOSED

    @property
    def reading_paused(self) -> bool:
        """So much waits for its answer by our owner, or to be written, that nothing more should be read."""
        return len(self._unanswered) >= self._limits.inbound_max or len(self._outbox) >= OUT_PDUS_MAX

    # -- verbs ----------------------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """How many messages of ours wait for their answer."""
        return self._outbox.outstanding

    @property
    def next_lapse(self) -> float | None:
        """When the message that has waited longest for its answer lapses."""
        return self._outbox.next_deadline

    @property
    def unanswered(self) -> int:
        """How many messages of the peer our owner has not answered."""
        return len(self._unanswered)

    @property
    def accepts_messages(self) -> bool:
        """Whether `send` takes messages at all: bound, and nobody about to unbind."""
        return self._parting.stage is Stage.STAYING and self.state not in _UNBOUND

    @property
    def free(self) -> int:
        """How many messages may be given to `send` now."""
        if not self.accepts_messages:
            return 0
        return self._limits.window - self._outbox.outstanding

    def bind(self, request: Bind, now: float) -> None:
        """Asks to be bound. `Bound`, or `BindRefused` and `Closed`, follows. Raises LocalProtocolError."""
        self._require(type(request))
        if self._bind is not None:
            raise LocalProtocolError("a bind is under way")
        sequence = self._outbox.write_request(request)
        self._bind = (sequence, request)
        self._bind_deadline = now + self._limits.bind_s

    def send(self, message: SubmitSm | DeliverSm | DataSm, now: float) -> int:
        """Sends a message; `Answered` or `Unanswered` with the sequence number returned here follows, exactly once.

        Raises LocalProtocolError when the state does not allow it, the window is full or a field does not fit.
        """
        kind = type(message)
        self._require(kind)
        if self.free <= 0:
            raise LocalProtocolError("the window is full")
        return self._outbox.write_message(message, RESPONSE_TO[kind], now + self._limits.response_s)

    def respond(self, sequence: int, status: int = ROK, name: str = "") -> bool:
        """Answers a bind or a message of the peer; `name` is the message_id, or the system_id for a bind.

        False when the session closed meanwhile: the peer will send again. Raises LocalProtocolError when nothing with
        that sequence number waits for an answer.
        """
        if self.state is State.CLOSED:
            return False
        if self._bind is not None and self._bind[0] == sequence and self.role is Role.SMSC:
            self._respond_to_bind(self._bind[1], status, name)
            return True
        kind = self._unanswered.pop(sequence, None)
        if kind is None:
            raise LocalProtocolError(f"no request {sequence} waits for an answer")
        response = RESPONSE_TO[kind]
        assert issubclass(response, MessageResp)
        self._outbox.write(response(sequence=sequence, status=status, message_id=name))
        self._part_if_drained()
        return True

    def unbind(self, now: float) -> None:
        """Ends the session gracefully: no new message, wait (bounded) for outstanding answers, unbind, close."""
        if self.state is State.CLOSED or not self._parting.staying:
            return
        if self.state is State.OPEN:
            self._close(CloseCause.UNBOUND, "")
            return
        self._now = now
        self._parting.begin(now)
        self._part_if_drained()

    def give_up(self, detail: str) -> None:
        """Closes at once, without unbind; every unanswered message comes back."""
        self._close(CloseCause.GIVEN_UP, detail)

    # -- reading --------------------------------------------------------------------------------------------------

    def _receive_pdus(self, data: bytes) -> int:
        """Takes every whole PDU from `data`; how many octets that were. Raises OutOfStepError."""
        at, length = 0, len(data)
        self._needed = HEADER_OCTETS
        while length - at >= HEADER_OCTETS:
            octets, command_id, status, sequence = read_header(data, at)
            if length - at < octets:
                self._needed = octets
                break
            try:
                pdu = decode_body(command_id, status, sequence, data[at + HEADER_OCTETS : at + octets])
            except UnknownCommandError:
                self._receive_unknown(command_id, sequence)
            except MalformedBodyError as error:
                self._receive_malformed(command_id, sequence, error)
            else:
                _RECEIVERS[type(pdu)](self, pdu)
            at += octets
            if self.state is State.CLOSED:
                return length
        return at

    def _receive_unknown(self, command_id: int, sequence: int) -> None:
        if command_id & RESPONSE:
            self.strays += 1
        else:
            self._outbox.write(GenericNack(sequence=sequence, status=RINVCMDID))

    def _receive_malformed(self, command_id: int, sequence: int, error: MalformedBodyError) -> None:
        """The header is good: a request gets its own response with the fault, a response to us is an answer we lost."""
        for request, response in RESPONSE_TO.items():
            if command_id == request.command_id:
                self._outbox.write(response(sequence=sequence, status=error.status))
                return
        self.strays += 1

    def _receive_bind(self, pdu: Pdu) -> None:
        assert isinstance(pdu, Bind)
        if not self._peer_may(pdu) or self._bind is not None:
            status = RINVBNDSTS if self.role is Role.ESME else RALYBND
            self._outbox.write(RESPONSE_TO[type(pdu)](sequence=pdu.sequence, status=status))
            return
        self._bind = (pdu.sequence, pdu)
        self._events.append(BindRequested(request=pdu))

    def _receive_bind_resp(self, pdu: Pdu) -> None:
        assert isinstance(pdu, BindResp)
        if self._bind is None or self.role is not Role.ESME or self._bind[0] != pdu.sequence:
            self.strays += 1
            return
        request = self._bind[1]
        if RESPONSE_TO[type(request)] is not type(pdu):
            self.strays += 1
            return
        self._bind_answered(request, pdu.status, pdu.system_id)

    def _bind_answered(self, request: Bind, status: int, system_id: str) -> None:
        self._bind = None
        self._bind_deadline = None
        if status != ROK:
            self._events.append(BindRefused(status=status))
            self._close(CloseCause.BIND_REFUSED, f"0x{status:02x}")
            return
        self.state = BOUND_AS[request.mode]
        self._events.append(Bound(mode=request.mode, system_id=system_id))

    def _receive_message(self, pdu: Pdu) -> None:
        assert isinstance(pdu, _MESSAGES)
        if not self._peer_may(pdu):
            self._outbox.write(RESPONSE_TO[type(pdu)](sequence=pdu.sequence, status=RINVBNDSTS))
        elif pdu.sequence in self._unanswered:
            # Two open requests with one number could not be told apart when answered; the peer may try again.
            self._outbox.write(RESPONSE_TO[type(pdu)](sequence=pdu.sequence, status=RSYSERR))
        else:
            self._unanswered[pdu.sequence] = type(pdu)
            self._events.append(MessageReceived(request=pdu))

    def _receive_message_resp(self, pdu: Pdu) -> None:
        assert isinstance(pdu, MessageResp)
        if not self._settled(pdu.sequence, type(pdu), pdu.status, pdu.message_id):
            self.strays += 1

    def _settled(self, sequence: int, kind: type[Pdu] | None, status: int, name: str, *, nacked: bool = False) -> bool:
        """Whether a message of ours waited for this answer, be it that it had lapsed."""
        late = not self._outbox.settle(sequence, kind)
        if late and not self.lapses.late(sequence, kind):
            return False
        self.lapses.answered()
        self._events.append(Answered(sequence=sequence, status=status, message_id=name, nacked=nacked, late=late))
        if self._parting.stage is not Stage.STAYING:
            self._part_if_drained()
        return True

    def _receive_generic_nack(self, pdu: Pdu) -> None:
        """Section 4.3: with a number of ours that request failed; with none the peer lost its place in the stream."""
        status = pdu.status or RINVCMDID
        if pdu.sequence == 0:
            self._close(CloseCause.OUT_OF_STEP, f"generic_nack 0x{status:02x} without a sequence number")
        elif self._settled(pdu.sequence, None, status, "", nacked=True):
            return
        elif self.role is Role.ESME and self._bind is not None and self._bind[0] == pdu.sequence:
            self._bind_answered(self._bind[1], status, "")
        elif self._is_our_unbind(pdu):
            self._close(CloseCause.UNBOUND, f"unbind was answered by generic_nack 0x{status:02x}")
        else:
            self.strays += 1

    def _receive_enquire_link(self, pdu: Pdu) -> None:
        self._outbox.write(EnquireLinkResp(sequence=pdu.sequence))

    def _receive_unbind(self, pdu: Pdu) -> None:
        """The peer leaves: what has not left here is withdrawn, what is under way has a moment to be answered."""
        self._parting.asked(pdu.sequence, self._now)
        self._give_back(self._outbox.withdraw(), timed_out=False)
        self._part_if_drained()
        if not self.closed:
            self._events.append(PeerLeaving())

    def _receive_unbind_resp(self, pdu: Pdu) -> None:
        if self._is_our_unbind(pdu):
            self._close(CloseCause.UNBOUND, "")
        else:
            self.strays += 1

    def _receive_outbind(self, pdu: Pdu) -> None:
        assert isinstance(pdu, Outbind)
        if self._peer_may(pdu):
            self._events.append(OutbindReceived(system_id=pdu.system_id))

    def _pass_over(self, pdu: Pdu) -> None:
        """enquire_link_resp has done its work by being heard; alert_notification is of no use to us."""

    # -- time and writing -----------------------------------------------------------------------------------------

    def _lapse_waiting(self, now: float) -> None:
        lapsed = self._outbox.lapse(now)
        if lapsed:
            self.lapses.add(lapsed, now)
            self._give_back(lapsed, timed_out=True)
            self._part_if_drained()

    def _watch_silence(self, now: float) -> None:
        """Asks a silent peer whether it is there."""
        match self._silence.due(now, paused=self.reading_paused):
            case Due.ENQUIRY:
                self._outbox.write_request(EnquireLink())
            case Due.LOSS:
                self._close(CloseCause.ENQUIRY_UNANSWERED, "")

    def _watch_work(self, now: float) -> None:
        """Leaves a peer that is there and does not do its work. While we do not read, that proves nothing."""
        deadline = self.lapses.deadline(self._outbox.outstanding)
        if deadline is None or now < deadline:
            return
        if self.reading_paused:
            self.lapses.excuse(now)
        else:
            self._close(CloseCause.WORK_UNANSWERED, f"{self.lapses.in_a_row} messages without an answer")

    def _part_if_drained(self) -> None:
        if self._parting.drains and not self._outbox.outstanding and not self._unanswered:
            self._part()

    def _part(self) -> None:
        """The drain is over: our unbind goes out, or the peer's is answered and everything ends."""
        if self._parting.stage is Stage.ASKED:
            self._outbox.write(UnbindResp(sequence=self._parting.sequence))
            self._close(CloseCause.UNBOUND_BY_PEER, "")
        else:
            self._parting.said(self._outbox.write_request(Unbind()), self._now)

    def _is_our_unbind(self, pdu: Pdu) -> bool:
        return self._parting.stage is Stage.SAID and self._parting.sequence == pdu.sequence

    def _respond_to_bind(self, request: Bind, status: int, system_id: str) -> None:
        response = RESPONSE_TO[type(request)]
        assert issubclass(response, BindResp)
        if status != ROK:
            self._outbox.write(response(sequence=request.sequence, status=status))
            self._close(CloseCause.BIND_REFUSED, f"0x{status:02x}")
            return
        self._outbox.write(response(sequence=request.sequence, system_id=system_id, tlvs=_SERVER_TLVS))
        self._bind = None
        self._bind_deadline = None
        self.state = BOUND_AS[request.mode]

    def _peer_may(self, request: Pdu) -> bool:
        peer = Role.SMSC if self.role is Role.ESME else Role.ESME
        return may_issue(type(request), peer, self.state)

    def _require(self, request: type[Pdu]) -> None:
        if not may_issue(request, self.role, self.state):
            raise LocalProtocolError(f"{request.__name__} in state {self.state.value} by {self.role.value}")

    def _give_back(self, messages: list[Returned], *, timed_out: bool) -> None:
        self._events.extend(
            Unanswered(sequence=message.sequence, timed_out=timed_out, maybe_sent=message.maybe_sent)
            for message in messages
        )

    def _close(self, cause: CloseCause, detail: str) -> None:
        """Hands back every unanswered message, then ends."""
        if self.state is State.CLOSED:
            return
        self._give_back(self._outbox.give_back(), timed_out=False)
        self._unanswered.clear()
        self._tail.clear()
        self.state = State.CLOSED
        self._events.append(Closed(cause=cause, detail=detail))


_RECEIVERS: Mapping[type[Pdu], Callable[[Session, Pdu], None]] = MappingProxyType(
    {
        BindReceiver: Session._receive_bind,
        BindTransmitter: Session._receive_bind,
        BindTransceiver: Session._receive_bind,
        BindReceiverResp: Session._receive_bind_resp,
        BindTransmitterResp: Session._receive_bind_resp,
        BindTransceiverResp: Session._receive_bind_resp,
        Outbind: Session._receive_outbind,
        Unbind: Session._receive_unbind,
        UnbindResp: Session._receive_unbind_resp,
        SubmitSm: Session._receive_message,
        DeliverSm: Session._receive_message,
        DataSm: Session._receive_message,
        SubmitSmResp: Session._receive_message_resp,
        DeliverSmResp: Session._receive_message_resp,
        DataSmResp: Session._receive_message_resp,
        EnquireLink: Session._receive_enquire_link,
        EnquireLinkResp: Session._pass_over,
        GenericNack: Session._receive_generic_nack,
        AlertNotification: Session._pass_over,
    }
)
"""What each command of `codec.COMMANDS` does when it arrives."""
