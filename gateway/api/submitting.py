"""POST /v1/alerts, the hot path: plain ASGI from the bytes of the body to the answer after the commit."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope

from gateway.alert_request import AlertRequest
from gateway.api.context import ApiContext, allowed
from gateway.api.idempotency import REPLAYED, header_of, idempotency_key
from gateway.api.parameters import pairs_of, require_known
from gateway.api.problems import Problem, invalid
from gateway.api.roles import Caller, Permission
from gateway.submission import Submission, Trouble

ROUTE: Final = "POST /v1/alerts"
LARGE_BYTES: Final = 64 * 1024
"""A body from here on is read and planned in a thread: a hundred thousand numbers take seconds, in which an emergency
must not wait."""
JSON: Final = "application/json"


class Submit:
    """The route, as one function of the ASGI scope."""

    def __init__(self, api: ApiContext) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive) -> Response:
        """202 with the stored answer, 200 for a dry run. Raises Problem and whatever `problem_of` knows."""
        api = self._api
        caller = allowed(scope, Permission.SUBMIT)
        header_of(scope["headers"])  # a wrong one is told before the body is read
        api.storage.require_room()
        account_id = await api.account_for(caller, _account(scope["query_string"]))
        body = await _body(receive)
        if len(body) < LARGE_BYTES:
            submission, dry = self._prepare(body, caller, account_id)
        else:
            submission, dry = await asyncio.to_thread(self._prepare, body, caller, account_id)
        if dry:
            foreseen = await asyncio.to_thread(api.submissions.dry_run, submission)
            return Response(json.dumps(foreseen, ensure_ascii=False), media_type=JSON)
        key = idempotency_key(scope["headers"], account_id=account_id, route=ROUTE, body=body)
        taken = await api.accept(submission, idempotency=key)
        return Response(taken.answer, 202, REPLAYED if taken.replayed else None, JSON)

    def _prepare(self, body: bytes, caller: Caller, account_id: str) -> tuple[Submission, bool]:
        try:
            request = AlertRequest.model_validate_json(body)
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_context=False, include_input=False)) from error
        submission = self._api.submissions.prepare(
            request, account_id=account_id, key_id=caller.key_id, trouble=Trouble(sender=caller.sender)
        )
        return submission, request.dry_run


async def _body(receive: Receive) -> bytes:
    """The whole body; the boundary has bounded it."""
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem("bad-request", "the sender left before the body was complete")
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _account(query: bytes) -> str | None:
    if not query:
        return None
    given = pairs_of(query)
    require_known(given, ("account",))
    return dict(given)["account"] or None
