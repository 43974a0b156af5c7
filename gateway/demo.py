"""The demo: the real gateway on simulated providers, one alert by text, mail and call, told as it happens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from channels.email.sink import MailSink, SinkBehaviour
from channels.sms.smpp.behaviour import SmscBehaviour
from channels.sms.smpp.simulator import SmscSimulator
from gateway import files, logs
from gateway.app import load_settings
from gateway.broker import Broker
from gateway.client import UnreachableError
from gateway.demo_folder import HOST, PREFERRED, DemoFolder, Ports, free_port, only_demo
from gateway.demo_story import ACCOUNT, PHONE, DemoFailedError, Show, Story
from gateway.local_access import path_beside, running_server
from gateway.port_holder import taken_by
from gateway.serving import run_gateway
from ivr.phone import Behaviour, PhoneSimulator

COMPLETE_S = 60.0
"""From the start to the end of the alert; it takes two seconds, a machine under heavy load gets thirty times that."""
HEADLINE = "Tocsin demo: the real gateway on simulated providers. Simulated: nothing leaves this machine."
"""Told at once: until the gateway is up, a loaded machine takes some seconds."""
BEHAVIOUR = SmscBehaviour(response_delay_s=0.05, receipt_delay_s=0.4, system_id="demo", password="demo")  # noqa: S106
"""As quick as a good carrier, slow enough to watch."""
EXAMPLE = "deploy/tocsin.example.toml"
"""What a first real settings file begins as: not the demo's, whose last resort and callbacks are for trying out."""
PERSON = Behaviour(answer_s=1.0, keys="1", keys_s=6.0, again_s=3.0)
"""Somebody who answers, listens, and presses 1."""


async def run_demo(directory: Path, show: Show, *, program: str, leave: bool) -> None:
    """Runs the demo in `directory` until SIGINT or SIGTERM, or with `leave` until the alert is complete.

    `program` is what the command line is called in the steps that it recommends. Raises DemoFailedError when the alert
    was not delivered to everybody and charged exactly once within COMPLETE_S; OSError, StoreError, SettingsError.
    """
    folder = DemoFolder(path=directory)
    running = running_server(path_beside(folder.store_url))
    if running is not None:
        raise DemoFailedError(f"a demo runs in {directory} already, at {running.url}; --directory takes another folder")
    folder.make()
    show({"event": "starting", "simulated": True, "directory": str(folder.path)}, [HEADLINE])
    async with AsyncExitStack() as open_things:
        logs.configure("info", to=open_things.enter_context(files.append(folder.log)))
        ports, taken = await _start_simulators(open_things)
        if folder.write_settings(ports):
            taken += [f"your changes to {folder.settings} are kept in {folder.settings}.yours"]
        await _Run(folder, ports, show, program, taken).run(leave=leave)


