"""Keys by SIP INFO, both ways."""

from __future__ import annotations

import pytest

from ivr.sip.events import KeySignalled
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
        ("application/dtmf-relay", b"Signal=12\r\n", None),
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
    assert (refused.status, refused.headers.get("Accept")) == (415, "application/dtmf-relay, application/dtmf")
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
