"""`tocsin simulate`: the simulators as commands; each setting of theirs is an option."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Coroutine
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import click

from channels.email.sink import SinkBehaviour
from channels.sms.smpp.behaviour import SmscBehaviour
from gateway import logs, loop
from gateway.cli.failures import Refused
from gateway.cli.groups import Group
from gateway.cli.invocation import common_options, this_invocation
from gateway.port_holder import taken_by
from gateway.recordings import RecordingPathError, Recordings
from gateway.simulate import simulate_mail, simulate_phone, simulate_smsc
from ivr.flow import KEYS as KEY_NAMES
from ivr.phone import PRESETS, Behaviour, Keys
from ivr.sip.hop import Transport

F = TypeVar("F", bound=Callable[..., Any])

SMSC_OPTIONS = {
    "receipts": "Send receipts to those who ask for them.",
    "response_delay_s": "Seconds before a submit is answered.",
    "receipt_delay_s": "Seconds before its receipt.",
    "receipt_first": "The receipt leaves before the answer that names its id.",
    "redeliver_after_s": "Seconds until a refused or lost receipt comes again.",
    "throttle_per_mille": "Of a thousand submits so many are throttled.",
    "reject_per_mille": "So many are rejected, with --reject-status.",
    "reject_status": "The SMPP status of a rejection.",
    "undelivered_per_mille": "So many are taken, and later reported as undelivered.",
    "drop_every": "After how many submits the link is cut, again and again; 0 never.",
    "id_format": "How ids are written in answer and receipt.",
    "system_id": "The only name that may bind; default any.",
    "password": "And its password; default any.",
    "submits_per_s": "More within a second are throttled; 0 is no limit.",
    "mute": "Never answer a submit.",
    "mute_binds": "So many sessions, those bound first, never get an answer to a submit.",
    "queue_full_for": "What goes to this number is refused, its queue being full (0x14); default none.",
    "seed": "Chance follows from this.",
}
"""Every setting of SmscBehaviour, in words."""

MAIL_DROPS = ("mail", "rcpt", "data")


@click.group(cls=Group)
@common_options
def simulate() -> None:
    """Run a simulated provider until Ctrl-C; nothing leaves the machine."""
    logs.configure("warning")


def _behaviour_options(command: F) -> F:
    """An option for each field of SmscBehaviour, with its default."""
    kinds = get_type_hints(SmscBehaviour)
    for each in reversed(fields(SmscBehaviour)):
        name, kind = each.name.replace("_", "-"), kinds[each.name]
        settings: dict[str, Any] = {"default": each.default, "help": SMSC_OPTIONS[each.name], "show_default": True}
        if kind is bool:
            command = click.option(f"--{name}/--no-{name}", **settings)(command)
        elif get_args(kind):
            command = click.option(f"--{name}", type=click.Choice(get_args(kind)), **settings)(command)
        elif kind is str:
            command = click.option(f"--{name}", default="", help=SMSC_OPTIONS[each.name])(command)
        elif each.name == "reject_status":
            command = click.option(f"--{name}", type=_StatusNumber(), **settings)(command)
        else:
            bound = click.IntRange(min=0) if kind is int else click.FloatRange(min=0)
            command = click.option(f"--{name}", type=bound, **settings)(command)
    return command


class _StatusNumber(click.ParamType[int]):
    """A command_status, in decimal or as 0x0b."""

    name = "status"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        try:
            number = value if isinstance(value, int) else int(str(value), 0)
        except ValueError:
            number = -1
        if not 0 < number < 2**32:
            self.fail(f"expected a status such as 0x0b, got {value}", param, ctx)
        return number


def _run(work: Coroutine[Any, Any, None], listen: str, port: int, kind: socket.SocketKind) -> None:
    """Runs a simulator. Raises Refused where it cannot listen: says who does, and which option takes another place."""
    try:
        loop.run(work)
    except OSError as error:
        match _number(error):
            case errno.EADDRINUSE:
                raise Refused(
                    f"cannot listen at {listen}:{port}: {taken_by(port, kind)}. End that, or take another port with "
                    f"--port, which a provider in the settings has to name",
                    port=port,
                ) from error
            case errno.EACCES:
                raise Refused(f"cannot listen at {listen}:{port}: ports below 1024 are for root; see --port") from error
            case errno.EADDRNOTAVAIL | errno.EINVAL:
                raise Refused(f"cannot listen at {listen}:{port}: --listen names no address of this machine") from error
        if isinstance(error, socket.gaierror):
            raise Refused(f"cannot listen at {listen}:{port}: --listen names no address ({error.strerror})") from error
        raise


def _number(error: OSError) -> int | None:
    """Its errno; event loops put it into another error of several addresses."""
    cause = error.__cause__ or error.__context__
    return error.errno or (cause.errno if isinstance(cause, OSError) else None)


@simulate.command()
@click.option("--listen", default="127.0.0.1", show_default=True, metavar="ADDRESS")
@click.option("--port", type=click.IntRange(0, 65535), default=2775, show_default=True, help="0 takes any free one.")
@_behaviour_options
@common_options
def smsc(listen: str, port: int, **behaviour: Any) -> None:
    """An SMSC (SMPP 3.4): takes every bind and message, unless it is told to misbehave."""
    invocation = this_invocation()
    _run(simulate_smsc(SmscBehaviour(**behaviour), listen, port, invocation.show), listen, port, socket.SOCK_STREAM)


@simulate.command()
@click.option("--listen", default="127.0.0.1", show_default=True, metavar="ADDRESS")
@click.option("--port", type=click.IntRange(0, 65535), default=2525, show_default=True, help="0 takes any free one.")
@click.option("--dsn/--no-dsn", default=True, show_default=True, help="Offer delivery reports (RFC 3461).")
@click.option("--report-to", metavar="HOST:PORT", help="Where reports are handed in: a provider's bounce_listen.")
@click.option("--action", multiple=True, metavar="ADDRESS=A,B", help="What is reported of a recipient, in order.")
@click.option("--default-action", "default_action", default="delivered", show_default=True, metavar="A,B")
@click.option(
    "--refuse", multiple=True, metavar="ADDRESS=REPLY", help='Reply to RCPT, say "ann@example.org=550 5.1.1 No".'
)
@click.option("--greylist", is_flag=True, help="Refuse each recipient the first time.")
@click.option("--mail-reply", default="", help="Reply to MAIL FROM instead of 250.")
@click.option("--data-reply", default="", help="Reply to the message instead of 250.")
@click.option("--answer-delay-s", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option(
    "--drop", type=click.Choice(MAIL_DROPS), default=None, help="End the connection there, without an answer."
)
@common_options
def mail(listen: str, port: int, **options: Any) -> None:
    """A mail server: keeps what it is sent, and reports back like a real one where --report-to says."""
    invocation = this_invocation()
    _run(simulate_mail(mail_behaviour(**options), listen, port, invocation.show), listen, port, socket.SOCK_STREAM)


PHONE_OPTIONS = {
    "status": "200 answers, anything else refuses with it.",
    "answer_s": "Seconds until it answers or refuses.",
    "keys": "What it presses, together and again until the call ends; empty: nothing.",
    "keys_s": "Seconds from the answer to the first press.",
    "again_s": "Seconds between two presses.",
    "path": "How keys are sent.",
    "greeting": "What it says: a word, an answering machine's greeting and tone, or nothing.",
    "hang_up_s": "Seconds from the answer until it hangs up; left out: never.",
}
"""The settings of `ivr.phone.Behaviour`, in words."""


@simulate.command()
@click.option("--listen", default="127.0.0.1", show_default=True, metavar="ADDRESS")
@click.option("--port", type=click.IntRange(0, 65535), default=5080, show_default=True, help="0 takes any free one.")
@click.option("--transport", type=click.Choice(("udp", "tcp")), default="udp", show_default=True)
@click.option(
    "--number", "numbers", multiple=True, metavar="NUMBER=WHAT", help=f"One phone for itself: {', '.join(PRESETS)}."
)
@click.option("--status", type=click.IntRange(200, 699), default=200, show_default=True, help=PHONE_OPTIONS["status"])
@click.option(
    "--answer-s", type=click.FloatRange(min=0), default=0.5, show_default=True, help=PHONE_OPTIONS["answer_s"]
)
@click.option("--rings", is_flag=True, help="It rings for ever.")
@click.option("--keys", default="1", show_default=True, help=PHONE_OPTIONS["keys"])
@click.option("--keys-s", type=click.FloatRange(min=0), default=3.0, show_default=True, help=PHONE_OPTIONS["keys_s"])
@click.option(
    "--again-s", type=click.FloatRange(min=0.5), default=5.0, show_default=True, help=PHONE_OPTIONS["again_s"]
)
@click.option(
    "--path", type=click.Choice(get_args(Keys)), default="rfc4733", show_default=True, help=PHONE_OPTIONS["path"]
)
@click.option(
    "--greeting", type=click.Choice(("person", "machine", "nothing")), default="person", show_default=True,
    help=PHONE_OPTIONS["greeting"],
)  # fmt: skip
@click.option("--hang-up-s", type=click.FloatRange(min=0), default=None, help=PHONE_OPTIONS["hang_up_s"])
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.wav",
    help="Record the calls: left what the phone hears, right what it says. A second call goes to FILE-2.wav.",
)  # fmt: skip
@common_options
def phone(
    listen: str,
    port: int,
    transport: Transport,
    numbers: tuple[str, ...],
    rings: bool,
    record: Path | None,
    **options: Any,
) -> None:
    """Phones behind a SIP trunk: every number answers, refuses, rings or is a machine, and presses keys."""
    if any(key not in KEY_NAMES for key in options["keys"]):
        raise click.UsageError(f"--keys: expected digits, * and #, got {options['keys']}")
    behaviours = {}
    for number, word in map(_pair, numbers):
        if word not in PRESETS:
            raise click.UsageError(f"--number: expected one of {', '.join(PRESETS)}, got {word}")
        behaviours[number] = PRESETS[word]
    otherwise = Behaviour(**(options | ({"answer_s": None} if rings else {})))
    invocation = this_invocation()
    try:
        more = {"recorded": Recordings(record, invocation.show).keeper} if record is not None else {}
    except RecordingPathError as error:
        raise Refused(f"--record: {error}") from error
    _run(
        simulate_phone(behaviours, otherwise, listen, port, transport, invocation.show, **more),
        listen, port, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM,
    )  # fmt: skip


ACTIONS = ("delivered", "relayed", "expanded", "delayed", "failed")
"""What a mail server can report (RFC 3464 2.3.3)."""


def mail_behaviour(
    *,
    dsn: bool,
    report_to: str | None,
    action: tuple[str, ...],
    default_action: str,
    refuse: tuple[str, ...],
    drop: str | None,
    **others: Any,
) -> SinkBehaviour:
    """The behaviour that the options ask for. Raises UsageError."""
    return SinkBehaviour(
        dsn=dsn,
        report_to=_endpoint(report_to) if report_to else None,
        actions={address: _actions(words) for address, words in map(_pair, action)},
        default_actions=_actions(default_action),
        refuse=dict(map(_pair, refuse)),
        drop=drop or "",
        **others,
    )


def _endpoint(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f"--report-to: expected HOST:PORT, got {text}")
    return host, int(port)


def _pair(text: str) -> tuple[str, str]:
    address, equals, rest = text.partition("=")
    if not equals or not address or not rest:
        raise click.UsageError(f"expected ADDRESS=…, got {text}")
    return address, rest


def _actions(words: str) -> tuple[str, ...]:
    actions = tuple(word.strip() for word in words.split(","))
    for action in actions:
        if action not in ACTIONS:
            raise click.UsageError(f"expected actions out of {', '.join(ACTIONS)}, got {action}")
    return actions
