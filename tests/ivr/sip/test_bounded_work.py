"""Work of a size that a stranger chooses: reading a message takes time in proportion to its size, and its size is bounded."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest

from ivr.sip import sdp
from ivr.sip.bodies import sdp_of
from ivr.sip.framing import StreamFramer
from ivr.sip.headers import parse_name_addr
from ivr.sip.message import Malformed, Request, parse

TOKENS = (
    *"(<>\";,: \t@%[a\n\r\0\\", "a;", "a=", "<sip:", "<a:", "; tag=", "=?", "--", "\n ", "a b", "sips:a", "AAAA\r\n",
)  # fmt: skip
START = "INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n"
REST = "From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n"
SDP = "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n"
PLACES = {
    "Request-URI": ("INVITE sip:", " SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n" + REST),
    "Via": ("INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;", "\r\n" + REST),
    "From": (START + 'From: "', "\r\n" + REST),
    "Contact": (START + "Contact: <sip:a@b>", "\r\n" + REST),
    "boundary": (START + "Content-Type: multipart/mixed;boundary=a\r\n" + REST + "--", ""),
    "m=": (START + REST + "v=0\nm=", ""),
    "rtpmap": (START + REST + SDP + "a=rtpmap:0 ", ""),
    "crypto": (START + REST + SDP + "a=crypto:1 ", ""),
    "c=": (START + REST + SDP + "c=", ""),
}
READ_S_MAX = 0.2
"""Of the processor. They take some milliseconds; a square of anything would take seconds."""


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    """What the other tests of this process left behind is not looked through on this one's time."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("place", PLACES)
def test_reading_a_message_takes_a_bounded_time_whatever_is_in_it(place: str) -> None:
    before, behind = PLACES[place]
    for token in TOKENS:
        for size in (8_000, 30_000, 60_000):
            data = (before + (token * size)[:size] + behind).encode()
            began = time.process_time()
            message = parse(data)
            if isinstance(message, Request):
                _ = message.from_, message.to, message.via
                for contact in message.headers.elements("Contact"):
                    parse_name_addr(contact)
                sdp.flaws_of(sdp_of(message) or b"")
            assert time.process_time() - began < READ_S_MAX, (token, size)


def test_a_description_of_thousands_of_lines_is_read_in_a_bounded_time() -> None:
    for line in (
        "a=rtpmap:1 a/1",
        "a=crypto:1 A inline:" + "A" * 40,
        "m=audio 4000 RTP/AVP 0",
        "c=IN IP4 a.b",
        "a=fmtp:1 x",
    ):
        began = time.process_time()
        sdp.parse((SDP + f"{line}\n" * 5_000).encode())
        assert time.process_time() - began < READ_S_MAX, line


PIECE_BYTES = 256 * 1024
"""What a loop reads of a connection at once."""


def test_a_stream_is_cut_in_a_bounded_time_whatever_is_between_messages() -> None:
    for token in (
        b"\r\n", b"\n", b"\0", b"\r\n\n", b"\r\n\0", b"\r\n\r\n", b"\r\n\n\r\n\r\n", b"a\n", b"a\n\n", b"a\r\n",
        b"\nl: 0\r\n\r\n", b"a b c\nl:0\n\n", b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n\r\n\r\n",
    ):  # fmt: skip
        framer = StreamFramer(65_535)
        began = time.process_time()
        framer.receive(token * (PIECE_BYTES // len(token)))
        assert time.process_time() - began < 3 * READ_S_MAX, token  # it is four times as much as a message


def test_a_field_or_a_head_beyond_any_need_is_not_read() -> None:
    def filled(size: int) -> bytes:
        return f"{START}Subject: {'x' * size}\r\n{REST}".encode()

    message = parse(filled(9_000))
    assert isinstance(message, Request)
    assert "Subject" not in message.headers
    assert any("longer than" in flaw for flaw in message.flaws)
    refused = parse(filled(40_000))
    assert isinstance(refused, Malformed)
    assert refused.status == 513
