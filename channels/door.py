"""The door of a listener: judges a connection before anything is made for it. What is said inside is said elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from channels.guests import Guests, Refusal

FAREWELL_S = 2.0
"""How long a connection that was told to go may take to get rid of its last word; then it is cut."""


class Door(asyncio.Protocol):
    """The protocol of a connection that nobody has judged yet. Whoever may come in gets the protocol that `let_in` makes, and takes
    a place until that one leaves; whoever may not gets the last word that there is for it, and takes none."""

    def __init__(
        self, guests: Guests, let_in: Callable[[], asyncio.Protocol], last_words: Mapping[Refusal, str] | None = None
    ) -> None:
        self._guests = guests
        self._let_in = let_in
        self._last_words = last_words or {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # no loop but asyncio's own promises this class
        address = stream.get_extra_info("peername")
        if address is None:  # it is gone again
            stream.abort()
            return
        peer, loop = str(address[0]), asyncio.get_running_loop()
        refusal = self._guests.judge(peer)
        if refusal is not None:
            self._guests.refused(peer, refusal, loop.time())
            say_goodbye(stream, self._last_words.get(refusal, ""), loop)
            return
        guest = self._let_in()
        self._guests.enter(guest, peer)
        stream.set_protocol(guest)
        guest.connection_made(stream)


def say_goodbye(transport: asyncio.WriteTransport, last_word: str, loop: asyncio.AbstractEventLoop) -> None:
    """Sends a last line, if there is one, and closes; the connection is cut where the other side does not take it."""
    if last_word:
        transport.write(f"{last_word}\r\n".encode("ascii"))
    transport.close()
    loop.call_later(FAREWELL_S, transport.abort)
