"""Damages of a ledger as a hand makes them: what each does, how the database refuses it, and what the audit finds without guards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing.ledger import FLOWS, EntryKind
from gateway.findings import FindingKind as Kind

SQLITE, POSTGRESQL = "sqlite", "postgresql"

IMMUTABLE = "an entry is immutable: write one that reverses it"
BALANCE = "a balance changes by an entry or not at all"
ONCE = "an entry is written once"
TOPUP = "a top-up is made for a reference"
HOLD = "a hold is made for an alert of its account"
CAPTURE = "a capture is what a settled delivery of its account was charged"
RELEASE = "a release is what a settled delivery of its account was not charged, or is made for an alert of the account"
REFUND = "a refund gives back one capture of its account, whole"
REVERSAL = "a reversal takes back one top-up of its account, whole"
FLOW = "an entry flows as its kind says"
FOUR = "an account has four balances, and each is made once"
IDENTITY = "an account keeps its id, and its currency once it has entries"
SETTLED = "a settled delivery stays settled, and is charged once"
HELD = "what a delivery was held for does not change"
OF_ITS_ALERT = "a delivery belongs to an alert of its account, and its tariff exists"
REMOVED = "a price that is removed was in force, and is repeated as it was"
TARIFF = "a version of a tariff is never changed: set a new one"


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """One damage. `sql` names rows of the test's ledger in braces.

    `refused` is the sentence with which the database answers, "" where a key is there already; None where it takes it. `found` and
    `row` are what the audit says when the guards were out of the way; None where no trace is left, or where the schema itself is in
    the way. `unchecked` are constraints that have to go as well. `only` names the database that has such a way.
    """

    name: str
    sql: tuple[str, ...]
    refused: str | None = None
    found: Kind | None = None
    row: str = ""
    unchecked: tuple[tuple[str, str], ...] = ()
    only: str = ""

    def on(self, store: str) -> bool:
        """Whether the damage can be made there."""
        return self.only in ("", store)

    @property
    def line(self) -> str:
        """The damage as the table of the docs tells it."""
        where = {SQLITE: " (SQLite)", POSTGRESQL: " (PostgreSQL)"}.get(self.only, "")
        refused = "no" if self.refused is None else f"*{self.refused}*" if self.refused else "its key is there already"
        return f"| {self.name}{where} | {refused} | {f'`{self.found}`' if self.found else 'nothing'} |"


def entry(
    kind: str,
    cause_type: str,
    cause_id: str,
    amount: str | int | float = "{price}",
    *,
    account: str = "acme",
    reverses: str = "null",
    flow: tuple[str, str] | None = None,
    number: str = "{next}",
    how: str = "insert",
) -> str:
    """The statement that writes an entry by hand."""
    source, target = flow or FLOWS[EntryKind(kind)]
    names = "id, account_id, kind, cause_type, cause_id, debit, credit, amount_micros, reverses, at"
    sides = f"'{source}:{account}', '{target}:{account}'"
    values = f"{number}, '{account}', '{kind}', '{cause_type}', '{cause_id}', {sides}, {amount}, {reverses}, 1"
    return f"{how} into entries ({names}) values ({values})"


def delivery(number: str, *, alert: str = "{alert}", account: str = "acme", tariff: str = "{tariff}") -> str:
    """The statement that copies a delivery that waits, with other owners."""
    columns = (
        "step, recipient, person, address, urgency, state, code, provider, exhausted, epoch, chain, tries, units, "
        "price_micros, hold_micros, captured_micros, resend, cancel_requested, language, created_at, due_at, look_at, deadline_at"
    )
    return (
        f"insert into deliveries (id, alert_id, account_id, tariff_id, {columns}) "
        f"select '{number}', '{alert}', '{account}', {tariff}, {columns} from deliveries where id = '{{open}}'"
    )


def _entries() -> Sequence[Damage]:
    again = "insert or replace"
    return [
        Damage(name="an entry's amount changed", sql=("update entries set amount_micros = 7 where id = {topup}",),
               refused=IMMUTABLE, found=Kind.BALANCE, row="prepaid:acme"),
        Damage(name="an entry's cause changed", sql=("update entries set cause_id = 'dlv_none' where id = {capture}",),
               refused=IMMUTABLE, found=Kind.CAUSE, row="entry {capture}"),
        Damage(name="an entry removed", sql=("delete from entries where id = {capture}",),
               refused=IMMUTABLE, found=Kind.SETTLEMENT, row="delivery {done} "),
        Damage(name="an entry replaced by another of its cause", only=SQLITE,
               sql=(entry("topup", "topup", "INV-1", 7, how=again),), refused=ONCE, found=Kind.BALANCE, row="prepaid:acme"),
        Damage(name="an entry replaced by one of its number", only=SQLITE,
               sql=(entry("topup", "topup", "INV-9", 7, number="{others_topup}", how=again),),
               refused=ONCE, found=Kind.BALANCE, row="prepaid:other"),
        Damage(name="an entry of half a micro", only=SQLITE, sql=(entry("topup", "topup", "INV-9", 0.5),),
               refused="an amount is a whole number of micros", found=Kind.ENTRY, row="entry {next}"),
        Damage(name="an entry of nothing", sql=(entry("topup", "topup", "INV-9", 0),),
               refused="an entry moves more than nothing", found=Kind.ENTRY, row="entry {next}",
               unchecked=(("entries", "an entry moves more than nothing"),)),
        Damage(name="a negative entry", sql=(entry("topup", "topup", "INV-9", -5),),
               refused="an entry moves more than nothing", found=Kind.ENTRY, row="entry {next}",
               unchecked=(("entries", "an entry moves more than nothing"),)),
        Damage(name="an entry the wrong way", sql=(entry("topup", "topup", "INV-9", flow=("held", "prepaid")),),
               refused=FLOW, found=Kind.ENTRY, row="entry {next}", unchecked=(("entries", FLOW),)),
        Damage(name="an entry of more than an account may own", sql=(entry("topup", "topup", "INV-9", 2 * 10**18),),
               found=Kind.ENTRY, row="entry {next}"),
        Damage(name="an entry of an unknown kind", sql=(entry("gift", "topup", "INV-9", flow=("topups", "prepaid")),),
               refused=FLOW, found=Kind.ENTRY, row="entry {next}", unchecked=(("entries", FLOW),)),
        Damage(name="an entry of an account that is not there", only=SQLITE,
               sql=(entry("topup", "topup", "INV-1", account="nobody"),),
               refused="an entry moves two balances that are there", found=Kind.REFERENCE, row="entries {next}"),
        Damage(name="a top-up for nothing", sql=(entry("topup", "topup", ""),),
               refused=TOPUP, found=Kind.ENTRY, row="entry {next}"),
        Damage(name="a top-up for a delivery", sql=(entry("topup", "delivery", "{open}"),),
               refused=TOPUP, found=Kind.ENTRY, row="entry {next}"),
        Damage(name="a top-up of a reference that is used", sql=(entry("topup", "topup", "INV-1"),), refused=""),
    ]  # fmt: skip


def _holds() -> Sequence[Damage]:
    return [
        Damage(name="a hold for an alert that is not there", sql=(entry("hold", "alert", "alt_none:0@1"),),
               refused=HOLD, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a hold for another account's alert", sql=(entry("hold", "alert", "{others_alert}:7@1"),),
               refused=HOLD, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a hold for a delivery", sql=(entry("hold", "delivery", "{open}"),),
               refused=HOLD, found=Kind.ENTRY, row="entry {next}"),
        Damage(name="a hold for an alert, and nothing to send", sql=(entry("hold", "alert", "{alert}:7@1"),),
               found=Kind.ALERT, row="alert {alert} "),
        Damage(name="a capture for a delivery that is not there", sql=(entry("capture", "delivery", "dlv_none"),),
               refused=CAPTURE, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a capture for a delivery under way", sql=(entry("capture", "delivery", "{open}"),),
               refused=CAPTURE, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a capture for another account's delivery", sql=(entry("capture", "delivery", "{others_delivery}"),),
               refused=CAPTURE, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a capture for a delivery that was free of charge", sql=(entry("capture", "delivery", "{failed}"),),
               refused=CAPTURE, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a capture for an alert", sql=(entry("capture", "alert", "{alert}:0@1"),),
               refused=CAPTURE, found=Kind.ENTRY, row="entry {next}"),
        Damage(name="a second capture of a delivery", sql=(entry("capture", "delivery", "{done}"),), refused=""),
        Damage(name="a release for a delivery that is not there", sql=(entry("release", "delivery", "dlv_none"),),
               refused=RELEASE, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a release of what was captured", sql=(entry("release", "delivery", "{done}"),),
               refused=RELEASE, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a release for a delivery under way", sql=(entry("release", "delivery", "{open}"),),
               refused=RELEASE, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a release for an alert that is not there", sql=(entry("release", "alert", "alt_none:0@1"),),
               refused=RELEASE, found=Kind.CAUSE, row="entry {next}"),
        Damage(name="a release for a top-up", sql=(entry("release", "topup", "INV-1"),),
               refused=RELEASE, found=Kind.ENTRY, row="entry {next}"),
        Damage(name="a release of what an alert gave to its deliveries", sql=(entry("release", "alert", "{alert}:7@1"),),
               found=Kind.ALERT, row="alert {alert} "),
    ]  # fmt: skip


def _taken_back() -> Sequence[Damage]:
    def refund(reverses: str, amount: str = "{price}", account: str = "acme") -> tuple[str]:
        return (entry("refund", "refund", "by hand", amount, reverses=reverses, account=account),)

    def reversal(reverses: str, amount: str = "{paid}") -> tuple[str]:
        return (entry("reversal", "reversal", "by hand", amount, reverses=reverses),)

    names = "a refund or reversal names the entry that it reverses"
    return [
        Damage(name="a refund of twice its capture", sql=refund("{capture}", "2 * {price}"),
               refused=REFUND, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a refund of a part of its capture", sql=refund("{capture}", "1"),
               refused=REFUND, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a refund of another account's capture", sql=refund("{others_capture}"),
               refused=REFUND, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a refund of a top-up", sql=refund("{small}", "9"),
               refused=REFUND, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a refund of an entry that is not there", sql=refund("999999"),
               refused=REFUND, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a refund of nothing", sql=refund("null"), refused=REFUND, found=Kind.ENTRY, row="entry {next}",
               unchecked=(("entries", names),)),
        Damage(name="a second refund of a capture", sql=refund("{refunded}"), refused=""),
        Damage(name="a reversal of a capture", sql=reversal("{capture}", "{price}"),
               refused=REVERSAL, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a reversal of a part of a top-up", sql=reversal("{topup}", "1"),
               refused=REVERSAL, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a reversal of another account's top-up", sql=reversal("{others_topup}"),
               refused=REVERSAL, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a reversal of a reversal", sql=reversal("{reversal}", "7"),
               refused=REVERSAL, found=Kind.TAKEN_BACK, row="entry {next}"),
        Damage(name="a second reversal of a top-up", sql=reversal("{reversed}", "7"), refused=""),
    ]  # fmt: skip


def _accounts() -> Sequence[Damage]:
    floor = "a debt floor is not above zero"
    new = "insert into accounts (id, name, currency, callback_secret, created_at) values ('euro', 'x', 'euro', 'x', 1)"
    shifted = "case name when 'prepaid:acme' then 5 when 'revenue:acme' then -5 else 0 end"
    dollars = "id, name, 'USD', floor_micros, callback_secret, created_at from accounts where id = 'acme'"
    return [
        Damage(name="a balance changed", sql=("update balances set amount_micros = 1 where name = 'prepaid:acme'",),
               refused=BALANCE, found=Kind.BALANCE, row="prepaid:acme"),
        Damage(name="two balances changed that still sum to zero",
               sql=(f"update balances set amount_micros = amount_micros + {shifted}",),
               refused=BALANCE, found=Kind.BALANCE, row="prepaid:acme"),
        Damage(name="a balance's last entry changed",
               sql=("update balances set through_entry = through_entry + 1 where name = 'prepaid:acme'",),
               refused=BALANCE, found=Kind.BALANCE, row="prepaid:acme"),
        Damage(name="a balance removed", sql=("delete from balances where name = 'revenue:acme'",),
               refused=BALANCE, found=Kind.ACCOUNT, row="account acme"),
        Damage(name="a balance replaced by an empty one", only=SQLITE,
               sql=("insert or replace into balances (name, account_id) values ('prepaid:acme', 'acme')",),
               refused=FOUR, found=Kind.BALANCE, row="prepaid:acme"),
        Damage(name="a fifth balance", sql=("insert into balances (name, account_id) values ('gift:acme', 'acme')",),
               refused=FOUR, found=Kind.ACCOUNT, row="balance gift:acme"),
        Damage(name="a balance of an account that is not there",
               sql=("insert into balances (name, account_id) values ('held:nobody', 'nobody')",),
               refused=FOUR, found=Kind.REFERENCE, row="balances held:nobody"),
        Damage(name="an account's currency changed", sql=("update accounts set currency = 'USD' where id = 'acme'",),
               refused=IDENTITY),
        Damage(name="an account's id changed", sql=("update accounts set id = 'gone' where id = 'acme'",),
               refused=IDENTITY, found=Kind.REFERENCE, row="alerts {alert}"),
        Damage(name="an account replaced by one in another currency", only=SQLITE,
               sql=(f"insert or replace into accounts select {dollars}",),
               refused="an account is made once"),
        Damage(name="an account removed", sql=("delete from accounts where id = 'acme'",),
               refused="an account that has balances is not removed", found=Kind.REFERENCE, row="entries {topup}"),
        Damage(name="an account in a currency of digits", sql=(new.replace("'euro', 'x', 'euro'", "'euro', 'x', '123'"),),
               found=Kind.ACCOUNT, row="account euro"),
        Damage(name="an account in a currency that is none", sql=(new,), found=Kind.ACCOUNT, row="account euro"),
        Damage(name="a floor above zero", sql=("update accounts set floor_micros = 5 where id = 'acme'",),
               refused=floor, found=Kind.ACCOUNT, row="account acme", unchecked=(("accounts", floor),)),
    ]  # fmt: skip


def _deliveries() -> Sequence[Damage]:
    def of(which: str, changes: str) -> tuple[str]:
        return (f"update deliveries set {changes} where id = '{{{which}}}'",)

    under_way, ended = "what is under way is not settled", "what has ended is settled"
    more = "no more is captured than was held"
    return [
        Damage(name="a settled delivery put back into the queue", sql=of("done", "state = 'queued', settled_at = null"),
               refused=SETTLED, found=Kind.SETTLEMENT, row="delivery {done} "),
        Damage(name="a settled delivery queued", sql=of("done", "state = 'queued'"),
               refused=under_way, found=Kind.SETTLEMENT, row="delivery {done} ", unchecked=(("deliveries", under_way),)),
        Damage(name="a settled delivery charged otherwise", sql=of("done", "captured_micros = 0"),
               refused=SETTLED, found=Kind.SETTLEMENT, row="delivery {done} "),
        Damage(name="a delivery settled, and its hold kept", sql=of("open", "state = 'failed', settled_at = 1"),
               found=Kind.SETTLEMENT, row="delivery {open} "),
        Damage(name="a delivery ended, and not settled", sql=of("open", "state = 'failed'"),
               refused=ended, found=Kind.SETTLEMENT, row="delivery {open} ", unchecked=(("deliveries", ended),)),
        Damage(name="a delivery charged more than its hold", sql=of("open", "captured_micros = hold_micros + 1"),
               refused=more, found=Kind.DELIVERY, row="delivery {open}", unchecked=(("deliveries", more),)),
        Damage(name="a delivery's hold changed", sql=of("open", "hold_micros = 7"),
               refused=HELD, found=Kind.DELIVERY, row="delivery {open}"),
        Damage(name="a delivery's price and hold changed", sql=of("open", "price_micros = 7, hold_micros = 7"),
               refused=HELD, found=Kind.DELIVERY, row="delivery {open}"),
        Damage(name="a delivery's units changed", sql=of("open", "units = 9"),
               refused=HELD, found=Kind.DELIVERY, row="delivery {open}"),
        Damage(name="a delivery's tariff removed from it", sql=of("open", "tariff_id = null"),
               refused=HELD, found=Kind.DELIVERY, row="delivery {open}"),
        Damage(name="a delivery given to another account", sql=of("open", "account_id = 'other'"),
               refused=HELD, found=Kind.DELIVERY, row="delivery {open}"),
        Damage(name="a delivery moved to another alert", sql=of("open", "alert_id = '{alert_of_failed}'"),
               refused=HELD, found=Kind.ALERT, row="alert {alert} "),
        Damage(name="a delivery's id changed", sql=("update deliveries set id = 'dlv_anew' where id = '{done}'",),
               refused=HELD, found=Kind.CAUSE, row="entry {capture}"),
        Damage(name="a delivery removed", sql=("delete from deliveries where id = '{done}'",),
               refused="a delivery that credit was held for is not removed", found=Kind.CAUSE, row="entry {capture}"),
        Damage(name="all deliveries removed at once", only=POSTGRESQL, sql=("truncate deliveries cascade",),
               refused="a delivery that credit was held for is not removed", found=Kind.CAUSE, row="entry {capture}"),
        Damage(name="a delivery that nothing was held for", sql=(delivery("dlv_anew"),),
               found=Kind.ALERT, row="alert {alert} "),
        Damage(name="a delivery of an alert that is not there", sql=(delivery("dlv_anew", alert="alt_none"),),
               refused=OF_ITS_ALERT, found=Kind.REFERENCE, row="deliveries dlv_anew"),
        Damage(name="a delivery of another account's alert", sql=(delivery("dlv_anew", alert="{others_alert}"),),
               refused=OF_ITS_ALERT, found=Kind.DELIVERY, row="delivery dlv_anew"),
        Damage(name="a delivery at a tariff that is not there", sql=(delivery("dlv_anew", tariff="999"),),
               refused=OF_ITS_ALERT, found=Kind.DELIVERY, row="delivery dlv_anew"),
        Damage(name="an attempt of a delivery that is not there", only=SQLITE,
               sql=("insert into attempts values ('dlv_none', 1, 1, 'a', 1, '', '', '', null)",),
               found=Kind.REFERENCE, row="attempts dlv_none 1"),
    ]  # fmt: skip


def _alerts() -> Sequence[Damage]:
    def of(changes: str) -> tuple[str]:
        return (f"update alerts set {changes} where id = '{{alert}}'",)

    keeps, active = "an alert keeps its id and its account", "an active alert has not ended"
    return [
        Damage(name="an alert given to another account", sql=of("account_id = 'other'"),
               refused=keeps, found=Kind.DELIVERY, row="delivery {open}"),
        Damage(name="an alert's id changed", sql=of("id = 'alt_anew'"),
               refused=keeps, found=Kind.REFERENCE, row="deliveries {open}"),
        Damage(name="an alert removed", sql=("delete from alerts where id = '{alert}'",),
               refused="an alert that credit was held for is not removed", found=Kind.CAUSE, row="entry {hold}"),
        Damage(name="an alert left with a hold that it does not have", sql=of("hold_left_micros = 5"),
               found=Kind.HOLD, row="account acme"),
        Damage(name="an alert ended with an open hold", sql=of("status = 'cancelled', ended_at = 1, hold_left_micros = 5"),
               found=Kind.ALERT, row="alert {alert} "),
        Damage(name="an alert ended without a time", sql=of("status = 'cancelled'"), found=Kind.ALERT, row="alert {alert} "),
        Damage(name="an active alert with an end", sql=of("ended_at = 1"), refused=active, found=Kind.ALERT,
               row="alert {alert} ", unchecked=(("alerts", active),)),
    ]  # fmt: skip


def _tariffs() -> Sequence[Damage]:
    columns = "channel, prefix, version, price_micros, charged_on, unknown_end, created_at"
    cheaper = "{tariff}, 'sms', '+33', 1, 7, 'accepted', 'capture', 1"
    skipped = f"insert into tariffs ({columns}) select channel, prefix, 7, 7, charged_on, unknown_end, 1 from tariffs where id = 1"
    return [
        Damage(name="a price changed", sql=("update tariffs set price_micros = 7 where id = {tariff}",),
               refused=TARIFF, found=Kind.DELIVERY, row="delivery {done}"),
        Damage(name="a price removed", sql=("delete from tariffs where id = {tariff}",),
               refused=TARIFF, found=Kind.DELIVERY, row="delivery {done}"),
        Damage(name="a version of a price left out", sql=(skipped,),
               refused="the versions of a tariff follow each other", found=Kind.TARIFF, row="tariff sms:+33"),
        Damage(name="a price that is removed and never was",
               sql=(f"insert into tariffs ({columns}, removed) values ('sms', '+4499', 1, 7, 'accepted', 'capture', 1, true)",),
               refused=REMOVED, found=Kind.TARIFF, row="tariff sms:+4499 version 1"),
        Damage(name="a price that is removed at another price",
               sql=((f"insert into tariffs ({columns}, removed) select channel, prefix, version + 1, 7, charged_on, unknown_end, 1, "
                    "true from tariffs where id = {tariff}"),),
               refused=REMOVED, found=Kind.TARIFF, row="tariff sms:"),
        Damage(name="a price that is half removed", only=SQLITE,
               sql=((f"insert into tariffs ({columns}, removed) select channel, prefix, version + 1, price_micros, charged_on, "
                    "unknown_end, 1, 2 from tariffs where id = {tariff}"),),
               refused=REMOVED, found=Kind.TARIFF, row="tariff sms:"),
        Damage(name="a price that was charged marked as removed", sql=("update tariffs set removed = true where id = {tariff}",),
               refused=TARIFF, found=Kind.DELIVERY, row="delivery {done}"),
        Damage(name="a price made one of another channel", sql=("update tariffs set channel = 'voice' where id = {tariff}",),
               refused=TARIFF, found=Kind.DELIVERY, row="delivery {done}"),
        Damage(name="a price replaced", only=SQLITE,
               sql=(f"insert or replace into tariffs (id, {columns}) values ({cheaper})",),
               refused="the versions of a tariff follow each other", found=Kind.DELIVERY, row="delivery {done}"),
    ]  # fmt: skip


def _guards() -> Sequence[Damage]:
    return [
        Damage(name="a guard dropped", only=SQLITE, sql=("drop trigger entries_stay",),
               found=Kind.GUARD, row="guard entries_stay"),
        Damage(name="a guard replaced by an empty one", only=SQLITE,
               sql=("drop trigger entries_stay", "create trigger entries_stay before update on entries begin select 1; end"),
               found=Kind.GUARD, row="guard entries_stay"),
        Damage(name="a guard's function replaced by an empty one", only=POSTGRESQL,
               sql=(("create or replace function entries_have_causes() returns trigger language plpgsql as "
                    "$$ begin return new; end $$"),),
               found=Kind.GUARD, row="guard entries_have_causes"),
        Damage(name="a trigger that swallows entries", only=SQLITE,
               sql=("create trigger helper before insert on entries begin select raise(ignore); end",),
               found=Kind.GUARD, row="trigger helper"),
        Damage(name="a guard disabled", only=POSTGRESQL, sql=("alter table entries disable trigger entries_stay",),
               found=Kind.GUARD, row="guard entries_stay"),
    ]  # fmt: skip


DAMAGES: tuple[Damage, ...] = (
    *_entries(), *_holds(), *_taken_back(), *_accounts(), *_deliveries(), *_alerts(), *_tariffs(), *_guards(),
)  # fmt: skip
