"""How the link to a mail server stands: what shows in its health, and when that becomes an alarm."""

from __future__ import annotations

from channels.email.standing import REFUSAL_LASTS_S, Standing
from channels.email.status import Reply, Stage, classify, lost

TURNED_AWAY = classify(Reply(code=454, text="4.7.0 TLS not available due to local problem"), Stage.TLS)
BUSY = classify(Reply(code=450, text="4.2.0 busy"), Stage.RCPT)


class Clock:
    at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_case_4_4_a_server_that_turns_everybody_away_for_a_minute_is_an_alarm() -> None:
    clock = Clock()
    standing = Standing("mail", monotonic=clock)
    standing.failed(TURNED_AWAY, refused=True)
    assert (standing.health().up, standing.health().alarm) == (False, False)
    clock.at += REFUSAL_LASTS_S - 1
    standing.failed(TURNED_AWAY, refused=True)
    assert not standing.health().alarm
    clock.at += 1
    assert standing.health().alarm
    standing.succeeded("verified", dsn_offered=True)
    assert (standing.health().up, standing.health().alarm) == (True, False)


def test_a_lost_link_in_between_begins_the_minute_anew() -> None:
    clock = Clock()
    standing = Standing("mail", monotonic=clock)
    standing.failed(TURNED_AWAY, refused=True)
    clock.at += REFUSAL_LASTS_S
    standing.failed(lost(Stage.CONNECT, "connection_refused", ""), refused=False)
    assert (standing.health().up, standing.health().alarm) == (False, False)


def test_a_recipient_that_is_refused_says_nothing_of_the_link() -> None:
    standing = Standing("mail")
    standing.succeeded("none", dsn_offered=False)
    standing.failed(BUSY, refused=True)
    assert standing.health().up
