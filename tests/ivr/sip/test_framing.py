"""Messages over connections: whoever ends lines with line feeds alone is understood, and nobody smuggles a message in with one."""

from __future__ import annotations

import time

import pytest

from ivr.sip.framing import FramingError, Ping, StreamFramer
from ivr.sip.message import Request, parse

HEAD = (
    b"MESSAGE sip:x@y SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\n"
    b"Call-ID: c\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
)
BODY = b"one\n\ntwo"
WHOLE = HEAD % len(BODY) + BODY
LINE_FEEDS = (HEAD % len(BODY)).replace(b"\r", b"") + BODY
STEPS = pytest.mark.parametrize("step", [1, 7, 10_000])


def framed(data: bytes, step: int) -> list[bytes | Ping | FramingError]:
    framer = StreamFramer(65_535)
    return [one for at in range(0, len(data), step) for one in framer.receive(data[at : at + step])]


@STEPS
@pytest.mark.parametrize("between", [b"", b"\r\n", b"\n", b"\0", b"\0\0\r\n\0"])
def test_case_3_1_messages_are_read_whatever_ends_their_lines_and_stands_between_them(
    between: bytes, step: int
) -> None:
    found = framed(between + between.join([WHOLE, LINE_FEEDS, LINE_FEEDS, WHOLE]), step)
    messages = [parse(one, framed=True) for one in found if isinstance(one, bytes)]
    assert len(messages) == 4
    assert all(isinstance(one, Request) and one.body == BODY for one in messages)


@STEPS
def test_line_feeds_within_a_head_end_nothing(step: int) -> None:
    hidden = b"Subject: x\n\nINVITE sip:x@y SIP/2.0\nContent-Length: 0\r\n"
    (found,) = framed(
        WHOLE.replace(b"Content-Type", hidden.replace(b"Content-Length", b"X-Length") + b"Content-Type"), step
    )
    assert isinstance(found, bytes)
    assert found.endswith(BODY)


@pytest.mark.parametrize(
    "begun", [b"INVITE sip:x@y SIP/2.0\r\n" + b"A: b\r\n" * 5_000, b"INVITE\n" * 4_000, b"A" * 32_000, b"\r\n" * 15_000]
)
def test_what_comes_in_single_bytes_is_looked_at_once(begun: bytes) -> None:
    framer, began = StreamFramer(65_535), time.process_time()
    for at in range(len(begun)):
        framer.receive(begun[at : at + 1])
    assert time.process_time() - began < 0.4  # 30 ms; a second where all is looked at again with each byte
    assert framer.pending is not begun.startswith(b"\r\n")


def test_a_long_body_in_single_bytes_is_one_message() -> None:
    head = b"MESSAGE sip:x@y SIP/2.0\r\nContent-Length: 60000\r\n\r\n"
    began = time.process_time()
    assert framed(head + b"x" * 60_000, 1) == [head + b"x" * 60_000]
    assert time.process_time() - began < 0.8


@pytest.mark.parametrize("message", [b"A B\nl:0\n\n", b"A B\nl:9\n\n123456789", b"A B\nl:0\n\nC D\r\nl:0\r\n\r\n"])
def test_thousands_of_short_messages_in_one_piece_cost_no_square_of_their_number(message: bytes) -> None:
    count = 1024 * 1024 // len(message)
    began = time.process_time()
    found = StreamFramer(65_535).receive(message * count)
    assert len(found) == count * message.count(b"l:")
    assert time.process_time() - began < 0.9  # 0.4 s; 1 to 2 s where all that is behind is moved for each
