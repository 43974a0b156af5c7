"""A command that is carried out once for an idempotency key: the same request again gets the first answer, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.intake import IdempotencyConflict, IdempotencyKey
from gateway.store.journal import Command
from gateway.store.unit import Unit, Wants


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer, as JSON. `replayed`: it was given before under the same key."""

    answer: str
    replayed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Once:
    """Command: carries `command` out and stores the answer under the key, in the same transaction. `answer` tells what is then.
    Raises IdempotencyConflict where the key came before with another body, and whatever the command raises."""

    command: Command[object]
    key: IdempotencyKey
    answer: Callable[[Connection], str]

    @property
    def weight(self) -> int:
        return self.command.weight + 1

    def prefetch(self, wants: Wants) -> None:
        wants.idempotency.add(self.key.key)
        self.command.prefetch(wants)

    def apply(self, unit: Unit) -> Answered:
        key = self.key
        known = unit.answered(key.account_id, key.route, key.key)
        if known is not None:
            digest, answer = known
            if digest != key.digest:
                raise IdempotencyConflict(key.key)
            return Answered(answer, replayed=True)
        self.command.apply(unit)
        unit.flush()  # the answer tells what is so with it
        answer = self.answer(unit.connection)
        unit.answer(key.account_id, key.route, key.key, key.digest, answer)
        return Answered(answer)
