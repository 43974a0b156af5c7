"""Applies what providers say later: receipts, in any order and any number of times, and messages that people sent to us."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from channels.outcome import (
    Inbound,
    InboundPart,
    LateOutcome,
    Receipt,
    ReceiptDelivered,
    ReceiptEnded,
    ReceiptFailed,
    ReceiptIntermediate,
    ReceiptResult,
    Report,
    Spelling,
)
from gateway import delivery as machine
from gateway.clock import to_micros
from gateway.delivery import Decision, Delivery, Event, Fenced, GiveUp, Ignored, State
from gateway.frozen import replace
from gateway.ids import new_id
from gateway.late_failure import try_elsewhere
from gateway.outcomes import learn
from gateway.policy import RetryPolicy
from gateway.progress import Tariffs, change_delivery
from gateway.spelling import alike, by_itself, likest, normal_form
from gateway.store import tables
from gateway.store.rows import Part
from gateway.store.unit import EarlyReceipt, Unit, Wants

RAW_MAX = 500  # characters of a receipt's own text that are kept as evidence
_RESULTS: dict[str, ReceiptResult] = {
    "delivered": ReceiptDelivered(),
    "failed": ReceiptFailed(),
    "intermediate": ReceiptIntermediate(),
    "ended": ReceiptEnded(),
}
_WORDS = {type(result): word for word, result in _RESULTS.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyReports:
    """Command: stores what a provider reported. The channel confirms to the provider only after it is committed."""

    provider: str
    channel: str
    reports: Sequence[Report]
    policy: RetryPolicy
    tariffs: Tariffs

    @property
    def weight(self) -> int:
        return 4 * len(self.reports)

    def prefetch(self, wants: Wants) -> None:
        named = wants.named.setdefault(self.provider, set())
        for report in self.reports:
            if isinstance(report, Receipt):
                named.update(map(normal_form, report.provider_message_ids[:1]))
            elif isinstance(report, LateOutcome):
                wants.deliveries.add(report.reference)
                early = wants.early.setdefault(self.provider, set())
                early.update(normal_form(part.provider_message_id) for part in report.outcome.parts)

    def apply(self, unit: Unit) -> None:
        for report in self.reports:
            if isinstance(report, LateOutcome):  # before receipts that came with it
                self._late(unit, report)
        receipts = [report for report in self.reports if isinstance(report, Receipt)]
        self._look_for_other_forms(unit, receipts)
        for receipt in receipts:
            self._receipt(unit, receipt)
        for report in self.reports:
            if isinstance(report, Inbound):
                self._inbound(unit, report.source, report.destination, report.text)
            elif isinstance(report, InboundPart):
                self._inbound_part(unit, report)

    def _late(self, unit: Unit, report: LateOutcome) -> None:
        """An answer that came when its attempt had been given up. What is no delivery of ours was a test message."""
        delivery = unit.delivery(report.reference)
        attempt = None if delivery is None else unit.attempt(report.reference, report.attempt)
        if delivery is None or attempt is None or attempt.provider != self.provider:
            return
        with suppress(Ignored):
            parts = learn(unit, delivery, attempt, report.outcome, self.policy, self.tariffs)
            apply_early(unit, parts, attempt.started_at, self.policy, self.tariffs)

    def _look_for_other_forms(self, unit: Unit, receipts: Sequence[Receipt]) -> None:
        """Ids that are not known as they are written may be in another form: these are read together."""
        others = {
            normal_form(name)
            for receipt in receipts
            if len(receipt.provider_message_ids) > 1
            and not unit.parts_named(self.provider, normal_form(receipt.provider_message_ids[0]))
            for name in receipt.provider_message_ids[1:]
        }
        if others:
            unit.prefetch(Wants(named={self.provider: others}))

    def _receipt(self, unit: Unit, receipt: Receipt) -> None:
        part = self._named(unit, receipt)
        if part is None and receipt.otherwise is not None:
            self._inbound(unit, receipt.otherwise.source, receipt.otherwise.destination, receipt.otherwise.text)
        if part is None or part.state != "accepted":
            # not ours, or faster than the answer, perhaps with an id that is used again: the answer will tell
            self._keep(unit, receipt)
        if part is None:
            return
        apply_receipt(unit, part, receipt.result, receipt.code, receipt.raw, self.policy, self.tariffs)

    def _named(self, unit: Unit, receipt: Receipt) -> Part | None:
        """The part that the receipt means. The id as written counts by itself, the address telling re-used ids apart, and so
        does any spelling of it that the provider's rule allows. Any other form of it (decimal for hexadecimal, say) may be
        another message's, so the address has to fit as well; and where nothing marks a receipt as one, it always has to."""
        for n, name in enumerate(receipt.provider_message_ids):
            named, fitting = self._fitting(unit, receipt, name)
            if fitting:
                return likest(fitting, name)
            if n > 0 or receipt.otherwise is not None:
                continue
            # a part that awaits no word any more and went elsewhere is not meant: this one's answer is still to come
            meant = [
                part
                for part in named
                if by_itself(name, part.provider_message_id, receipt.spelling)
                and (part.state == "accepted" or not elsewhere(unit, part, receipt.address))
            ]
            if meant:
                return likest(meant, name)
        return None

    def _fitting(self, unit: Unit, receipt: Receipt, name: str) -> tuple[list[Part], list[Part]]:
        """The parts that an id in the receipt may mean, and those of them that went to its address; the latest first."""
        form = normal_form(name)
        found = unit.parts_named(self.provider, form)
        named, fitting = self._meant(unit, receipt, name, found)
        if found and not fitting:
            named, fitting = self._meant(unit, receipt, name, unit.parts_hidden(self.provider, form))
        return named, fitting

    def _meant(self, unit: Unit, receipt: Receipt, name: str, found: list[Part]) -> tuple[list[Part], list[Part]]:
        named = [part for part in found if alike(name, part.provider_message_id, receipt.spelling)]
        return named, [part for part in named if addressed(unit, part, receipt.address)]

    def _keep(self, unit: Unit, receipt: Receipt) -> None:
        """Nothing is known of the id yet: the receipt overtook the answer, or is not ours. It is kept and matched later."""
        kept_id = new_id("rcp")
        for n, name in enumerate(receipt.provider_message_ids):
            unit.keep_early(
                EarlyReceipt(
                    id=kept_id,
                    provider=self.provider,
                    provider_message_id=name,
                    receipt_id=normal_form(name),
                    spelling=receipt.spelling.value,
                    exact=int(n == 0 and receipt.otherwise is None),
                    address=receipt.address,
                    result=_WORDS[type(receipt.result)],
                    code=receipt.code,
                    detail=receipt.detail,
                    raw=receipt.raw[:RAW_MAX],
                    at=unit.now_micros,
                )
            )

    def _inbound(self, unit: Unit, source: str, destination: str, text: str) -> None:
        unit.insert(
            "inbound_messages",
            new_id("inb"),
            self.provider,
            self.channel,
            source,
            destination,
            _stored(text),
            unit.now_micros,
        )

    def _inbound_part(self, unit: Unit, part: InboundPart) -> None:
        """One part of a longer message: stored until all are here, in whatever order and however often they come.

        A part that is here already with another text belongs to a new message: phones use references again. What there is
        of the unfinished one is then stored as it is, rather than put together with what is not its own.
        """
        t = tables.inbound_parts
        same = (
            (t.c.provider == self.provider)
            & (t.c.source == part.source)
            & (t.c.destination == part.destination)
            & (t.c.reference == part.reference)
            & (t.c.total == part.total)
        )
        unit.flush()  # parts of this batch that are already stored count
        texts: dict[int, str] = {
            row.n: row.text for row in unit.connection.execute(select(t.c.n, t.c.text).where(same))
        }
        text = _stored(part.text)
        if texts.get(part.n) == text:
            return
        if part.n in texts:
            self._inbound(unit, part.source, part.destination, _unfinished(texts, part.total))
            unit.connection.execute(delete(t).where(same))
            texts = {}
        texts[part.n] = text
        if len(texts) < part.total:
            unit.insert(
                "inbound_parts", self.provider, part.source, part.destination, part.reference, part.total, part.n,
                texts[part.n], unit.now_micros,
            )  # fmt: skip
            return
        self._inbound(unit, part.source, part.destination, "".join(texts[n] for n in sorted(texts)))
        unit.connection.execute(delete(t).where(same))


