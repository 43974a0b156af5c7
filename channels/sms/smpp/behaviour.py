"""What the simulated SMSC does with each message: its settings, and the decisions made from them alone. No sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from channels.sms.encoding import Alphabet, decode
from channels.sms.smpp.inbound import user_data
from channels.sms.smpp.pdu import DataSm, DeliverSm, SubmitSm
from channels.sms.smpp.wire import (
    ESM_RECEIPT,
    RINVPASWD,
    RINVSYSID,
    RMSGQFUL,
    ROK,
    RTHROTTLED,
    TLV_MESSAGE_STATE,
    TLV_RECEIPTED_MESSAGE_ID,
)

RECEIPT_TEXT_CHARACTERS = 20
"""How much of a message its receipt repeats (appendix B)."""

PARTS_KEPT_MAX = 10_000
"""Long messages of which some part is still missing; beyond it the oldest is given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SmscBehaviour:
    """How the simulated SMSC treats those who bind to it. Times are seconds; per mille is of the messages submitted."""

    receipts: bool = True
    """Send receipts to those who ask for them with registered_delivery."""
    response_delay_s: float = 0.0
    receipt_delay_s: float = 0.0
    receipt_first: bool = False
    """The receipt leaves before the answer that names its id."""
    redeliver_after_s: float = 0.2
    """When a receipt or message that was refused or lost is delivered again."""
    throttle_per_mille: int = 0
    reject_per_mille: int = 0
    reject_status: int = 0x0B
    undelivered_per_mille: int = 0
    """Accepted, and then reported as UNDELIV."""
    drop_every: int = 0
    """After how many submits the connection is cut, with answers outstanding, again and again; 0 never."""
    id_format: Literal["dec", "hex", "hexdec"] = "dec"
    """How ids are written; hexdec: hexadecimal in the answer, decimal in the receipt."""
    system_id: str = ""
    """The only name that may bind; "" is any."""
    password: str = ""
    """And its password; "" is any."""
    submits_per_s: int = 0
    """Submits beyond this many within one second are throttled; 0 is no limit."""
    mute: bool = False
    """Never answer a submit."""
    mute_binds: int = 0
    """The sessions bound first, so many of them, never get an answer to a submit; those bound later do."""
    queue_full_for: str = ""
    """Refuse what goes to this number with ESME_RMSGQFUL."""
    seed: int = 0
    """Everything random follows from this and the order of what arrives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """One message as its recipient would read it, all parts together."""

    source: str
    destination: str
    text: str
    parts: int
    message_ids: tuple[str, ...]
    """In the order of the parts, as the answers named them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What becomes of one submit: refused with `status`, or taken under `message_id` and later reported as `stat`."""

    status: int
    message_id: str = ""
    receipt_id: str = ""
    stat: str = "DELIVRD"


class Judge:
    """Decides what becomes of each submit; `chance` gives random numbers of 0 to below 1."""

    def __init__(self, behaviour: SmscBehaviour, chance: Callable[[], float]) -> None:
        self.behaviour = behaviour
        """May be replaced at any time."""
        self._chance = chance
        self._next_id = 1_000_000
        self._second = float("-inf")
        self._in_second = 0

    def bind_status(self, system_id: str, password: str) -> int:
        """The command_status that answers a bind."""
        if self.behaviour.system_id not in ("", system_id):
            return RINVSYSID
        if self.behaviour.password not in ("", password):
            return RINVPASWD
        return ROK

    def decide(self, now: float, destination: str = "") -> Decision:
        """What becomes of a submit to `destination` that arrives now."""
        behaviour = self.behaviour
        if behaviour.queue_full_for and behaviour.queue_full_for.removeprefix("+") == destination.removeprefix("+"):
            return Decision(status=RMSGQFUL)
        if self._too_fast(now) or self._falls(behaviour.throttle_per_mille):
            return Decision(status=RTHROTTLED)
        if self._falls(behaviour.reject_per_mille):
            return Decision(status=behaviour.reject_status)
        number = self._next_id
        self._next_id += 1
        return Decision(
            status=ROK,
            message_id=str(number) if behaviour.id_format == "dec" else f"{number:x}",
            receipt_id=f"{number:x}" if behaviour.id_format == "hex" else str(number),
            stat="UNDELIV" if self._falls(behaviour.undelivered_per_mille) else "DELIVRD",
        )

    def _falls(self, per_mille: int) -> bool:
        return per_mille > 0 and self._chance() * 1000 < per_mille

    def _too_fast(self, now: float) -> bool:
        if not self.behaviour.submits_per_s:
            return False
        if now - self._second >= 1:
            self._second, self._in_second = now, 0
        self._in_second += 1
        return self._in_second > self.behaviour.submits_per_s


class Handset:
    """Puts the parts of long messages together, as the recipient's phone does."""

    def __init__(self, *, received_max: int) -> None:
        self.received: deque[Received] = deque(maxlen=received_max)
        """The latest whole messages."""
        self._parts: dict[tuple[str, str, int, int], dict[int, tuple[str, str]]] = {}

    def receive(self, message: SubmitSm | DataSm, message_id: str) -> str:
        """Takes one part or a whole message; the text of it."""
        concatenation, octets = user_data(message)
        text = decode(octets, message.data_coding, default_alphabet=Alphabet.GSM7)
        if concatenation is None or concatenation.total == 1:
            self._complete(message, [(text, message_id)])
            return text
        key = (message.source_addr, message.destination_addr, concatenation.reference, concatenation.total)
        parts = self._parts.setdefault(key, {})
        parts[concatenation.n] = (text, message_id)
        if len(parts) == concatenation.total:
            del self._parts[key]
            self._complete(message, [parts[n] for n in sorted(parts)])
        elif len(self._parts) > PARTS_KEPT_MAX:
            del self._parts[next(iter(self._parts))]
        return text

    def _complete(self, message: SubmitSm | DataSm, parts: list[tuple[str, str]]) -> None:
        self.received.append(
            Received(
                source=message.source_addr,
                destination=message.destination_addr,
                text="".join(text for text, _ in parts),
                parts=len(parts),
                message_ids=tuple(message_id for _, message_id in parts),
            )
        )


_STATES = {"DELIVRD": b"\x02", "UNDELIV": b"\x05"}


def receipt(message: SubmitSm | DataSm, decision: Decision, text: str, at: datetime) -> DeliverSm:
    """The receipt of a message that was taken (section 5.3 and appendix B)."""
    delivered = decision.stat == "DELIVRD"
    minute = f"{at:%y%m%d%H%M}"
    written = (
        f"id:{decision.receipt_id} sub:001 dlvrd:{delivered:03d} submit date:{minute} done date:{minute} "
        f"stat:{decision.stat} err:{'000' if delivered else '001'} text:{text[:RECEIPT_TEXT_CHARACTERS]}"
    )
    return DeliverSm(
        source_addr_ton=message.dest_addr_ton,
        source_addr_npi=message.dest_addr_npi,
        source_addr=message.destination_addr,
        dest_addr_ton=message.source_addr_ton,
        dest_addr_npi=message.source_addr_npi,
        destination_addr=message.source_addr,
        esm_class=ESM_RECEIPT,
        short_message=written.encode("ascii", "replace"),
        tlvs={
            TLV_RECEIPTED_MESSAGE_ID: decision.receipt_id.encode() + b"\0",
            TLV_MESSAGE_STATE: _STATES[decision.stat],
        },
    )
