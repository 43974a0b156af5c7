"""`tocsin providers`: one real message over one provider, to see that it works. Nobody's credit is touched.

How providers stand lives in `provider_status`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from channels.channel import Channel, InvalidAddressError, Message
from channels.conversation import Conversing
from channels.outcome import (
    Accepted,
    Delivered,
    Outcome,
    PermanentFailure,
    Receipt,
    ReceiptDelivered,
    ReceiptIntermediate,
    Report,
    RetryLater,
)
from gateway import loop
from gateway.app import build_channel
from gateway.attendant import TrialAttendant
from gateway.cli.failures import Refused
from gateway.cli.groups import Group
from gateway.cli.invocation import common_options, this_invocation
from gateway.cli.provider_status import list_, status
from gateway.client import ApiClient
from gateway.destinations import check as check_destination
from gateway.ids import new_id
from gateway.local_access import path_beside, running_server
from gateway.settings import Provider, Settings
from gateway.settings_problems import suggestion
from gateway.spelling import alike

RECEIPT_WAIT_S = 30.0
STOP_S = 20.0  # an unbind waits for outstanding answers, of which there are none
LINK_WAIT_S = 2.0
LOOK_AGAIN_S = 0.02
OWN_RECEIPTS_MAX = 255  # parts of the longest text


@click.group(cls=Group)
@common_options
def providers() -> None:
    """Look how providers stand, and try one with a real message."""


providers.add_command(status)
providers.add_command(list_)


@providers.command()
@click.argument("name")
@click.option("--to", required=True, metavar="ADDRESS", help="Where to: +33612345678, ann@example.org …")
@click.option("--text", help="What it says; default: that it is a test of NAME.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 600),
    default=RECEIPT_WAIT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for its receipt.",
)
@common_options
def test(name: str, to: str, text: str | None, wait_s: float) -> None:
    """Send one real message over the provider NAME, without retry and without a charge to any account.

    It goes over the links of the server where one runs here, else over a link of its own.

    Status 0 when the provider took it and no receipt says that it failed.
    """
    invocation = this_invocation()
    settings = invocation.settings("providers", "destinations", "routes", "speech", secrets_of=name)
    provider = _named(settings, name)
    channel = build_channel(provider, settings.speech)
    address = _address(settings, channel, to)
    text = text or f"Test of {name} by Tocsin. There is nothing to do."
    server = running_server(path_beside(settings.store.url.get_secret_value()))
    if server is not None:
        document = _over_server(server, name, f"{channel.name}:{address}", text)
    else:
        document = loop.run(_Trial(channel).run(_message(name, address, text), wait_s))
    document = {"provider": name, "address": f"{channel.name}:{address}", **document}
    code = "" if document["code"] == document["outcome"] else f" ({document['code']})"
    told = f"{document['outcome']}{code} {document['detail']}".rstrip()
    if not document["ok"]:
        raise Refused(f"{name} did not deliver: {told}", **document)
    lines = [f"{name}: {told}{_ids(document)}"]
    lines += [f"receipt: {one['result']} ({one['code']})" for one in document["receipts"]]
    if channel.capabilities.receipts and not document["receipts"]:
        lines.append("its receipt goes to the running server" if server else f"no receipt within {wait_s:g} s")
    invocation.show(document, lines)


def _message(name: str, address: str, text: str) -> Message:
    return Message(address=address, text=text, reference=new_id("tst"), subject=f"Test of {name}", urgent=True)


def _over_server(server: ApiClient, name: str, address: str, text: str) -> dict[str, Any]:
    """What the running server made of it: it has the links, and a provider may allow no second bind."""
    told = server.post("v1", "providers", name, "test", body={"to": address, "text": text})
    return {
        "ok": told["outcome"] in ("accepted", "delivered"),
        "outcome": told["outcome"],
        "code": told["code"],
        "detail": told["detail"],
        "provider_message_ids": [part["provider_message_id"] for part in told["parts"]],
        "receipts": [],
    }


def _ids(document: dict[str, Any]) -> str:
    ids = ", ".join(document["provider_message_ids"])
    return f", its id there is {ids}" if ids else ""


def _named(settings: Settings, name: str) -> Provider:
    for provider in settings.providers:
        if provider.name == name:
            return provider
    known = [provider.name for provider in settings.providers]
    raise Refused(f"there is no provider {name}{suggestion(name, known) if known else '; the settings have none'}")


def _address(settings: Settings, channel: Channel, to: str) -> str:
    """The canonical address, if it may be reached at all."""
    try:
        address = channel.parse_address(to.removeprefix(f"{channel.name}:"))
    except InvalidAddressError as error:
        raise Refused(f"--to: {error}") from error
    policy = settings.destination_policies.get(channel.name)
    refusal = check_destination(channel.name, address, policy) if policy is not None else None
    if refusal is not None:
        raise Refused(f"--to: {refusal.detail}", code=refusal.code)
    return address


class _NotOursError(Exception):
    """A report that belongs to the running server: refused, so that the provider brings it again, to the right one."""


class _Trial:
    """One message over a channel of our own, and the receipts of that message alone."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ids: frozenset[str] = frozenset()
        self._receipts: dict[str, Receipt] = {}
        self._changed = asyncio.Event()

    async def run(self, message: Message, wait_s: float) -> dict[str, Any]:
        """What came of it, as a document; `ok` says whether it may be called working."""
        if isinstance(self._channel, Conversing):
            self._channel.attend(TrialAttendant())
        links = asyncio.create_task(self._channel.run(self._report))
        try:
            if isinstance(self._channel, Conversing):
                await self._link_up()
            outcome = await self._channel.send(message)
            if isinstance(outcome, Accepted) and self._channel.capabilities.receipts:
                self._ids = frozenset(part.provider_message_id for part in outcome.parts)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wait_for_receipts()
        finally:
            links.cancel()
            await asyncio.wait([links], timeout=STOP_S)
        return self._document(outcome)

    async def _link_up(self) -> None:
        """Waits a moment for channels that cannot send before they are open; what is still wrong then, `send` says."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINK_WAIT_S):
                while not (health := self._channel.health()).up and not health.alarm:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(LOOK_AGAIN_S)

    async def _wait_for_receipts(self) -> None:
        while not self._settled():
            self._changed.clear()
            await self._changed.wait()

    def _settled(self) -> bool:
        final = [one for one in self._receipts.values() if not isinstance(one.result, ReceiptIntermediate)]
        return len(final) >= len(self._ids)

    async def _report(self, reports: Sequence[Report]) -> None:
        """Takes what is ours. A receipt may come before the answer that names its id: then it comes again."""
        others = False
        for report in reports:
            own = self._named(report) if isinstance(report, Receipt) else []
            if isinstance(report, Receipt) and own and len(self._receipts) < OWN_RECEIPTS_MAX:
                self._receipts[own[0]] = report
            else:
                others = True
        self._changed.set()
        if others:
            raise _NotOursError

    def _named(self, receipt: Receipt) -> list[str]:
        """Which ids of ours the receipt may mean, one that it spells the same first."""
        names = receipt.provider_message_ids
        own = [one for one in self._ids if any(alike(name, one, receipt.spelling) for name in names)]
        return sorted(own, key=lambda one: (one not in names, one))

    def _document(self, outcome: Outcome) -> dict[str, Any]:
        receipts = [
            {"result": _result(one), "code": one.code, "detail": one.detail, "provider_message_id": number}
            for number, one in self._receipts.items()
        ]
        failed = any(one["result"] == "failed" for one in receipts)
        told: dict[str, Any] = {"provider_message_ids": sorted(self._ids), "receipts": receipts}
        match outcome:
            case Accepted():
                told |= {"ok": not failed, "outcome": "accepted", "code": outcome.code, "detail": outcome.detail}
                told["provider_message_ids"] = [part.provider_message_id for part in outcome.parts]
                if failed:
                    told["code"] = next(one["code"] for one in receipts if one["result"] == "failed")
            case Delivered():
                told |= {"ok": True, "outcome": "delivered", "code": outcome.code, "detail": outcome.detail}
            case RetryLater(reason=reason):
                told |= {"ok": False, "outcome": "retry_later", "code": reason.code, "detail": reason.detail}
            case PermanentFailure(reason=reason):
                told |= {"ok": False, "outcome": "failed", "code": reason.code, "detail": reason.detail}
        return told


def _result(receipt: Receipt) -> str:
    if isinstance(receipt.result, ReceiptDelivered):
        return "delivered"
    return "intermediate" if isinstance(receipt.result, ReceiptIntermediate) else "failed"
