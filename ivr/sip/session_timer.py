"""Session timers (RFC 4028): how long a call lives without a sign of life, and whose turn it is to give one. No clock here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ivr.sip.headers import Headers

MIN_SE_S = 90
"""The shortest interval that anybody may ask for (RFC 4028, 4)."""
INTERVAL_MAX_S = 86_400
"""Longer intervals are as good as none."""

Refresher = Literal["uac", "uas"]


@dataclass(slots=True)
class SessionTimer:
    """One call's interval. `ours` tells whether we refresh; 0 seconds means that there is no timer."""

    expires_s: int
    ours: bool = False
    min_se_s: int = MIN_SE_S

    def request_headers(self) -> list[tuple[str, str]]:
        """What an INVITE or UPDATE of ours says about the interval."""
        if not self.expires_s:
            return []
        return [("Session-Expires", str(self.expires_s)), ("Min-SE", str(self.min_se_s))]

    def lengthen(self, min_s: int | None) -> bool:
        """The other side answered 422: the interval it accepts at least. False where it makes no sense (RFC 4028, 7.4)."""
        if min_s is None or not self.min_se_s < min_s <= INTERVAL_MAX_S:
            return False
        self.min_se_s = min_s
        self.expires_s = max(self.expires_s, min_s)
        return True

    def answered(self, headers: Headers) -> None:
        """What the 2xx to our request says (RFC 4028, 7.2): no Session-Expires, no timer."""
        found = session_expires(headers)
        if found is None:
            self.expires_s, self.ours = 0, False
        else:
            self.expires_s, self.ours = found[0], found[1] != "uas"

    def refreshed(self, headers: Headers) -> None:
        """What the 2xx to a refresh of ours says; where it says nothing all stays as it was."""
        found = session_expires(headers)
        if found is not None:
            self.expires_s, self.ours = found[0], found[1] != "uas"

    def requested(self, headers: Headers) -> list[tuple[str, str]]:
        """Takes what a request asks for, and gives what its 2xx says (RFC 4028, 9). Who cannot refresh is not asked to."""
        found = session_expires(headers)
        if found is None:
            self.expires_s, self.ours = 0, False
            return []
        self.expires_s, supported = found[0], knows_timers(headers)
        refresher: Refresher = found[1] or ("uac" if supported else "uas")
        self.ours = refresher == "uas"
        value = ("Session-Expires", f"{self.expires_s};refresher={refresher}")
        return [value, ("Require", "timer")] if supported else [value]

    def refresh_s(self) -> float | None:
        """After how many seconds we refresh; None where it is not ours to do (RFC 4028, 7.2: half the interval)."""
        return self.expires_s / 2 if self.expires_s and self.ours else None

    def lapse_s(self) -> float | None:
        """After how many seconds without a refresh the call is over: shortly before the end where it is theirs to refresh,
        at the end where ours gets no answer (RFC 4028, 10). None where there is no timer."""
        if not self.expires_s:
            return None
        return self.expires_s if self.ours else max(self.expires_s - 32, self.expires_s * 2 / 3)


def session_expires(headers: Headers) -> tuple[int, Refresher | None] | None:
    """(seconds, refresher) of a Session-Expires header, within bounds; None where there is none that can be used."""
    seconds = _seconds(headers, "Session-Expires")
    if seconds is None:
        return None
    _, *params = (headers.get("Session-Expires") or "").split(";")
    refresher: Refresher | None = None
    for param in params:
        name, _, word = param.partition("=")
        if name.strip().lower() == "refresher":
            if word.strip().lower() == "uac":
                refresher = "uac"
            elif word.strip().lower() == "uas":
                refresher = "uas"
    return min(max(seconds, MIN_SE_S), INTERVAL_MAX_S), refresher


def too_short(headers: Headers) -> bool:
    """Whether a request asks for less than we accept, and can be told so by 422; who does not know session timers cannot: an
    element on its way has asked (RFC 4028, 9)."""
    seconds = _seconds(headers, "Session-Expires")
    return seconds is not None and seconds < MIN_SE_S and knows_timers(headers)


def knows_timers(headers: Headers) -> bool:
    """Whether the other side can do session timers."""
    return "timer" in {tag.lower() for tag in headers.elements("Supported")}


def min_se(headers: Headers) -> int | None:
    """The seconds of a Min-SE header."""
    return _seconds(headers, "Min-SE")


def _seconds(headers: Headers, name: str) -> int | None:
    value = (headers.get(name) or "").partition(";")[0].strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 10 else None