def _unfinished(texts: dict[int, str], total: int) -> str:
    """The parts of a message that came, an ellipsis for those that did not."""
    return "".join(texts.get(n, "…") for n in range(1, total + 1))


def _stored(text: str) -> str:
    """What can be stored of the text: PostgreSQL takes no NUL."""
    return text.replace("\0", "")


ADDRESS_DIGITS_MIN = 7  # fewer digits in common say nothing: providers drop plus signs, country codes, leading zeros


def addressed(unit: Unit, part: Part, address: str) -> bool:
    """Whether the part went to this address, as far as it can be told from how providers write addresses."""
    delivery = unit.delivery(part.delivery_id) if address else None
    if delivery is None:
        return False
    sent_to = delivery.address.partition(":")[2]
    if sent_to == address:
        return True
    shorter, longer = sorted((sent_to.lstrip("+0"), address.lstrip("+0")), key=len)
    return len(shorter) >= ADDRESS_DIGITS_MIN and longer.endswith(shorter)


def elsewhere(unit: Unit, part: Part, address: str) -> bool:
    """Whether the receipt names a number that the part certainly did not go to. What is no number, or too short, tells nothing."""
    digits = address.lstrip("+0")
    return len(digits) >= ADDRESS_DIGITS_MIN and digits.isdigit() and not addressed(unit, part, address)


