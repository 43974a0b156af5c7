"""The bounds and timers of one SMPP session. What happens when one is reached, the session says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Every bound of one session; times are seconds (the timers of section 7.2)."""

    window: int = 100
    """Most messages of ours that wait for their answer at once."""
    response_s: float = 30.0
    """How long one of them waits (response_timer)."""
    bind_s: float = 10.0
    """How long a bind, or the answer to one, may take (session_init_timer)."""
    enquire_link_s: float = 30.0
    """After this much silence of the peer an enquire_link is sent (enquire_link_timer)."""
    enquire_answer_s: float = 10.0
    """How long the peer may then stay silent before the link counts as lost."""
    drain_s: float = 10.0
    """How long `unbind` waits for outstanding answers, of both sides, before it says so to the peer."""
    unbind_answer_s: float = 3.0
    """How long the peer has to answer our unbind."""
    peer_drain_s: float = 3.0
    """How long the peer's unbind waits for outstanding answers: those under way take milliseconds, a resend is a duplicate."""
    inbound_max: int = 1000
    """From this many messages not yet answered by our owner, no more is read from the network."""
