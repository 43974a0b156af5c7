"""What every route has at hand: the broker, who is calling, and the one way to accept an alert. No route lives here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from gateway.administration import NotFoundError, stands
from gateway.api.authentication import KeyRing
from gateway.api.problems import Problem, wrong_field
from gateway.api.roles import INSTALLATION, Caller, Permission, roles_that_may
from gateway.api.storage import Storage
from gateway.backlog import Backlog
from gateway.broker import Broker
from gateway.intake import IdempotencyKey, Shortfall, Taken
from gateway.store.errors import StoreConflict
from gateway.submission import Submission, Submissions

CALLER: Final = "tocsin.caller"  # where the boundary leaves the caller in the ASGI scope
ACCOUNTS_KNOWN_MAX: Final = 100_000  # ids remembered to exist: accounts are never removed


class ApiContext:
    """The broker, seen from the routes."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.settings = broker.settings
        self.store = broker.store
        self.journal = broker.journal
        self.clock = broker.clock
        self.submissions = Submissions(broker)
        self.keys = KeyRing(broker.store, broker.clock)
        self.backlog = Backlog(broker.store, broker.queue, broker.clock)
        self.storage = Storage(broker.settings.store.url.get_secret_value(), broker.clock)
        self._accounts: set[str] = set()

    def requires(self, permission: Permission) -> Callable[[Request], Caller]:
        """A dependency: the caller, if the key's role allows `permission`. Raises Problem (403)."""

        def caller(request: Request) -> Caller:
            return allowed(request.scope, permission)

        caller.permission = permission  # type: ignore[attr-defined]  # the documentation reads it
        return caller

    async def accept(
        self, submission: Submission, *, idempotency: IdempotencyKey | None = None, shortfall: Shortfall | None = None
    ) -> Taken:
        """Puts the alert on disk, if there is room. Raises Problem and what `Submissions.accept` raises."""
        self.storage.require_room()
        try:
            return await self.submissions.accept(submission, idempotency=idempotency, shortfall=shortfall)
        except StoreConflict:  # another process stored an answer under the same key meanwhile: now it is found
            return await self.submissions.accept(submission, idempotency=idempotency, shortfall=shortfall)

    async def account_for(self, caller: Caller, asked: str | None) -> str:
        """The account that an alert is for: the key's own, or for a key of the installation the one it asks for.

        Raises Problem (422) where it is missing, unknown or not the key's.
        """
        if caller.account_id is not None:
            if asked not in (None, caller.account_id):
                raise wrong_field("account", "unknown_account", "expected the account of the key, or nothing")
            return caller.account_id
        if asked is None:
            raise wrong_field("account", "missing", "expected ?account=ID with a key of the installation")
        if asked not in self._accounts:
            if "\x00" in asked:
                raise wrong_field(
                    "account", "unknown_account", "expected the id of an account, not one with U+0000 in it"
                )
            try:
                await self.store.read(lambda c: stands(c, asked))
            except NotFoundError as error:
                raise wrong_field("account", "unknown_account", str(error)) from error
            if len(self._accounts) < ACCOUNTS_KNOWN_MAX:
                self._accounts.add(asked)
        return asked


def allowed(scope: Scope, permission: Permission) -> Caller:
    """The caller whom the boundary found, if the table allows it. Raises Problem (403)."""
    caller: Caller = scope[CALLER]
    if not caller.may(permission):
        raise forbidden(caller, str(permission), permission)
    return caller


def forbidden(caller: Caller, what: str, needed: Permission) -> Problem:
    """403: what this key may not, and which roles may. `needed` is what they have and this one has not."""
    roles = roles_that_may(needed)
    may = f"{', '.join(roles[:-1])} and {roles[-1]} may" if len(roles) > 1 else f"{roles[0]} may"
    if needed in INSTALLATION and caller.account_id is not None:
        told = f"a key that is bound to an account ({caller.account_id}) may not {what}; of the keys of the installation {may}"
    else:
        told = f"a key of the role {caller.role} may not {what}; {may}"
    return Problem("forbidden", told, roles=[str(role) for role in roles])
