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
        sending = list(self._sending())
        if len(sending) < 2:
            return sending[0] if sending else None
        return min(sending, key=lambda connection: (connection.is_silent(), connection.load))

    def on_lapse(self, connection: Connection) -> None:
        """Messages of this connection were not answered in time. It is left at once, and bound anew, where several of them lapsed in a
        row while another connection answered: it is not the centre that is slow."""
        since = connection.unanswered_since()
        if since is None or not connection.usable:
            return
        if any(other is not connection and other.answered_at > since for other in self._sending()):
            connection.give_up("answers nothing while other links do")

    def _sending(self) -> Iterator[Connection]:
        for link in self:
            connection = link.connection
            if connection is not None and link.sends and connection.usable:
                yield connection
