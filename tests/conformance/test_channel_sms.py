"""The SMS channel keeps the promises of every channel, towards our simulated SMSC and towards one no one here wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import ClassVar

import pytest

from channels.channel import Channel
from channels.sms.channel import STOP_MARGIN_S, SmsChannel
from channels.sms.settings import SmppSettings
from channels.sms.smpp.behaviour import SmscBehaviour
from channels.sms.smpp.simulator import SmscSimulator
from channels.stream import CLOSE_S
from tests.conformance.channel_suite import ChannelSuite
from tests.conformance.counterpart import PATIENT_S, SLOTS, SLOW_S, Counterpart, Mood
from tests.peers.smsc import NodeSmsc

SYSTEM_ID, PASSWORD = "tocsin", "Gehe1m-Pw"
RSYSERR = 0x08
LINK_WAIT_S = 0.3
UNBIND_WAIT_S = 1.0

SIMULATED = {
    Mood.TAKES: SmscBehaviour(),
    Mood.SLOW: SmscBehaviour(response_delay_s=SLOW_S),
    Mood.REFUSES: SmscBehaviour(reject_per_mille=1000),
    Mood.BUSY: SmscBehaviour(reject_per_mille=1000, reject_status=RSYSERR),
    Mood.THROTTLES: SmscBehaviour(throttle_per_mille=1000),
    Mood.SILENT: SmscBehaviour(mute=True),
    Mood.DROPS: SmscBehaviour(drop_every=1),
}
NODE: dict[Mood, dict[str, object]] = {
    Mood.TAKES: {},
    Mood.SLOW: {"answer_delay_ms": int(SLOW_S * 1000)},
    Mood.REFUSES: {"reject": 1000, "reject_status": 0x0B},
    Mood.BUSY: {"reject": 1000, "reject_status": RSYSERR},
    Mood.THROTTLES: {"throttle": 1000},
    Mood.SILENT: {"answer": False},
    Mood.DROPS: {"drop_every": 1, "drop_unanswered": True},
}
NODE_CALM: dict[str, object] = {
    "answer": True,
    "answer_delay_ms": 0,
    "reject": 0,
    "throttle": 0,
    "drop_every": 0,
    "drop_unanswered": False,
}


def smpp(port: int, **changes: object) -> SmppSettings:
    """Settings towards an SMSC on this port."""
    base: dict[str, object] = {
        "name": "carrier-a",
        "host": "127.0.0.1",
        "port": port,
        "system_id": SYSTEM_ID,
        "password": PASSWORD,
        "source": "ALERT",
        "window": SLOTS,
        "link_wait_s": LINK_WAIT_S,
        "unbind_wait_s": UNBIND_WAIT_S,
    }
    return SmppSettings.model_validate(base | changes)


class SmppCounterpart:
    """What both SMSCs have in common: the channels towards them."""

    to = "+33612345678"
    secrets: tuple[str, ...] = (PASSWORD,)
    ends_within_s = UNBIND_WAIT_S + CLOSE_S + STOP_MARGIN_S
    port = 0

    def channel(
        self,
        *,
        port: int | None = None,
        password: str | None = None,
        connect_s: float = PATIENT_S,
        response_s: float = PATIENT_S,
    ) -> SmsChannel:
        changes = {"connect_s": connect_s, "response_s": response_s, "password": password or PASSWORD}
        return SmsChannel(smpp(port or self.port, **changes))

    def send_within_s(self, connect_s: float, response_s: float) -> float:
        """`link_wait_s`, then `response_s` for a slot and again for the answer."""
        return LINK_WAIT_S + 2 * response_s


class SimulatedSmsc(SmppCounterpart):
    """channels.sms.smpp.simulator.SmscSimulator."""

    def __init__(self) -> None:
        self._smsc = SmscSimulator(self._account(SmscBehaviour()))

    async def start(self) -> None:
        self.port = await self._smsc.start(port=self.port)

    async def stop(self) -> None:
        await self._smsc.stop()

    async def behave(self, mood: Mood) -> None:
        self._smsc.behave(self._account(SIMULATED[mood]))

    async def messages(self) -> int:
        return self._smsc.counters.submits

    async def logins(self) -> int:
        return self._smsc.counters.binds + self._smsc.counters.binds_refused

    async def confirmed(self) -> int:
        return self._smsc.counters.confirmed

    async def refused(self) -> int:
        return self._smsc.counters.refused

    @staticmethod
    def _account(behaviour: SmscBehaviour) -> SmscBehaviour:
        return replace(behaviour, system_id=SYSTEM_ID, password=PASSWORD, redeliver_after_s=0.05)


class ForeignSmsc(SmppCounterpart):
    """The SMSC of the npm package smpp."""

    def __init__(self, smsc: NodeSmsc) -> None:
        self._smsc = smsc
        self.port = smsc.port

    async def start(self) -> None:
        await asyncio.to_thread(self._smsc.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self._smsc.stop)

    async def behave(self, mood: Mood) -> None:
        await self._smsc.behave(**NODE_CALM | NODE[mood])

    async def messages(self) -> int:
        return (await self._smsc.stats())["submits"]

    async def logins(self) -> int:
        stats = await self._smsc.stats()
        return stats["binds"] + stats["binds_refused"]

    async def confirmed(self) -> int:
        return (await self._smsc.stats())["receipts_answered"]

    async def refused(self) -> int:
        return (await self._smsc.stats())["receipts_refused"]


class SmsSuite(ChannelSuite):
    """The addresses and settings of SMS."""

    addresses: ClassVar = {
        "+33612345678": "+33612345678",
        " +33 6 12-34.56.78 ": "+33612345678",
        "+33 (0)6 12 34 56 78": "+33612345678",
        "+٣٣612345678": "+33612345678",
        "112233": "112233",
    }
    address_characters = "+00123456789 ()-./;ext=٣۴７"

    def offline(self) -> Channel:
        return SmsChannel(smpp(1))

    def bad_settings(self, password: str) -> None:
        SmppSettings.model_validate({**smpp(1).model_dump(), "password": password, "tls_verify": False})


class TestSmsWithSimulator(SmsSuite):
    @pytest.fixture
    async def counterpart(self) -> AsyncIterator[Counterpart]:
        smsc = SimulatedSmsc()
        await smsc.start()
        yield smsc
        await smsc.stop()


class TestSmsWithForeignSmsc(SmsSuite):
    @pytest.fixture
    def counterpart(self, start_smsc: Callable[..., NodeSmsc]) -> Counterpart:
        return ForeignSmsc(start_smsc(system_id=SYSTEM_ID, password=PASSWORD))
