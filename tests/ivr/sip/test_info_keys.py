"""Keys by SIP INFO, both ways."""

from __future__ import annotations

import pytest

from ivr.sip.events import KeySignalled
from ivr.sip.info import CONTENT_TYPES, InfoKeys
from tests.ivr.sip.stage import DIRECTIONS, Stage, far_answer, only, statuses, up


@DIRECTIONS
@pytest.mark.parametrize(
    ("content_type", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
        ("Application/DTMF-Relay; charset=utf-8", b"Duration=160\nsignal = *", "*"),
        ("application/dtmf-relay", b"Signal=11\r\n", "#"),
        ("application/dtmf", b"1", "1"),
        ("application/dtmf", b" d\r\n", "D"),
        ("application/dtmf-relay", b"Signal=12\r\n", "A"),
        ("application/dtmf-relay", b"Signal=16\r\n", None),
        ("application/dtmf-relay", b"signal: 7\r\n", "7"),
        ("application/dtmf-relay", b"d=7\r\n", None),
        ("", b"Signal=5\r\n", "5"),
        ("audio/telephone-event", b"\x05\x8a\x03\x20", "5"),
        ("audio/telephone-event", b"\x0a\x0a\x00\xa0", "*"),
        ("audio/telephone-event", b"0B8A0320\r\n", "#"),
        ("audio/telephone-event", b"0b 8a 03 20", "#"),
        ("audio/telephone-event", b"7\r\n", "7"),
        ("audio/telephone-event", b"Signal=9\r\nDuration=100\r\n", "9"),
        ("audio/telephone-event", b"\x10\x8a\x03\x20", None),
        ("audio/telephone-event", b"\x20\x8a\x03\x20", None),
        ("audio/telephone-event", b"\x05", None),
        (
            "application/vnd.nortelnetworks.digits",
            b"p=Digit-Collection\r\ny=Digits\r\ns=success\r\nu=12\r\ni=87\r\nd=4\r\n",
            "4",
        ),
        ("application/vnd.nortelnetworks.digits", b"p=Digit-Collection\nd = #", "#"),
        ("application/vnd.nortelnetworks.digits", b"p=Digit-Collection\n", None),
        ("application/dtmf-relay", b"Duration=160\r\n", None),
        ("application/dtmf", b"", None),
        ("application/dtmf", b"\xff\xfe", None),
    ],
)
def test_keys_by_info(outgoing: bool, content_type: str, body: bytes, key: str | None) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    request = far.request("INFO", headers=[("Content-Type", content_type)], body=body)
    assert statuses(stage.hear(request)) == [200]
    assert statuses(stage.hear(request)) == [200]  # repeated: one key all the same
    assert [one.key for one in stage.told(KeySignalled)] == ([] if key is None else [key])


def test_an_info_with_something_else_is_refused_with_what_we_take() -> None:
    stage = Stage()
    far = stage.up()
    refused = far.say("INFO", headers=[("Content-Type", "text/plain")], body=b"1")
    assert (refused.status, refused.headers.get("Accept")) == (415, ", ".join(CONTENT_TYPES))
    assert far.say("INFO").status == 200
    assert stage.told(KeySignalled) == []


def test_the_same_key_twice_is_two_keys() -> None:
    stage = Stage()
    far = stage.up()
    for _ in range(2):
        far.say("INFO", headers=[("Content-Type", "application/dtmf")], body=b"1")
    assert [one.key for one in stage.told(KeySignalled)] == ["1", "1"]


def test_we_send_a_key_by_info() -> None:
    stage = Stage()
    far = stage.up()
    assert far.leg.session is not None
    far.leg.session.inform(b"Signal=1\r\n", "application/dtmf-relay", stage.now)
    info = only(stage.messages(), "INFO")
    assert (info.body, info.headers.get("Content-Type")) == (b"Signal=1\r\n", "application/dtmf-relay")
    stage.hear(far_answer(info, 200))
    far.leg.hang_up(stage.now)
    stage.messages()
    far.leg.session.inform(b"Signal=1\r\n", "application/dtmf-relay", stage.now)
    assert stage.messages() == []


def event(key: int, duration: int, end: bool = False) -> bytes:
    """The four octets of an event."""
    return bytes([key, 0x8A if end else 0x0A]) + duration.to_bytes(2, "big")


@pytest.mark.parametrize(
    ("events", "keys"),
    [
        ([event(1, 160), event(1, 320), event(1, 480, end=True)], "1"),
        ([event(1, 160), event(1, 160, end=True)], "1"),
        ([event(1, 480, end=True), event(1, 480, end=True)], "11"),
        ([event(1, 160), event(1, 160)], "11"),
        ([event(1, 480), event(2, 160), event(2, 480, end=True), event(1, 160, end=True)], "121"),
        ([event(1, 160), b"5", event(1, 320, end=True)], "151"),
    ],
)
def test_an_event_that_is_held_is_one_key(events: list[bytes], keys: str) -> None:
    taken = InfoKeys()
    assert "".join(filter(None, (taken.pressed("audio/telephone-event", body) for body in events))) == keys
