"""No bytes make an SMPP session raise, and no message of ours is lost in it, whatever the peer says and whenever."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from channels.sms.encoding import Alphabet
from channels.sms.smpp.codec import COMMANDS, encode
from channels.sms.smpp.events import Answered, BindRequested, Bound, Closed, Event, MessageReceived, Unanswered
from channels.sms.smpp.inbound import report_of
from channels.sms.smpp.limits import Limits
from channels.sms.smpp.operations import RESPONSE_TO, Role
from channels.sms.smpp.pdu import BINDS, BindMode, DataSm, DeliverSm, Pdu, SubmitSm, Unbind
from channels.sms.smpp.receipt import IdRule
from channels.sms.smpp.session import Session

LIMITS = Limits(window=5, inbound_max=5)

headers = st.builds(
    lambda length, command, status, sequence: b"".join(
        n.to_bytes(4, "big") for n in (length, command, status, sequence)
    ),
    st.one_of(st.integers(0, 120), st.integers(0, 0xFFFF_FFFF)),
    st.one_of(st.sampled_from(sorted(COMMANDS)), st.integers(0, 0xFFFF_FFFF)),
    st.integers(0, 0xFFFF_FFFF),
    st.one_of(st.integers(0, 12), st.integers(0, 0xFFFF_FFFF)),
)


def framed(command: int, status: int, sequence: int, body: bytes) -> bytes:
    header = (16 + len(body), command, status, sequence)
    return b"".join(n.to_bytes(4, "big") for n in header) + body


frames = st.builds(
    framed,
    st.sampled_from(sorted(COMMANDS)),
    st.sampled_from([0, 0x58, 0x0B, 0xFFFF_FFFF]),
    st.integers(0, 12),
    st.binary(max_size=80),
)
noise = st.one_of(st.binary(max_size=200), headers, frames, frames, frames)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), noise),
        st.tuples(st.just("wait"), st.floats(0, 100)),
        st.tuples(st.sampled_from(["send", "send", "write", "answer", "unbind", "eof"]), st.none()),
    ),
    max_size=40,
)


class Owner:
    """Uses a session as the rules allow, and keeps account of its messages."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.now = 0.0
        self.session = Session(role, LIMITS, self.now)
        self.waiting: set[int] = set()
        self.asked: list[int] = []
        self.closed = False

    def bind(self, mode: BindMode) -> None:
        request: Pdu = BINDS[mode](sequence=1)
        if self.role is Role.ESME:
            self.session.bind(BINDS[mode](), self.now)
            request = RESPONSE_TO[BINDS[mode]](sequence=1)
        self.hear(encode(request))
        self.answer()

    def hear(self, octets: bytes) -> None:
        self.session.receive_bytes(octets, self.now)
        self.look()

    def send(self) -> None:
        message = SubmitSm(destination_addr="1") if self.role is Role.ESME else DeliverSm(destination_addr="1")
        can = {Role.ESME: ("bound_tx", "bound_trx"), Role.SMSC: ("bound_rx", "bound_trx")}[self.role]
        if self.session.free > 0 and self.session.state.value in can:
            sequence = self.session.send(message, self.now)
            assert sequence not in self.waiting
            self.waiting.add(sequence)
        assert len(self.waiting) <= LIMITS.window

    def answer(self) -> None:
        for sequence in self.asked:
            self.session.respond(sequence)
        self.asked.clear()
        self.look()

    def look(self) -> None:
        while (event := self.session.next_event()) is not None:
            assert not self.closed, "nothing comes after the end"
            self.note(event)

    def note(self, event: Event) -> None:
        match event:
            case Answered() | Unanswered():
                self.waiting.remove(event.sequence)
            case MessageReceived(request=request):
                self.asked.append(request.sequence)
                if not isinstance(request, SubmitSm):
                    report_of(request, id_rule=IdRule.ANY, default_alphabet=Alphabet.GSM7)
            case BindRequested(request=request):
                self.asked.append(request.sequence)
            case Closed():
                self.closed = True
            case Bound() | _:
                pass

    def wait(self, seconds: float) -> None:
        self.now += seconds
        deadline = self.session.next_deadline()
        if deadline is not None and deadline <= self.now:
            self.session.handle_deadline(self.now)
        self.look()

    def take(self, what: str, with_: bytes | float | None) -> None:
        match what, with_:
            case "hear", bytes(octets):
                self.hear(octets)
            case "wait", float(seconds):
                self.wait(seconds)
            case "send", _:
                self.send()
            case "write", _:
                self.session.bytes_to_send()
            case "answer", _:
                self.answer()
            case "unbind", _:
                self.session.unbind(self.now)
                self.look()
            case "eof", _:
                self.session.receive_eof()
                self.look()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(Role), st.sampled_from([None, *BindMode]), steps)
def test_no_bytes_raise_and_no_message_is_lost(
    role: Role, mode: BindMode | None, history: list[tuple[str, bytes | float | None]]
) -> None:
    owner = Owner(role)
    if mode is not None:
        owner.bind(mode)
    for what, with_ in history:
        owner.take(what, with_)
        assert owner.session.outstanding == len(owner.waiting)
    owner.session.receive_eof()
    owner.look()
    assert owner.closed
    assert not owner.waiting, "closing hands back every unanswered message"


@settings(max_examples=300, deadline=None)
@given(st.lists(noise, max_size=8), st.lists(st.integers(0, 800), max_size=8))
def test_pieces_make_no_difference(parts: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(parts)
    whole, pieces = Session(Role.SMSC, LIMITS, 0.0), Session(Role.SMSC, LIMITS, 0.0)
    whole.receive_bytes(octets, 1.0)
    edges = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    for start, end in itertools.pairwise(edges):
        pieces.receive_bytes(octets[start:end], 1.0)
    assert whole.bytes_to_send() == pieces.bytes_to_send()
    assert whole.state is pieces.state
    assert whole.strays == pieces.strays


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=254),
    st.dictionaries(st.sampled_from([0x1E, 0x0427, 0x0424, 0x020C, 0x020E, 0x020F, 0x0423]), st.binary(max_size=20)),
)
def test_every_inbound_message_becomes_a_report(
    esm_class: int, data_coding: int, octets: bytes, tlvs: dict[int, bytes]
) -> None:
    for request in (
        DeliverSm(esm_class=esm_class, data_coding=data_coding, short_message=octets, tlvs=tlvs),
        DataSm(esm_class=esm_class, data_coding=data_coding, tlvs={0x0424: octets, **tlvs}),
    ):
        for rule in IdRule:
            for alphabet in Alphabet:
                report_of(request, id_rule=rule, default_alphabet=alphabet)


def test_an_unbind_while_answers_wait_is_no_trap() -> None:
    owner = Owner(Role.ESME)
    owner.bind(BindMode.TRANSCEIVER)
    owner.send()
    owner.session.unbind(owner.now)
    owner.hear(encode(Unbind(sequence=1)))
    assert owner.closed
    assert not owner.waiting
