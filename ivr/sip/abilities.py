"""What our user agent can do, in the words of SIP headers."""

from __future__ import annotations

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "PRACK", "UPDATE")
ALLOW = ", ".join(METHODS)
OPTION_TAGS = ("100rel", "timer")
"""RFC 3262 and RFC 4028."""
SUPPORTED = ", ".join(OPTION_TAGS)
ACCEPT = (
    "application/sdp, multipart/mixed, multipart/alternative, application/dtmf-relay, application/dtmf, "
    "audio/telephone-event, application/vnd.nortelnetworks.digits"
)
