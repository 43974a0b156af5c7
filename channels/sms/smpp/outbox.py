"""What one SMPP session has still to write, and its messages without an answer. Knows no states and reads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from channels.sms.smpp.codec import encode, read_header
from channels.sms.smpp.pdu import DataSm, DeliverSm, Pdu, SubmitSm
from channels.sms.smpp.wire import SEQUENCE_MAX

_MESSAGE_COMMANDS = frozenset(kind.command_id for kind in (SubmitSm, DeliverSm, DataSm))


@dataclass(slots=True, eq=False)
class _Waiting:
    """One message of ours without its answer. `position` counts messages in the order they were written."""

    response: type[Pdu]
    deadline: float
    position: int


@dataclass(frozen=True, slots=True)
class Returned:
    """A message that gets no answer. `maybe_sent` is False only where its bytes certainly never left."""

    sequence: int
    maybe_sent: bool
    response: type[Pdu]


class Outbox:
    """Encoded PDUs in order, and for each message among them until when its answer is awaited."""

    def __init__(self) -> None:
        self._out: list[bytes] = []
        # All messages have the same time, so that insertion order is deadline order: the first is the next to lapse.
        self._waiting: dict[int, _Waiting] = {}
        self._next_sequence = 1
        self._written = 0
        self._taken = 0

    def __len__(self) -> int:
        """How many PDUs wait to be taken."""
        return len(self._out)

    @property
    def outstanding(self) -> int:
        """How many messages wait for their answer."""
        return len(self._waiting)

    @property
    def next_deadline(self) -> float | None:
        """When the next message lapses."""
        for waiting in self._waiting.values():
            return waiting.deadline
        return None

    def write(self, response: Pdu) -> None:
        """Writes a response, with the sequence number it carries."""
        self._out.append(encode(response))

    def write_request(self, request: Pdu) -> int:
        """Writes a request under the next free sequence number, which is returned (section 5.1.4)."""
        sequence = self._next_sequence
        while sequence in self._waiting:
            sequence = sequence % SEQUENCE_MAX + 1
        self._out.append(encode(request, sequence))
        self._next_sequence = sequence % SEQUENCE_MAX + 1
        return sequence

    def write_message(self, message: Pdu, response: type[Pdu], deadline: float) -> int:
        """Writes a request whose answer is awaited until `deadline`. Raises LocalProtocolError like `codec.encode`."""
        sequence = self.write_request(message)
        self._written += 1
        self._waiting[sequence] = _Waiting(response, deadline, self._written)
        return sequence

    def take(self) -> bytes:
        """Everything written so far. From now on it counts as possibly sent."""
        data = b"".join(self._out)
        self._out.clear()
        self._taken = self._written
        return data

    def settle(self, sequence: int, response: type[Pdu] | None = None) -> bool:
        """Whether a message waited for an answer (of this kind, if one is named); then it waits no longer."""
        waiting = self._waiting.get(sequence)
        if waiting is None or response not in (None, waiting.response):
            return False
        del self._waiting[sequence]
        return True

    def lapse(self, now: float) -> list[Returned]:
        """The messages whose time is over; they wait no longer."""
        return self._give_back(list(self._lapsed(now)))

    def give_back(self) -> list[Returned]:
        """Every message without an answer; none waits any longer."""
        return self._give_back(list(self._waiting))

    def withdraw(self) -> list[Returned]:
        """The messages that have not been taken from here; now they never leave. The others wait on."""
        return self._give_back([number for number, one in self._waiting.items() if one.position > self._taken])

    def _lapsed(self, now: float) -> Iterator[int]:
        for sequence, waiting in self._waiting.items():
            if waiting.deadline > now:
                return
            yield sequence

    def _give_back(self, sequences: list[int]) -> list[Returned]:
        """Takes messages out of the wait. Those whose bytes are still here are withdrawn: so they can never leave."""
        returned = []
        withdrawn = set()
        for sequence in sequences:
            waiting = self._waiting.pop(sequence)
            maybe_sent = waiting.position <= self._taken
            returned.append(Returned(sequence, maybe_sent, waiting.response))
            if not maybe_sent:
                withdrawn.add(sequence)
        if withdrawn:
            self._out = [octets for octets in self._out if _message_sequence(octets) not in withdrawn]
        return returned


def _message_sequence(octets: bytes) -> int | None:
    """The sequence number of a message of ours; None for any other PDU."""
    _, command_id, _, sequence = read_header(octets, 0)
    return sequence if command_id in _MESSAGE_COMMANDS else None
