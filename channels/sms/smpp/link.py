"""One link to an SMSC that is kept up: connects, binds, waits, connects again. What is sent is decided elsewhere."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable

import structlog

from channels.plainly import endpoint, plainly
from channels.sms.settings import SmppSettings
from channels.sms.smpp.connection import BindRefusedError, Connection, OnInbound
from channels.sms.smpp.events import CloseCause
from channels.sms.smpp.pace import Pace
from channels.sms.smpp.pdu import BindMode
from channels.sms.smpp.reconnect import SETTLED_S, Reconnect, is_alarm
from channels.sms.smpp.status import classify

log = structlog.get_logger(__name__)

_chance = random.SystemRandom()


class Link:
    """Keeps one session with the SMSC in one mode. `on_up` is called when it is bound, `on_lost` when that ended, `on_lapse` when
    messages were not answered in time."""

    def __init__(
        self,
        settings: SmppSettings,
        mode: BindMode,
        *,
        on_inbound: OnInbound,
        on_up: Callable[[], None],
        on_lost: Callable[[Connection], None],
        on_lapse: Callable[[Connection], None] | None = None,
    ) -> None:
        self.mode = mode
        self.pace = Pace(settings.rate_per_s / settings.binds if settings.rate_per_s else None)
        self.connection: Connection | None = None
        """The session that is bound now, or None."""
        self.detail = "not started"
        """Why there is none, for people."""
        self.alarm = False
        """An operator must look: trying again changes nothing."""
        self._settings = settings
        self._on_inbound = on_inbound
        self._on_up = on_up
        self._on_lost = on_lost
        self._on_lapse = on_lapse
        self._stopping = asyncio.Event()
        self._reconnect = Reconnect()

    @property
    def sends(self) -> bool:
        """Whether messages may go out over it."""
        return self.mode is not BindMode.RECEIVER

    @property
    def bound(self) -> bool:
        """Whether it has a session that is bound and not about to end."""
        return self.connection is not None and self.connection.usable

    async def keep(self) -> None:
        """Keeps the link up until `stop`; cancelled, it drops the connection without ceremony."""
        while not self._stopping.is_set():
            wait_s = await self._connect_and_stay()
            try:
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> bool:
        """Unbinds gracefully; `keep` then ends by itself. False when nothing is bound: `keep` can be cancelled."""
        self._stopping.set()
        if self.connection is None:
            return False
        self.connection.unbind()
        return True

    async def _connect_and_stay(self) -> float:
        """One connection from beginning to end. How long to wait before the next."""
        try:
            connection = await Connection.open(self._settings, self.mode, self.pace, self._on_inbound)
        except BindRefusedError as error:
            self._down(str(error), alarm=is_alarm(error.status), status=classify(error.status).name)
            return self._reconnect.after_bind_status(error.status, _chance.random())
        except ssl.SSLCertVerificationError as error:
            self._down(f"certificate refused: {error.verify_message}", alarm=True)
            return self._reconnect.after_refusal(_chance.random())
        except OSError as error:
            self._down(plainly(error, endpoint(self._settings.host, self._settings.port)), alarm=False)
            return self._reconnect.after_loss(_chance.random())
        self._up(connection)
        try:
            await self._stay(connection)
        finally:
            self.connection = None
            connection.give_up("link stopped")
            self._on_lost(connection)
        return self._reconnect.after_loss(_chance.random())

    async def _stay(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        bound_at = loop.time()
        closed = await asyncio.shield(connection.closed)
        if connection.took_messages or loop.time() - bound_at >= SETTLED_S:
            self._reconnect.worked()
        if closed.cause is CloseCause.UNBOUND:
            self.detail = "unbound"
            log.info("smpp_link_unbound", provider=self._settings.name, mode=self.mode.name.lower())
        else:
            self._down(f"{closed.cause.value} {closed.detail}".rstrip(), alarm=False)

    def _up(self, connection: Connection) -> None:
        self.connection = connection
        connection.on_lapse = self._on_lapse
        self.detail = ""
        self.alarm = False
        log.info("smpp_link_bound", provider=self._settings.name, mode=self.mode.name.lower())
        if self._stopping.is_set():
            connection.unbind()
        self._on_up()

    def _down(self, detail: str, *, alarm: bool, **more: str) -> None:
        self.detail = detail
        self.alarm = alarm
        provider, mode = self._settings.name, self.mode.name.lower()
        log.warning("smpp_link_lost", provider=provider, mode=mode, detail=detail, alarm=alarm, **more)
