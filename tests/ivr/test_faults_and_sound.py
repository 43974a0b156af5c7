"""A fault of ours in one call is logged as the gateway logs, and the sound of another call does not wait for it."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog

from gateway import logs
from gateway.logs import Format
from ivr import endpoint as module
from ivr.call import Call
from ivr.endpoint import Endpoint
from ivr.flow import FAILED
from ivr.orders import EndpointConfig, Order
from ivr.phone import Behaviour, PhoneSimulator
from ivr.sip.agent import Admitted
from ivr.sip.headers import NameAddr
from ivr.sip.hop import Hop
from tests.ivr.test_endpoint import LOCAL, PROMPTS, WITHIN_S, Silence, conversation, nobody, rtp_ports

HELD_MAX_S = 0.005
"""Of the processor's time, for one line: a quarter of the 20 ms after which the next piece of sound is due."""
PHONES = {
    "talks": Behaviour(answer_s=0.05, keys="", greeting="nothing"),
    "faulty": Behaviour(answer_s=0.05, keys="1", keys_s=0.2, again_s=0.2, greeting="nothing"),
}
FAULTS = 5
DEPTH = 500
"""Frames of each fault, each with much in it."""


class Timed:
    """A logger that notes what each line cost the loop."""

    def __init__(self, logger: Any) -> None:
        self.spent_s: list[float] = []
        self._logger = logger

    def exception(self, *words: Any, **values: Any) -> None:
        """Logs the exception that is handled."""
        began = time.thread_time()
        self._logger.exception(*words, **values)
        self.spent_s.append(time.thread_time() - began)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """An endpoint that calls."""
    async with AsyncExitStack() as stack:
        config = EndpointConfig(host=LOCAL, port=0, rtp_ports=rtp_ports(), calls_per_s=500)
        made = Endpoint(config, prompts=PROMPTS, speech=Silence(), admit=lambda *_: Admitted(), incoming=nobody)
        await made.open()
        stack.push_async_callback(made.close)
        yield made


def order(number: str, port: int) -> Order:
    """A call to one of the phones."""
    uri = f"sip:{number}@{LOCAL}:{port}"
    return Order(
        target=uri, to=NameAddr("", uri), from_=NameAddr("", f"sip:tocsin@{LOCAL}"), hops=(Hop("udp", LOCAL, port),),
        ring_s=WITHIN_S, first_response_s=1.0, conversation=conversation(),
    )  # fmt: skip


def deep(*_: Any, depth: int = DEPTH) -> None:
    """A fault far down."""
    much = ["x" * 1_000] * 1_000
    if depth:
        deep(depth=depth - 1)
    raise ValueError(f"a fault in {len(much)}")


@pytest.mark.parametrize("form", ["text", "json"])
async def test_case_6_1_a_fault_in_one_call_is_logged_without_holding_up_another(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, form: Format
) -> None:
    assert importlib.util.find_spec("rich"), (
        "where it is installed, others render the source and every variable with it"
    )
    written = io.StringIO()
    logs.configure("info", form, to=written)
    timed = Timed(structlog.get_logger("ivr.endpoint"))
    monkeypatch.setattr(module, "log", timed)
    phones = PhoneSimulator(PHONES.__getitem__, rtp_ports=rtp_ports())
    await phones.open()
    try:
        talking = asyncio.create_task(endpoint.place(order("talks", phones.port), endpoint.prepare()))
        async with asyncio.timeout(WITHIN_S):
            await (await phones.called()).reached("answered")
        monkeypatch.setattr(Call, "key", deep)
        async with asyncio.timeout(WITHIN_S):
            results = await asyncio.gather(
                *(endpoint.place(order("faulty", phones.port), endpoint.prepare()) for _ in range(FAULTS))
            )
        assert [one.result for one in results] == [FAILED] * FAULTS
        assert not talking.done()
        assert endpoint.calls_up == 1
        assert len(timed.spent_s) >= FAULTS
        assert min(timed.spent_s) < HELD_MAX_S  # the quickest: what else the machine does is not ours
        assert sorted(timed.spent_s)[len(timed.spent_s) // 2] < 2 * HELD_MAX_S
        assert "a fault in 1000" in written.getvalue()
        assert "xxx" not in written.getvalue()
        talking.cancel()
    finally:
        await phones.close()
