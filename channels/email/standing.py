"""How the link to one mail server stands, from how its last connections fared. Nothing is connected here."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import structlog

from channels.outcome import LinkHealth, PermanentFailure, RetryLater

log = structlog.get_logger(__name__)

REFUSAL_LASTS_S = 60.0
"""A server that turns everybody away for so long has more than a restart or a full moment: an operator should look."""


class Standing:
    """What is known of the link. A server that refuses before any mail, for good or for long, is an alarm."""

    def __init__(self, provider: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._monotonic = monotonic
        self._last = LinkHealth(up=False, detail="not connected yet")
        self._refused_since: float | None = None

    @property
    def up(self) -> bool:
        """Whether the last connection served."""
        return self._last.up

    def health(self) -> LinkHealth:
        """As it stands now."""
        return dataclasses.replace(self._last, alarm=self._last.alarm or self._refusal_lasts())

    def succeeded(self, protection: str, *, dsn_offered: bool) -> None:
        """A connection is open and takes mail."""
        if not self._last.up:
            log.info("smtp_link_up", provider=self._provider, protection=protection)
        self._refused_since = None
        facts = {"protection": protection, "dsn": "offered" if dsn_offered else "not offered"}
        self._last = LinkHealth(up=True, facts=facts)

    def failed(self, outcome: RetryLater | PermanentFailure, *, refused: bool) -> None:
        """An attempt failed; `refused`: by a reply of the server. Only what concerns the link or our configuration shows in
        the health; a refused recipient does not."""
        reason = outcome.reason
        link_failed = isinstance(outcome, RetryLater) and (outcome.unreachable or outcome.maybe_sent)
        if not link_failed and not reason.alarm:
            return
        if link_failed:
            self._note_loss(f"{reason.code}: {reason.detail}", refused=refused)
        self._last = LinkHealth(
            up=not link_failed, detail=f"{reason.code}: {reason.detail}", alarm=reason.alarm, facts=self._last.facts
        )

    def _note_loss(self, detail: str, *, refused: bool) -> None:
        lasted = self._refusal_lasts()
        if not refused:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = self._monotonic()
        lasts = self._refusal_lasts()
        if self._last.up or self._last.detail != detail or lasts is not lasted:
            log.warning("smtp_link_down", provider=self._provider, detail=detail, lasts=lasts)

    def _refusal_lasts(self) -> bool:
        return self._refused_since is not None and self._monotonic() - self._refused_since >= REFUSAL_LASTS_S