async def _start_simulators(open_things: AsyncExitStack) -> tuple[Ports, list[str]]:
    """Starts the providers and finds ports for the rest; says which of the customary ones are taken, and by whom."""
    alone = only_demo()
    taken = [] if alone is not None else ["another demo runs on this machine: this one takes any free ports"]
    if alone is not None:
        open_things.callback(alone.close)

    def port_like(preferred: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
        port = free_port(preferred if alone is not None else None, kind)
        if alone is not None and port != preferred:
            taken.append(f"port {preferred} is {taken_by(preferred, kind)}: this demo takes {port} instead")
        return port

    def free_udp_port(preferred: int) -> int:
        return port_like(preferred, socket.SOCK_DGRAM)

    smsc = SmscSimulator(BEHAVIOUR)
    smsc_port = await smsc.start(HOST, port_like(PREFERRED.smsc))
    open_things.push_async_callback(smsc.stop)
    bounces_port = port_like(PREFERRED.bounces)
    sink = MailSink(SinkBehaviour(report_to=(HOST, bounces_port)))
    mail_port = await sink.start(HOST, port_like(PREFERRED.mail))
    open_things.push_async_callback(sink.stop)
    phones = PhoneSimulator(lambda _: PERSON, host=HOST, port=free_udp_port(PREFERRED.phone))
    await phones.open()
    open_things.push_async_callback(phones.close)
    ports = Ports(
        http=port_like(PREFERRED.http), smsc=smsc_port, mail=mail_port, bounces=bounces_port,
        sip=free_udp_port(PREFERRED.sip), phone=phones.port,
    )  # fmt: skip
    return ports, taken


class _Run:
    """The gateway and the telling, side by side."""

    def __init__(self, folder: DemoFolder, ports: Ports, show: Show, program: str, notes: Sequence[str]) -> None:
        self._folder, self._ports, self._show, self._program = folder, ports, show, program
        self._notes = notes
        self._up: asyncio.Future[tuple[str, Broker]] = asyncio.get_running_loop().create_future()

    async def run(self, *, leave: bool) -> None:
        """Until the gateway ends; with `leave` it ends with the telling, else when it is told to."""
        gateway = asyncio.create_task(run_gateway(load_settings(self._folder.settings), self._started))
        telling = asyncio.create_task(self._tell(leave))
        try:
            await asyncio.wait({gateway, telling}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                failure = telling.exception()
                if isinstance(failure, UnreachableError):  # the gateway is ending, and knows why
                    await asyncio.wait({gateway}, timeout=COMPLETE_S)
                elif failure is None and not leave:
                    await asyncio.wait({gateway})  # until it is told to stop
        finally:
            for task in (telling, gateway):
                task.cancel()
            await asyncio.wait({gateway, telling})
        for task in (gateway, telling):  # a gateway that died is the reason why the telling failed
            if not task.cancelled():
                task.result()
        if leave:
            return
        self._show({"event": "stopped"}, ["", "Stopped. What there was is kept for the next run."])

    async def _started(self, url: str, broker: Broker) -> None:
        self._up.set_result((url, broker))

    async def _tell(self, leave: bool) -> None:
        try:
            async with asyncio.timeout(COMPLETE_S):
                url, broker = await self._up
                self._introduce(url)
                story = Story(broker, url, self._folder, self._show)
                await story.prepare()
                await story.tell()
        except TimeoutError as error:
            raise DemoFailedError(
                f"the alert was not complete within {COMPLETE_S:.0f} s; see {self._folder.log}"
            ) from error
        if not leave:
            self._say_what_next(story)

    def _introduce(self, url: str) -> None:
        ports, folder = self._ports, self._folder
        lines = [
            "",
            f"  gateway      {url}, its files and log in {folder.path}/",
            f"  SMSC         {HOST}:{ports.smsc}, simulated (SMPP 3.4)",
            f"  mail server  {HOST}:{ports.mail}, simulated (SMTP)",
            f"  telephone    {HOST}:{ports.phone}, simulated (SIP): somebody answers and presses 1",
        ]
        lines += [f"  {note}" for note in self._notes]
        document = {"event": "ready", "url": url, "simulated": True, "directory": str(folder.path)}
        self._show({**document, "notes": list(self._notes)}, lines)

    def _say_what_next(self, story: Story) -> None:
        curl = (
            f"curl {story.url}/v1/alerts -H 'Authorization: Bearer {story.key}' -H 'Content-Type: application/json'"
            f""" -d '{{"text": "Hello", "recipients": ["{PHONE}"]}}'"""
        )
        program, settings = self._program, self._folder.settings
        self._show(
            {"event": "waiting", "url": story.url, "key": story.key, "curl": curl},
            [
                "",
                f"The gateway stays up: {story.url}, key {story.key}",
                "Send another alert, then look at the alerts and at the account:",
                "",
                f"  {curl}",
                f"  {program} --config {settings} alerts list",
                f"  {program} --config {settings} accounts entries {ACCOUNT}",
                "",
                "To a first real provider (a demo's settings are for the demo alone):",
                "",
                *_steps(
                    ("Ctrl-C", "stops this demo, which has the ports of your gateway"),
                    (f"cp {EXAMPLE} tocsin.toml", "and put your carrier, mail server and duty phone there"),
                    (f"{program} check --connect", "greets them, sends nothing"),
                    (f"{program} providers test carrier-a --to sms:+33…", "one real message to your own phone"),
                    (f"{program} serve", "the gateway; docs/how-to/install.md makes a service of it"),
                ),
                "",
                "Ctrl-C stops it.",
            ],
        )


def _steps(*steps: tuple[str, str]) -> list[str]:
    width = max(len(command) for command, _ in steps)
    return [f"  {n}. {command.ljust(width)}   {meaning}" for n, (command, meaning) in enumerate(steps, 1)]
