"""Simulated providers as programs of their own: for trying settings, for drills. Nothing leaves the machine."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from email import policy
from email.parser import BytesParser
from typing import Any

from channels.email.sink import MailSink, SinkBehaviour, SinkMail
from channels.printable import printable
from channels.sms.smpp.behaviour import Received, SmscBehaviour
from channels.sms.smpp.simulator import SmscSimulator
from ivr.phone import Behaviour, Keeper, PhoneSimulator, SimulatedCall
from ivr.sip.hop import Transport

LOOK_AGAIN_S = 3600.0
"""The simulators wait with a bound; after it the same wait begins anew."""

HEADERS_READ_MAX = 16 * 1024
"""Of a mail, for its subject: the standard parser takes time with the square of a header."""

Show = Callable[[dict[str, Any], str], None]
"""Tells of something: as a document, and as a line for people."""


async def simulate_smsc(behaviour: SmscBehaviour, host: str, port: int, show: Show) -> None:
    """An SMSC until SIGINT or SIGTERM; tells where it listens, and of every message. Raises OSError."""
    smsc = SmscSimulator(behaviour)
    port = await smsc.start(host, port)
    try:
        show(
            {"simulating": "smsc", "host": host, "port": port},
            f"simulated SMSC at {host}:{port}, system_id {behaviour.system_id or 'any'}: nothing leaves this machine",
        )
        await _until_told(_tell_of_messages(smsc, show))
    finally:
        await smsc.stop()


async def simulate_mail(behaviour: SinkBehaviour, host: str, port: int, show: Show) -> None:
    """A mail server until SIGINT or SIGTERM; tells where it listens, and of every mail. Raises OSError."""
    sink = MailSink(behaviour)
    port = await sink.start(host, port)
    try:
        show(
            {"simulating": "mail", "host": host, "port": port},
            f"simulated mail server at {host}:{port}: nothing leaves this machine",
        )
        await _until_told(_tell_of_mails(sink, show))
    finally:
        await sink.stop()


def by_number(behaviours: Mapping[str, Behaviour], otherwise: Behaviour) -> Callable[[str], Behaviour]:
    """What the phone of a number does. A number is the same with and without its plus."""
    plain = {number.removeprefix("+"): behaviour for number, behaviour in behaviours.items()}
    return lambda number: plain.get(number.removeprefix("+"), otherwise)


async def simulate_phone(
    behaviours: Mapping[str, Behaviour], otherwise: Behaviour, host: str, port: int, transport: Transport, show: Show,
    recorded: Callable[[SimulatedCall], Keeper | None] = lambda _: None,
) -> None:  # fmt: skip
    """Phones until SIGINT or SIGTERM; tells where they are, and of every call. `behaviours` by number; see `PhoneSimulator` for
    `recorded`. Raises OSError."""
    phones = PhoneSimulator(
        by_number(behaviours, otherwise), host=host, port=port, transport=transport,
        told=lambda call: _tell_of_call(call, show), recorded=recorded,
    )  # fmt: skip
    await phones.open()
    try:
        show(
            {"simulating": "phone", "host": host, "port": phones.port, "transport": transport},
            f"simulated phones at {host}:{phones.port}, {transport}: nothing leaves this machine",
        )
        await _until_told(asyncio.Event().wait())
    finally:
        await phones.close()


CALL_WORDS = {
    "offered": "rings", "answered": "answers", "pressed": "presses its keys", "refused": "refuses",
    "cancelled": "was called no longer", "hung_up": "hangs up", "ended": "was hung up on",
}  # fmt: skip
"""What a simulated phone does, in words."""


def _tell_of_call(call: SimulatedCall, show: Show) -> None:
    document = {"number": call.number, "caller": call.caller, "state": call.state, "keys": call.keys}
    show(document, f"phone {call.number} {CALL_WORDS[call.state]} ({call.caller})")


async def _until_told(telling: Any) -> None:
    """Runs the coroutine until the process is asked to end."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(telling)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _tell_of_messages(smsc: SmscSimulator, show: Show) -> None:
    while True:
        with suppress(TimeoutError):
            await smsc.wait_for(lambda one: bool(one.received), LOOK_AGAIN_S)
        while smsc.received:
            message = smsc.received.popleft()
            show(
                _message(message),
                f"SMS {message.source} -> {message.destination}: {' | '.join(message.text.splitlines())}",
            )


def _message(message: Received) -> dict[str, Any]:
    return {
        "source": message.source,
        "destination": message.destination,
        "text": message.text,
        "parts": message.parts,
        "message_ids": list(message.message_ids),
    }


async def _tell_of_mails(sink: MailSink, show: Show) -> None:
    while True:
        with suppress(TimeoutError):
            await sink.wait_for(sink.taken + 1 - len(sink.mails), LOOK_AGAIN_S)
        while sink.mails:
            mail = sink.mails.popleft()
            subject = subject_of(mail)
            show(
                {"sender": mail.sender, "recipients": list(mail.recipients), "subject": subject},
                f"mail {mail.sender} -> {', '.join(mail.recipients)}: {subject}",
            )


def subject_of(mail: SinkMail) -> str:
    """The subject as a reader shows it."""
    headers = BytesParser(policy=policy.default).parsebytes(mail.content[:HEADERS_READ_MAX], headersonly=True)
    try:
        return printable(str(headers["Subject"] or ""))
    except Exception:  # the library promises little about damaged headers
        return ""
