"""Routes of API keys: made once, shown once, revoked for good."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from gateway import administration as admin
from gateway.administration import Key, Role
from gateway.api.alerts import ID_PATTERN, LINE_PATTERN, AccountFilter, Id
from gateway.api.context import ApiContext, forbidden
from gateway.api.documentation import documented
from gateway.api.json_bodies import JsonRoute
from gateway.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, id_at, page_of
from gateway.api.parameters import KNOWN
from gateway.api.problems import not_found, wrong_field
from gateway.api.roles import GIVEN_BY_ACCOUNT_ADMINS, Caller, Permission
from gateway.api.views import Time, View, time_of
from gateway.clock import rfc3339


class KeyIn(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role = Field(description="what it may do")
    account: str | None = Field(
        default=None,
        pattern=ID_PATTERN,
        description="the account it is bound to; by default that of the asking key",
        examples=["acme"],
    )
    label: str = Field(
        default="", max_length=200, pattern=LINE_PATTERN, description="what it is for", examples=["monitoring"]
    )


class KeyView(View):
    """A key, without its text. `account` is null for a key of the installation."""

    id: str = Field(description="the key; its text is not stored", examples=["key_06h2qfjfto8r9bh8fqhltqm7hk"])
    account: str | None = Field(
        description="the account it is bound to; null for a key of the installation", examples=["acme"]
    )
    role: Role = Field(description="what it may do")
    label: str = Field(description="what it is for", examples=["monitoring"])
    created_at: Time = Field(description="when it was made")
    revoked_at: Time | None = Field(description="since when it is refused; null while it works")


class CreatedKey(KeyView):
    """A new key, with its text: it is not stored and is never shown again."""

    key: str = Field(
        description="its text: keep it, it is never shown again", examples=["tok_this_is_an_example_and_no_key"]
    )


def _members(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "account": key.account_id,
        "role": key.role,
        "label": key.label,
        "created_at": rfc3339(key.created_at),
        "revoked_at": time_of(key.revoked_at),
    }


def key_view(key: Key) -> KeyView:
    """The key as shown."""
    return KeyView.model_validate(_members(key))


def router(api: ApiContext) -> APIRouter:
    """The routes under /v1/keys."""
    routes = APIRouter(tags=["keys"], route_class=JsonRoute, dependencies=[KNOWN])
    may_read_keys = Depends(api.requires(Permission.READ_KEYS))
    giver = Depends(api.requires(Permission.GIVE_KEYS))

    @routes.get("/v1/keys", responses=documented())
    async def list_keys(
        *,
        caller: Caller = may_read_keys,
        account: AccountFilter = None,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[KeyView]:
        """The keys that the asking key sees, in the order they were made, revoked ones too."""
        if account is not None and not caller.sees(account):
            raise not_found("account", account)
        after = id_at(cursor)
        return await page_of(
            api.store,
            lambda c, most: admin.list_keys(c, account_id=caller.account_id or account, cursor=after, limit=most),
            limit,
            lambda key: [key.id],
            key_view,
        )

    @routes.post("/v1/keys", status_code=201, responses=documented("not-found", body=True))
    async def create_key(*, caller: Caller = giver, body: KeyIn) -> CreatedKey:
        """A new key. An account admin gives keys of submitters and operators of its account."""
        _require_giving(caller, body.role)
        account_id = body.account if body.account is not None else caller.account_id
        if account_id is not None and not caller.sees(account_id):
            raise wrong_field("account", "unknown_account", "expected the account of the asking key")
        key, text = await api.store.write(
            lambda connection: admin.create_key(
                connection, api.clock.now(), account_id=account_id, role=body.role, label=body.label
            )
        )
        return CreatedKey.model_validate({**_members(key), "key": text})

    @routes.delete("/v1/keys/{key_id}", responses=documented("not-found"))
    async def revoke_key(*, caller: Caller = giver, key_id: Id) -> KeyView:
        """Revokes a key: here at once, on every other node within 5 s."""

        def revoke(connection: Connection) -> Key:
            key = admin.revoke_key(connection, api.clock.now(), key_id, account_id=caller.account_id)
            _require_giving(caller, key.role)  # raised inside, so that nothing is written
            return key

        key = await api.store.write(revoke)
        api.keys.forget(key.id)
        return key_view(key)

    return routes


def _require_giving(caller: Caller, role: Role) -> None:
    if not caller.may(Permission.GIVE_ANY_KEYS) and role not in GIVEN_BY_ACCOUNT_ADMINS:
        raise forbidden(caller, f"give or revoke keys of the role {role}", Permission.GIVE_ANY_KEYS)
