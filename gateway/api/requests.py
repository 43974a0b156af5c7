"""The bodies that the routes of administration take, by name, for whoever does their work without a server: the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BaseModel, Field

from gateway.api.accounts import AccountChange, AccountIn, RefundIn, ReversalIn, TopUpIn
from gateway.api.alerts import ID_PATTERN
from gateway.api.keys import KeyIn
from gateway.api.tariffs import TariffIn

Id = Annotated[str, Field(pattern=ID_PATTERN)]


class OfAccount(BaseModel):
    """The path of a route of one account."""

    account_id: Id


class OfKey(BaseModel):
    """The path of a route of one key."""

    key_id: Id


MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "account": AccountIn,
    "account_change": AccountChange,
    "topup": TopUpIn,
    "refund": RefundIn,
    "reversal": ReversalIn,
    "key": KeyIn,
    "tariff": TariffIn,
    "of_account": OfAccount,
    "of_key": OfKey,
}
