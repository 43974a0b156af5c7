"""The links of one provider together: which of them takes the next message, and which does not do its work."""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from channels.sms.smpp.connection import Connection
from channels.sms.smpp.link import Link

log = structlog.get_logger(__name__)


class Links(list[Link]):
    """All links of a provider."""

    def freest(self) -> Connection | None:
        """The connection with the least to do, of those that answer what they are given if there are any."""
        if len(self) == 1:
            return _taking(self[0])
        return min(self._sending(), key=lambda connection: (connection.is_silent(), connection.load), default=None)

    def on_lapse(self, connection: Connection) -> None:
        """Messages of this connection were not answered in time. It is left at once, and bound anew, where several of them lapsed in a
        row while another connection answered: it is not the centre that is slow."""
        since = connection.unanswered_since()
        if since is None or not connection.usable:
            return
        if any(other is not connection and other.answered_at > since for other in self._sending()):
            connection.give_up("answers nothing while other links do")

    def _sending(self) -> Iterator[Connection]:
        return filter(None, map(_taking, self))


def _taking(link: Link) -> Connection | None:
    """The connection of the link, where it takes messages."""
    connection = link.connection
    return connection if connection is not None and link.sends and connection.usable else None
