"""A transaction layer whose clock is moved by hand, and the messages that it is given."""

from __future__ import annotations

import pytest

from ivr.sip.headers import Headers
from ivr.sip.hop import Hop
from ivr.sip.layer import LayerEvent, RequestArrived, TransactionLayer
from ivr.sip.message import Request, Response, response_to
from ivr.sip.transaction import Timers

UDP = Hop("udp", "203.0.113.9", 5060)
TCP = Hop("tcp", "203.0.113.9", 5060)
BOTH = pytest.mark.parametrize("hop", [UDP, TCP], ids=["udp", "tcp"])
REPEATS_OF_INVITE = [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
"""Timer A: doubled without a cap until timer B, 32 s."""
REPEATS_OF_OTHERS = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
"""Timers E and G: doubled up to 4 s."""


class Clocked:
    """A layer and its time."""

    def __init__(self, *, timers: Timers | None = None, transactions_max: int = 20_000) -> None:
        self.layer = TransactionLayer(timers=timers, transactions_max=transactions_max)
        self.now = 0.0

    def advance(self, to: float) -> list[tuple[float, Request | Response]]:
        """Goes on to this time, deadline by deadline."""
        out = [(self.now, message) for _, message in self.layer.messages_to_send()]
        while (at := self.layer.next_deadline()) is not None and at <= to:
            self.now = max(self.now, at)
            self.layer.handle_deadline(self.now)
            out += [(self.now, message) for _, message in self.layer.messages_to_send()]
        self.now = to
        return out

    def events(self) -> list[LayerEvent]:
        """What happened."""
        found = []
        while (event := self.layer.next_event()) is not None:
            found.append(event)
        return found

    def hear(self, message: Request | Response, source: Hop = UDP) -> list[Request | Response]:
        """What comes, and what goes out for it at once."""
        self.layer.receive(message, source, self.now)
        return [message for _, message in self.layer.messages_to_send()]

    def send(self, request: Request, hop: Hop = UDP) -> str:
        """A request of ours, sent once so far."""
        key = self.layer.send_request(request, hop, self.now)
        assert [message for _, message in self.layer.messages_to_send()] == [request]
        return key

    def arrive(self, request: Request, source: Hop = UDP) -> str:
        """A request of theirs; its key."""
        assert self.hear(request, source) == []
        [event] = self.events()
        assert isinstance(event, RequestArrived)
        return event.key

    def respond(self, key: str, response: Response) -> list[Request | Response]:
        """Our answer, and what goes out."""
        self.layer.respond(key, response, self.now)
        return [message for _, message in self.layer.messages_to_send()]


def request(
    method: str = "INVITE",
    *,
    branch: str = "z9hG4bK1",
    via: str = "SIP/2.0/UDP 203.0.113.9:5060",
    to_tag: str = "",
    cseq: int = 1,
    uri: str = "sip:tocsin@192.0.2.1",
    from_tag: str = "a",
    call_id: str = "c1",
) -> Request:
    """A request, of ours or of theirs."""
    to = f"<sip:tocsin@192.0.2.1>;tag={to_tag}" if to_tag else "<sip:tocsin@192.0.2.1>"
    pairs = [
        ("Via", f"{via};branch={branch}" if branch else via), ("Max-Forwards", "70"),
        ("From", f"<sip:nurse@example.org>;tag={from_tag}"), ("To", to), ("Call-ID", call_id), ("CSeq", f"{cseq} {method}"),
    ]  # fmt: skip
    return Request(method=method, uri=uri, headers=Headers(pairs))


def answer(to: Request, status: int, tag: str = "b") -> Response:
    """An answer to it."""
    return response_to(to, status, to_tag="" if status == 100 else tag)


def at(sent: list[tuple[float, Request | Response]]) -> list[float]:
    """The times."""
    return [round(time, 3) for time, _ in sent]