def apply_receipt(
    unit: Unit, part: Part, result: ReceiptResult, code: str, raw: str, policy: RetryPolicy, tariffs: Tariffs
) -> None:
    """What one receipt makes of a part and of its delivery. The first final word on a part stands, but for late proof."""
    delivery = unit.delivery(part.delivery_id)
    if delivery is None:
        return
    event: Event | None = None
    decision: Decision = GiveUp()
    match result:
        case ReceiptDelivered():
            if part.state == "delivered":
                return
            if part.state == "failed" and part.at is not None:  # its line of the timeline would be gone
                told = f"{part.code} {part.raw}"[:RAW_MAX]
                unit.insert("events", delivery.alert_id, delivery.id, "receipt", told, to_micros(part.at))
            part = _final(unit, part, "delivered", code, raw)
            if _chain_delivered(unit, delivery, part):
                event = machine.Proved(code=code)
        case ReceiptFailed():
            if part.state != "accepted":
                return
            part = _final(unit, part, "failed", code, raw)
            if part.chain == delivery.chain:
                decision = policy.refused(delivery, unit.now)
                event = machine.Disproved(epoch=delivery.epoch, code=code, decision=decision)
        case ReceiptIntermediate():
            unit.event(delivery.alert_id, "receipt", f"{code} {raw}"[:RAW_MAX], delivery.id)
            event = machine.ReceiptNoted(code=code)
        case ReceiptEnded():
            unit.event(delivery.alert_id, "receipt", f"{code} {raw}"[:RAW_MAX], delivery.id)
            if part.chain == delivery.chain and delivery.units == 1 and delivery.settled_at is None:
                event = machine.LastWordGiven(code=code)
    if event is None:
        return
    try:
        changed = change_delivery(unit, delivery, event, tariffs)
    except (Ignored, Fenced):
        return
    if delivery.settled_at is not None and changed.state is State.FAILED:
        try_elsewhere(unit, changed, decision)


def _final(unit: Unit, part: Part, state: str, code: str, raw: str) -> Part:
    final = replace(part, state=state, code=code, raw=raw[:RAW_MAX], at=unit.now)
    unit.put(final)
    return final


def _chain_delivered(unit: Unit, delivery: Delivery, part: Part) -> bool:
    """Whether this part was the last one missing. All parts of a run are known once its last attempt was accepted."""
    run = [other for other in unit.parts_of(delivery.id) if other.chain == part.chain]
    if any(other.state != "delivered" for other in run):
        return False
    if delivery.state is State.ACCEPTED and part.chain == delivery.chain:
        return True
    attempts = [attempt for attempt in unit.attempts_of(delivery.id) if attempt.chain == part.chain]
    return bool(attempts) and attempts[-1].outcome == "accepted"


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchEarly:
    """Command: looks once more at early receipts whose answers were committed beside them, by another process."""

    provider: str
    receipt_ids: tuple[str, ...]
    policy: RetryPolicy
    tariffs: Tariffs

    @property
    def weight(self) -> int:
        return 4 * len(self.receipt_ids)

    def prefetch(self, wants: Wants) -> None:
        wants.named.setdefault(self.provider, set()).update(self.receipt_ids)
        wants.early.setdefault(self.provider, set()).update(self.receipt_ids)

    def apply(self, unit: Unit) -> None:
        for form in self.receipt_ids:
            # the latest of each spelling: ids are used again
            latest: dict[str, Part] = {}
            for part in unit.parts_named(self.provider, form):
                if part.state == "accepted":
                    latest.setdefault(part.provider_message_id, part)
            for part in latest.values():
                attempt = unit.attempt(part.delivery_id, part.epoch)
                apply_early(
                    unit, [part], part.sent_at if attempt is None else attempt.started_at, self.policy, self.tariffs
                )


def apply_early(unit: Unit, parts: Sequence[Part], since: datetime, policy: RetryPolicy, tariffs: Tariffs) -> None:
    """Matches receipts that overtook the answers naming these parts. Those from before the attempt began (`since`) are about
    an earlier message with the same id; one that may still mean another message is left for its answer."""
    oldest = to_micros(since)
    for part in parts:
        seen = set()
        for early in unit.early(part.provider, part.receipt_id):
            spelling = Spelling(early.spelling)
            if not alike(early.provider_message_id, part.provider_message_id, spelling):
                continue
            current = unit.part(part.delivery_id, part.chain, part.n)
            if current is None:
                continue
            likely = early.exact and by_itself(early.provider_message_id, part.provider_message_id, spelling)
            fits = addressed(unit, current, early.address)
            if likely or fits:
                unit.use_up(early)
            if (
                early.at < oldest
                or early.id in seen
                or not (fits or (likely and not elsewhere(unit, current, early.address)))
            ):
                continue
            seen.add(early.id)
            apply_receipt(unit, current, _RESULTS[early.result], early.code, early.raw, policy, tariffs)
