"""Who may do what: one table from role to permissions. How a key is recognised lives in `authentication`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gateway.administration import Key, Role
from gateway.local_access import LABEL


class Permission(StrEnum):
    """One thing that a key can be allowed to do. The value is what a refusal names."""

    SUBMIT = "submit alerts"
    READ_ALERTS = "read alerts and deliveries"
    ACKNOWLEDGE = "acknowledge alerts"
    END_ALERTS = "release, resolve and cancel alerts"
    READ_ACCOUNTS = "read accounts"
    READ_ENTRIES = "read the entries of accounts"
    CREATE_ACCOUNTS = "create and change accounts"
    MOVE_MONEY = "top up, reverse and refund"
    READ_CALLBACK_SECRET = "read the secret of callbacks"  # noqa: S105 - the name of a permission
    READ_TARIFFS = "read tariffs"
    SET_TARIFFS = "set tariffs"
    READ_KEYS = "read keys"
    GIVE_KEYS = "create and revoke keys of submitters and operators"
    GIVE_ANY_KEYS = "create and revoke keys of every role"
    READ_CALLBACKS = "read callbacks"
    RETRY_CALLBACKS = "retry callbacks"
    READ_INBOUND = "read inbound messages"
    READ_PROVIDERS = "read the health of providers"
    TEST_PROVIDERS = "test and probe providers"


P = Permission
_READ: Final = frozenset({
    P.READ_ALERTS, P.READ_ACCOUNTS, P.READ_ENTRIES, P.READ_TARIFFS, P.READ_CALLBACKS, P.READ_INBOUND, P.READ_PROVIDERS,
})  # fmt: skip

MATRIX: Final = MappingProxyType(
    {
        # Upstream calls off and resolves what it submitted, and sees what it can still spend: a 402 tells it anyway.
        Role.SUBMITTER: frozenset({P.SUBMIT, P.READ_ALERTS, P.ACKNOWLEDGE, P.END_ALERTS, P.READ_ACCOUNTS}),
        Role.OPERATOR: _READ | {P.ACKNOWLEDGE, P.END_ALERTS, P.RETRY_CALLBACKS},
        Role.ACCOUNT_ADMIN: frozenset({
            P.READ_ALERTS, P.READ_ACCOUNTS, P.READ_ENTRIES, P.READ_TARIFFS, P.READ_CALLBACKS, P.RETRY_CALLBACKS,
            P.READ_CALLBACK_SECRET, P.READ_KEYS, P.GIVE_KEYS,
        }),
        Role.ADMINISTRATOR: frozenset(Permission),
        Role.AUDITOR: _READ | {P.READ_KEYS},
    }
)  # fmt: skip
"""The whole of it. A key that is bound to an account has these for that account alone."""

INSTALLATION: Final = frozenset({P.CREATE_ACCOUNTS, P.SET_TARIFFS, P.READ_INBOUND, P.TEST_PROVIDERS})
"""What concerns every account at once: a key that is bound to one never may, whatever its role."""


def roles_that_may(permission: Permission) -> tuple[Role, ...]:
    """The roles that the table allows it."""
    return tuple(role for role in Role if permission in MATRIX[role])


GIVEN_BY_ACCOUNT_ADMINS: Final = frozenset({Role.SUBMITTER, Role.OPERATOR})
"""The roles of the keys that `GIVE_KEYS` is about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whoever sent a request, as its key tells. `account_id` is None for a key of the installation, which sees all. `sender` is who it
    is for the identity of a trouble: the key, or the command line, whose key is another one at every start."""

    key_id: str
    role: Role
    account_id: str | None
    sender: str = ""

    @classmethod
    def of(cls, key: Key) -> Caller:
        """The caller that holds the key."""
        local = key.account_id is None and key.label == LABEL
        return cls(key_id=key.id, role=key.role, account_id=key.account_id, sender=LABEL if local else key.id)

    def may(self, permission: Permission) -> bool:
        """Whether the table allows it."""
        if permission in INSTALLATION and self.account_id is not None:
            return False
        return permission in MATRIX[self.role]

    def sees(self, account_id: str) -> bool:
        """Whether the account is one that this key can know of at all."""
        return self.account_id is None or self.account_id == account_id
