"""What can be wrong in an SMPP conversation, told apart by whose fault it is. No handling lives here."""

from __future__ import annotations


class ProtocolError(Exception):
    """Somebody broke SMPP 3.4."""


class LocalProtocolError(ProtocolError):
    """Our own code asked for something the protocol does not allow now; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow. Caught inside the session, never seen outside it."""


class OutOfStepError(RemoteProtocolError):
    """The length of a PDU cannot be right, so that nothing after it can be found: the stream must be closed."""


class UnknownCommandError(RemoteProtocolError):
    """The command_id is none that this implementation speaks; answered by generic_nack (section 4.3)."""


class MalformedBodyError(RemoteProtocolError):
    """The header is good and the body is not; `status` is the command_status to answer with (section 5.1.3)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
