"""The journal: everything that arrived while the last commit was running is committed together, once, and then answered.

That makes durable and fast the same thing. Each command still has a verdict of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway import large_work
from gateway.clock import Clock
from gateway.store.cache import OpenRows
from gateway.store.engine import UNFIT, Store, translated
from gateway.store.errors import StoreConflict, StoreError, StoreStopped, StoreUnavailable
from gateway.store.unit import Unit, Wants
from gateway.store.writing import WriteStatements

log = structlog.get_logger(__name__)
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

BATCH_COMMANDS = 512  # commands of one commit: enough to make the fsync cheap, few enough to answer within ~100 ms
BATCH_WEIGHT = 2_000  # rows of one commit, as the commands estimate them: large work does not hold up the rest
PENDING_MAX = 20_000  # commands that may wait: at 1,000 a second that is 20 s, beyond it callers are told to come back
DEADLOCK_TRIES = 5  # PostgreSQL ends one of two writers that wait for each other; the batch is then run again

COMMITS = Counter("tocsin_journal_commits_total", "Transactions committed by the journal")
COMMANDS = Counter("tocsin_journal_commands_total", "Commands committed by the journal")
REPLAYS = Counter("tocsin_journal_replays_total", "Batches that were replayed one command at a time")
COMMIT_S = Histogram(
    "tocsin_journal_commit_seconds", "Duration of one batch", buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
)


class Command(Protocol[T_co]):
    """One change of the store, as a value. `apply` runs in the writer: it reads and changes the unit and nothing else; what it
    raises is the verdict its caller gets. It may run more than once, so it must not change the command."""

    @property
    def weight(self) -> int:
        """About how many rows it writes."""
        ...

    def prefetch(self, wants: Wants) -> None:
        """Says what it will read."""
        ...

    def apply(self, unit: Unit) -> T_co: ...


@dataclass(slots=True)
class _Pending:
    command: Command[Any]
    future: asyncio.Future[Any]


class Journal:
    """Runs commands in batches. `finish` is called on every unit before it is written (it ends alerts); `signalled` gets the
    signals of a batch once it is committed, on the loop."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        finish: Callable[[Unit], None],
        signalled: Callable[[Sequence[object]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._finish = finish
        self._signalled = signalled
        self._statements = WriteStatements(store.dialect)
        self._cache = OpenRows() if store.exclusive else None
        self._urgent: deque[_Pending] = deque()
        self._waiting: deque[_Pending] = deque()
        self._wake = asyncio.Event()
        self._running = True

    async def do(self, command: Command[T], *, urgent: bool = False) -> T:
        """Runs the command and returns its result once it is committed and on disk. Raises the command's own verdict,
        StoreConflict where the schema refused it, StoreUnavailable where nothing could be written."""
        if not self._running:
            raise StoreStopped("the journal has stopped")
        if len(self._waiting) + len(self._urgent) >= PENDING_MAX:
            raise StoreUnavailable("the journal is full")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._waiting).append(_Pending(command, future))
        self._wake.set()
        if not urgent:
            return await future
        with large_work.urgent:
            return await future

    @property
    def pending(self) -> int:
        """Commands that wait for a batch."""
        return len(self._waiting) + len(self._urgent)

    async def run(self) -> None:
        """Commits batches until cancelled; what is pending then is still committed."""
        committing: asyncio.Task[None] | None = None
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._urgent or self._waiting:
                    committing = asyncio.create_task(self._commit(self._take()))
                    await asyncio.shield(committing)  # a cancelled journal still finishes its batch
        finally:
            self._running = False
            if committing is not None:
                await asyncio.wait({committing})
            try:
                while self._urgent or self._waiting:
                    await self._commit(self._take())
            finally:
                _fail([*self._urgent, *self._waiting])

    def _take(self) -> list[_Pending]:
        batch: list[_Pending] = []
        weight = 0
        for line in (self._urgent, self._waiting):
            while line and len(batch) < BATCH_COMMANDS and (not batch or weight < BATCH_WEIGHT):
                pending = line.popleft()
                if pending.future.cancelled():
                    continue  # nobody waits for it and nothing of it was begun
                weight += pending.command.weight
                batch.append(pending)
        return batch

    async def _commit(self, batch: list[_Pending]) -> None:
        if not batch:
            return
        commands = [pending.command for pending in batch]
        started = self._clock.monotonic()
        try:
            written = await self._write(commands)
        except StoreError as error:
            log.error("batch_failed", commands=len(commands), error=str(error))
            self._forget()  # whether the database took it, only the database knows
            written = _Written([error] * len(commands), [])
        except BaseException:
            _fail(batch)  # the writer dies of a fault of ours; nobody may wait for it for ever
            raise
        for unit in written.units:
            unit.keep()
        signals = [signal for unit in written.units for signal in unit.signals]
        COMMIT_S.observe(self._clock.monotonic() - started)
        COMMITS.inc()
        COMMANDS.inc(len(commands))
        for pending, verdict in zip(batch, written.verdicts, strict=True):
            if pending.future.done():
                continue
            if isinstance(verdict, _Result):
                pending.future.set_result(verdict.value)
            else:
                pending.future.set_exception(verdict)
        if signals:
            self._signalled(signals)

    async def _write(self, commands: list[Command[Any]]) -> _Written:
        way = self._together
        for _ in range(DEADLOCK_TRIES):
            try:
                return await self._store.write(lambda connection, way=way: way(connection, commands))  # type: ignore[misc]
            except _Deadlock:
                continue
            except StoreUnavailable:
                raise
            except Exception as error:
                if way == self._one_by_one:
                    raise
                # a constraint, or a fault of ours: whichever command it is, the others are not to suffer
                log.warning("batch_replayed", commands=len(commands), error=repr(error))
                REPLAYS.inc()
                self._forget()  # each command is to see in the database what the one before it wrote there
                way = self._one_by_one
        raise StoreUnavailable("the database ended the transaction again and again")

    def _forget(self) -> None:
        """Open rows are read from the database again."""
        if self._cache is not None:
            self._cache = OpenRows()

    def _together(self, connection: Connection, commands: list[Command[Any]]) -> _Written:
        with _deadlocks():
            unit = Unit(
                connection, self._statements, self._clock.now(), exclusive=self._store.exclusive, cache=self._cache
            )
            wants = Wants()
            for command in commands:
                command.prefetch(wants)
            unit.prefetch(wants)
            verdicts = [_verdict(unit, command) for command in commands]
            self._finish(unit)
            return _Written(verdicts, [unit])

    def _one_by_one(self, connection: Connection, commands: list[Command[Any]]) -> _Written:
        """Still one transaction and one fsync, but a savepoint for each: the schema refuses the one that is wrong and no other."""
        verdicts: list[_Result | Exception] = []
        units: list[Unit] = []
        for command in commands:
            unit = Unit(connection, self._statements, self._clock.now(), exclusive=self._store.exclusive)
            wants = Wants()
            command.prefetch(wants)
            try:
                with _deadlocks(), connection.begin_nested():
                    unit.prefetch(wants)
                    verdict = _verdict(unit, command)
                    self._finish(unit)
            except _Deadlock:
                raise
            except (DBAPIError, *UNFIT) as error:
                refused = translated(error)
                if not isinstance(refused, StoreConflict):
                    raise
                verdicts.append(refused)
            except Exception as error:
                log.exception("command_failed", command=type(command).__name__)
                verdicts.append(error)
            else:
                verdicts.append(verdict)
                units.append(unit)
        return _Written(verdicts, units)


def _fail(batch: Sequence[_Pending]) -> None:
    for pending in batch:
        if not pending.future.done():
            pending.future.set_exception(StoreUnavailable("the journal has stopped"))


@dataclass(frozen=True, slots=True)
class _Result:
    value: Any


@dataclass(frozen=True, slots=True)
class _Written:
    verdicts: Sequence[_Result | Exception]
    units: list[Unit]


class _Deadlock(Exception):  # noqa: N818 - internal signal to run the batch again
    pass


class _deadlocks:  # noqa: N801 - used as a block
    """Turns PostgreSQL's deadlock (40P01) and serialization (40001) failures into `_Deadlock`."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in ("40P01", "40001"):
            raise _Deadlock from error


def _verdict(unit: Unit, command: Command[Any]) -> _Result | Exception:
    try:
        return _Result(unit.run(command.apply))
    except (DBAPIError, *UNFIT):
        raise  # of the writing, perhaps of another command's rows
    except Exception as error:  # whatever a command raises is its own verdict, never its neighbours'
        return error
