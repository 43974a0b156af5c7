"""The demo: the real gateway on simulated providers, one alert to a phone and a mailbox, told as it happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from channels.email.sink import MailSink, SinkBehaviour
from channels.sms.smpp.behaviour import SmscBehaviour
from channels.sms.smpp.simulator import SmscSimulator
from gateway import administration as books
from gateway import logs
from gateway.app import load_settings
from gateway.broker import Broker
from gateway.demo_folder import HOST, PREFERRED, DemoFolder, Ports, free_port
from gateway.demo_story import DemoFailedError, Show, Story
from gateway.local_access import path_beside, running_server
from gateway.serving import run_gateway

COMPLETE_S = 60.0
"""From the start to the end of the alert; it takes two seconds, a machine under heavy load gets thirty times that."""
BEHAVIOUR = SmscBehaviour(response_delay_s=0.05, receipt_delay_s=0.4, system_id="demo", password="demo")  # noqa: S106
"""As quick as a good carrier, slow enough to watch."""

Show = Callable[[dict[str, Any], Sequence[str]], None]
"""Tells of something: as a document, and as lines for people."""


async def run_demo(directory: Path, show: Show, *, program: str, leave: bool) -> None:
    """Runs the demo in `directory` until SIGINT or SIGTERM, or with `leave` until the alert is complete.

    `program` is how the steps that it recommends call the command line. Raises Refused when the alert was not
    delivered to everybody and charged exactly once, or not within COMPLETE_S; OSError, StoreError, SettingsError.
    """
    started_at = time.monotonic()
    folder = DemoFolder(path=directory)
    running = running_server(path_beside(folder.store_url))
    if running is not None:
        raise Refused(f"a demo runs in {directory} already, at {running.url}; --directory takes another folder")
    folder.make()
    async with AsyncExitStack() as simulators:
        ports = await _start_simulators(simulators)
        set_aside = folder.write_settings(ports)
        settings = load_settings(folder.settings)
        with ExitStack() as files:
            logs.configure("info", to=files.enter_context(folder.log.open("a")))
            up: asyncio.Future[tuple[str, Broker]] = asyncio.get_running_loop().create_future()

            async def started(url: str, broker: Broker) -> None:
                up.set_result((url, broker))

            gateway = asyncio.create_task(run_gateway(settings, started))
            telling = asyncio.create_task(_tell(folder, ports, up, show, program, started_at, set_aside))
            await _both(gateway, telling, leave=leave, show=show)


async def _start_simulators(simulators: AsyncExitStack) -> Ports:
    smsc = SmscSimulator(BEHAVIOUR)
    ports = replace(PREFERRED, smsc=await smsc.start(HOST, free_port(PREFERRED.smsc)))
    simulators.push_async_callback(smsc.stop)
    ports = replace(ports, http=free_port(PREFERRED.http), bounces=free_port(PREFERRED.bounces))
    sink = MailSink(SinkBehaviour(report_to=(HOST, ports.bounces)))
    ports = replace(ports, mail=await sink.start(HOST, free_port(PREFERRED.mail)))
    simulators.push_async_callback(sink.stop)
    return ports


async def _both(gateway: asyncio.Task[None], telling: asyncio.Task[None], *, leave: bool, show: Show) -> None:
    """Until the gateway ends; with `leave` it ends with the telling, else when it is told to."""
    try:
        await asyncio.wait({gateway, telling}, return_when=asyncio.FIRST_COMPLETED)
        if gateway.done():  # told to stop, or it could not start
            telling.cancel()
            gateway.result()
        else:
            telling.result()
            if not leave:
                await gateway
    finally:
        for task in (telling, gateway):
            task.cancel()
        await asyncio.wait({gateway, telling})
    if not leave:
        show({"stopped": True}, ["", "Stopped. Nothing is lost: `make run` goes on where this ended."])
