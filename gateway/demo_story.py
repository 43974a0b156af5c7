"""What the demo tells: an account with credit, one alert, its timeline as it happens, and whether the sums are right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from billing.money import format_amount, parse_amount
from gateway import administration as books
from gateway.broker import Broker
from gateway.client import ApiClient
from gateway.demo_folder import DemoFolder
from gateway.entries import entries_of
from gateway.telling import Telling

ACCOUNT, CURRENCY = "demo", "EUR"
CREDIT, ENOUGH = parse_amount("50.00"), parse_amount("5.00")
TARIFFS = (
    ("sms", "+33", parse_amount("0.045")),
    ("email", "", parse_amount("0.001")),
    ("voice", "+33", parse_amount("0.10")),
)
PHONE, MAILBOX, CALL = "sms:+33612345678", "email:night.shift@example.org", "voice:+33612345678"
PEOPLE = ({"name": "Anna", "addresses": [PHONE, CALL]}, {"name": "Night shift", "addresses": [MAILBOX]})
STARTED_MINUTES = 1
"""Of the call: what is held for it is the most that it may last."""
TEXT = "Cold room 3 is at -9 °C and rising. Please have a look."
LOOK_AGAIN_S = 0.05  # between two looks at the timeline: faster than anybody reads
ENTRIES_LOOKED_AT = 100  # the latest; the alert has four

Json = Mapping[str, Any]
Show = Callable[[Json, Sequence[str]], None]
"""Tells of something: as a document, and as lines for people."""


class DemoFailedError(Exception):
    """The demo did not come to its good end; the text says why."""


class Story:
    """One run of the demo, from the account to the final sum."""

    def __init__(self, broker: Broker, url: str, folder: DemoFolder, show: Show) -> None:
        self._broker = broker
        self._folder = folder
        self._show = show
        self.url = url
        self.key = ""
        self._balance_micros = 0

    async def prepare(self) -> None:
        """The account with credit, prices and a key; what a former run has left is used again."""
        self.key = await self._broker.store.write(self._prepared)
        await self._broker.reload_tariffs()
        self._folder.keep_key(self.key)

    def _prepared(self, connection: Connection) -> str:
        now = self._broker.clock.now()
        account = books.get_account(connection, ACCOUNT)
        if account is None:
            account = books.create_account(connection, now, account_id=ACCOUNT, name="Demo", currency=CURRENCY)
        if account.balance_micros < ENOUGH:
            reference = f"DEMO-{now:%Y%m%d-%H%M%S}"
            account = books.top_up(
                connection, now, account_id=ACCOUNT, amount_micros=CREDIT, reference=reference
            ).account
        self._balance_micros = account.balance_micros
        for channel, prefix, price_micros in TARIFFS:
            books.set_tariff(connection, now, channel=channel, prefix=prefix, price_micros=price_micros)
        known = self._folder.key()
        if known and books.authenticate(connection, books.digest_of(known)) is not None:
            return known
        _, text = books.create_key(connection, now, account_id=ACCOUNT, role="submitter", label="demo")
        return text

    async def tell(self) -> None:
        """Submits the alert over HTTP, as any upstream, and tells of it until its end. Raises DemoFailedError, ApiError."""
        api = ApiClient(self.url, self.key)
        alert = {"text": TEXT, "subject": "Cold room 3", "priority": "high", "recipients": PEOPLE}
        balance = f"{format_amount(self._balance_micros)} {CURRENCY}"
        self._show(
            {"event": "submitting", "balance": format_amount(self._balance_micros)},
            ["", f'An alert by text, call and mail, paid by the account "{ACCOUNT}", which has {balance}:', ""],
        )
        taken = await asyncio.to_thread(api.post, "v1", "alerts", body=alert)
        status = await self._follow(api, taken["id"])
        await self._add_up(taken["id"], status)

    async def _follow(self, api: ApiClient, alert_id: str) -> str:
        """Tells every new line of the timeline, until the alert has ended; its status."""
        telling = Telling(api, alert_id, currency=CURRENCY)
        while True:
            look = await asyncio.to_thread(telling.look)
            for told in look.new:
                self._show({"event": "timeline", **told.line}, [told.text])
            if not look.open and not look.unsettled:
                return look.status
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _add_up(self, alert_id: str, status: str) -> None:
        """Looks whether everybody was reached and every delivery charged once, to the last micro."""
        api = ApiClient(self.url, self.key)
        alert = await asyncio.to_thread(api.get, "v1", "alerts", alert_id)
        deliveries = {one["id"]: one for one in alert["deliveries"]}
        missing = [one for one in deliveries.values() if one["state"] != "delivered"]
        missed = [f"{one['address']} is {one['state']} {one['code']}" for one in missing]
        if status != "acknowledged" or missed:
            raise DemoFailedError(f"the alert is {status}: {'; '.join(missed) or 'nothing was sent'}")
        balance_micros = await self._broker.store.read(lambda connection: self._charged_once(connection, deliveries))
        before, after = format_amount(self._balance_micros), format_amount(balance_micros)
        paid = format_amount(self._balance_micros - balance_micros)
        everybody = len(deliveries)
        said = f"Acknowledged by phone: {everybody} of {everybody} delivered, each charged once."
        told = f"{said} Balance {before} - {paid} = {after} {CURRENCY}."
        document = {"event": "completed", "alert": alert_id, "delivered": True, "charged_once": True, "balance": after}
        self._show(document, ["", told])

    def _charged_once(self, connection: Connection, deliveries: Mapping[str, Json]) -> int:
        """The balance, if the ledger says what it should. Raises DemoFailedError."""
        entries = entries_of(connection, ACCOUNT, limit=ENTRIES_LOOKED_AT)
        paid_micros = 0
        for number, delivery in deliveries.items():
            captures = [one.amount_micros for one in entries if one.kind == "capture" and one.cause.id == number]
            units = STARTED_MINUTES if delivery["address"] == CALL else delivery["units"]
            due_micros = parse_amount(delivery["price"]) * units
            if captures != [due_micros]:
                found = ", ".join(map(format_amount, captures)) or "nothing"
                raise DemoFailedError(
                    f"{delivery['address']} was charged {found}, not {format_amount(due_micros)} once"
                )
            paid_micros += due_micros
        account = books.get_account(connection, ACCOUNT)
        assert account is not None  # accounts are never removed
        problems = books.verify_ledger(connection)
        if account.balance_micros != self._balance_micros - paid_micros or account.held_micros or problems:
            raise DemoFailedError("; ".join(problems) or f"the balance is {format_amount(account.balance_micros)}")
        return account.balance_micros
