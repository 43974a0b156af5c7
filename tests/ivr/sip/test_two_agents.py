"""Two user agents who call each other: over a line that loses messages, hour after hour, and with messages that cross."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from ivr.sip.events import Answered, Ended, Lost, Offered, Refused, Ringing
from ivr.sip.hop import Hop
from ivr.sip.incoming import IncomingCall
from ivr.sip.message import Request, encode
from ivr.sip.outgoing import OutgoingCall
from tests.ivr.sip.stage import OURS, PEER, Message, Stage, invitation, negotiation, refusal

CALLER = Hop("udp", OURS, 5060)
ANSWERS_AFTER_S = 2.0


class Line:
    """A caller, a called who rings and then answers, and the line between them."""

    def __init__(self, lost: Callable[[int], bool] = lambda _: False) -> None:
        self.caller = Stage(prefix="caller")
        self.called = Stage(prefix="called", host=PEER.host)
        self.carried: list[Message] = []
        """All messages that were sent, the lost ones too."""
        self._lost = lost
        self._rung = False
        self._answer_at: float | None = None

    @property
    def now(self) -> float:
        """The time of both."""
        return self.caller.now

    def call(self) -> OutgoingCall:
        """The caller calls; nothing is carried yet."""
        what = replace(invitation(hops=(PEER,)), first_response_s=30.0)
        return self.caller.agent.invite(what, negotiation(), self.now)

    def offered(self) -> IncomingCall:
        """The call as the called has it."""
        [offered] = self.called.told(Offered)
        return offered.call

    def carry(self) -> None:
        """Takes messages to and fro until there are none."""
        while moved := [
            (other, source, message)
            for stage, other, source in ((self.caller, self.called, CALLER), (self.called, self.caller, PEER))
            for _, message in stage.sent()
        ]:
            for other, source, message in moved:
                self.carried.append(message)
                if not self._lost(len(self.carried)):
                    other.agent.receive(encode(message), source, self.now)

    def run(self, seconds: float) -> None:
        """Time goes by for both."""
        end = self.now + seconds
        self._work()
        while (at := self._next()) is not None and at <= end:
            self.caller.now = self.called.now = max(self.now, at)
            for stage in (self.caller, self.called):
                stage.agent.handle_deadline(self.now)
            self._work()
        self.caller.now = self.called.now = end

    def _next(self) -> float | None:
        times = (self.caller.agent.next_deadline(), self.called.agent.next_deadline(), self._answer_at)
        return min((time for time in times if time is not None), default=None)

    def _work(self) -> None:
        self.carry()
        if not self._rung and self.called.told(Offered):
            self._rung = True
            self._answer_at = self.now + ANSWERS_AFTER_S
            self.offered().ring(self.now)
        elif self._answer_at is not None and self.now >= self._answer_at:
            self._answer_at = None
            self.offered().answer(negotiation(port=41_000), self.now)
        self.carry()

    def is_over(self) -> None:
        """Neither has anything left to do or to remember."""
        for stage in (self.caller, self.called):
            assert stage.agent.calls == 0
            assert len(stage.agent._layer) == 0
            assert not stage.agent._clients
            assert stage.agent.next_deadline() is None


def test_a_whole_call() -> None:
    line = Line()
    leg = line.call()
    line.run(10.0)
    assert [one.status for one in line.caller.told(Ringing)] == [180]
    assert [one.call for one in line.caller.told(Answered)] == [leg]
    ports = []
    for call in (leg, line.offered()):
        assert call.session is not None
        assert call.session.negotiation.agreed is not None
        ports.append(call.session.negotiation.agreed.port)
    assert ports == [41_000, 40_000]
    leg.hang_up(line.now, reason="Q.850;cause=16")
    line.run(100.0)
    assert [one.by_remote for one in line.caller.told(Ended)] == [False]
    assert [(one.by_remote, one.reasons[0].cause) for one in line.called.told(Ended)] == [(True, 16)]
    kinds = [one.method if isinstance(one, Request) else one.status for one in line.carried]
    assert kinds == ["INVITE", 180, 200, "ACK", "BYE", 200]
    line.is_over()


@pytest.mark.parametrize("who", ["caller", "called"])
@pytest.mark.parametrize("lost", range(1, 9))
def test_one_lost_message_changes_nothing(lost: int, who: str) -> None:
    line = Line(lambda n: n == lost)
    leg = line.call()
    line.run(20.0)
    (leg if who == "caller" else line.offered()).hang_up(line.now)
    line.run(150.0)
    for stage, hung_up in ((line.caller, who == "caller"), (line.called, who == "called")):
        assert len(stage.told(Answered)) == 1
        assert [one.by_remote for one in stage.told(Ended)] == [not hung_up]
    assert line.caller.told(Refused) == []
    line.is_over()


@pytest.mark.parametrize("seed", range(40))
def test_on_a_bad_line_each_side_is_told_once_and_nothing_is_left(seed: int) -> None:
    dice = random.Random(seed)
    line = Line(lambda _: dice.random() < 0.4)
    leg = line.call()
    line.run(dice.choice([0.3, 2.2, 30.0]))
    leg.hang_up(line.now)
    line.run(300.0)
    told = Counter(type(event) for event in line.caller.events)
    assert told[Refused] + told[Ended] == 1
    assert told[Answered] == told[Ended]
    heard = Counter(type(event) for event in line.called.events)
    assert heard[Offered] == heard[Ended] <= 1
    line.is_over()


def test_cancel_and_200_cross() -> None:
    line = Line()
    leg = line.call()
    line.run(1.0)
    line.offered().answer(negotiation(), line.now)
    leg.hang_up(line.now)
    line.run(100.0)
    assert refusal(line.caller).lost is Lost.STOPPED
    assert line.caller.told(Answered) == []
    assert [one.by_remote for one in line.called.told(Ended)] == [True]
    line.is_over()


def test_two_byes_cross() -> None:
    line = Line()
    leg = line.call()
    line.run(10.0)
    leg.hang_up(line.now)
    line.offered().hang_up(line.now)
    line.run(100.0)
    assert [one.by_remote for one in line.caller.told(Ended)] == [False]
    assert [one.by_remote for one in line.called.told(Ended)] == [False]
    line.is_over()


def test_a_call_of_a_day_is_kept_alive() -> None:
    line = Line()
    leg = line.call()
    line.run(86_400.0)
    updates = [one for one in line.carried if isinstance(one, Request) and one.method == "UPDATE"]
    assert len(updates) == 86_400 // 900 - 1
    assert line.caller.told(Ended) == line.called.told(Ended) == []
    leg.hang_up(line.now)
    line.run(100.0)
    line.is_over()


def test_a_line_that_is_cut_ends_the_call_on_both_sides() -> None:
    cut = False
    line = Line(lambda _: cut)
    line.call()
    line.run(10.0)
    cut = True
    line.run(1_800.0)
    assert [one.by_remote for one in line.called.told(Ended)] == [False]
    assert [one.by_remote for one in line.caller.told(Ended)] == [False]
    line.run(100.0)
    line.is_over()
