"""POST /v1/alerts, the hot path: plain ASGI from the bytes of the body to the answer after the commit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json
from starlette.responses import Response
from starlette.types import Receive, Scope

from gateway.alert_request import AlertRequest
from gateway.api.context import ApiContext, allowed
from gateway.api.idempotency import REPLAYED, header_of, idempotency_key
from gateway.api.parameters import pairs_of, require_known
from gateway.api.problems import Problem, invalid, path_of, wrong_field
from gateway.api.roles import Caller, Permission
from gateway.api.wording import as_written, place_of
from gateway.intake import IdempotencyKey, Taken
from gateway.large_work import LARGE, LARGE_BYTES, urgent
from gateway.submission import FieldError, Submission, Trouble

ROUTE: Final = "POST /v1/alerts"
EMERGENCY: Final = b'"emergency"'
"""In the bytes of a body: it is looked for before anything is parsed."""
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
        asked = _Asked(body, caller, account_id, scope)
        if EMERGENCY not in body:
            return await self._answer(asked)
        with urgent:  # it may only speak of one; then it stands before large work too
            return await self._answer(asked)

    async def _answer(self, asked: _Asked) -> Response:
        if len(asked.body) >= LARGE_BYTES:
            return await self._large(asked, None)
        request = _read(asked.body)
        if request.tries > LARGE:
            return await self._large(asked, request)
        submission = self._prepare(request, asked)
        if request.dry_run:
            return _foreseen(self._api.submissions.dry_run(submission))
        return _taken(await self._api.accept(submission, idempotency=_idempotency(asked)))

    async def _large(self, asked: _Asked, request: AlertRequest | None) -> Response:
        """As `_answer`, piece by piece beside the loop. It is under way until its last delivery is written."""
        large, submissions = self._api.broker.large, self._api.submissions
        emergency = EMERGENCY in asked.body
        leave = large.admit(asked.caller.key_id, urgently=emergency)
        writing = None
        try:
            found = await large.do(lambda: request or _read(asked.body), urgently=emergency)
            emergency = found.priority == "emergency" and not found.dry_run
            submission = await large.do(lambda: self._prepare(found, asked), urgently=emergency)
            if found.dry_run:
                return _foreseen(await large.do(lambda: submissions.dry_run(submission)))
            key = await large.do(lambda: _idempotency(asked), urgently=emergency)
            taken = await self._api.accept(submission, idempotency=key)
            writing = self._api.broker.escalator.writing(taken.alert_id)
            return _taken(taken)
        finally:
            if writing is None:
                leave()
            else:
                writing.add_done_callback(lambda _: leave())

    def _prepare(self, request: AlertRequest, asked: _Asked) -> Submission:
        caller = asked.caller
        try:
            return self._api.submissions.prepare(
                request, account_id=asked.account_id, key_id=caller.key_id, trouble=Trouble(sender=caller.sender)
            )
        except FieldError as error:
            field = path_of(as_written(place_of(error.field), _written(asked.body), missing=True))
            raise wrong_field(field or error.field, error.code, str(error)) from error


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it came: its body, and who pays for it."""

    body: bytes
    caller: Caller
    account_id: str
    scope: Scope


def _read(body: bytes) -> AlertRequest:
    try:
        return AlertRequest.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise invalid(found, body=_written(body), model=AlertRequest) from error


def _idempotency(asked: _Asked) -> IdempotencyKey | None:
    return idempotency_key(asked.scope["headers"], account_id=asked.account_id, route=ROUTE, body=asked.body)


def _taken(taken: Taken) -> Response:
    return Response(taken.answer, 202, REPLAYED if taken.replayed else None, JSON)


def _foreseen(document: dict[str, Any]) -> Response:
    return Response(json.dumps(document, ensure_ascii=False), media_type=JSON)


def _written(body: bytes) -> Any:
    """The body as its sender wrote it, to name places in it; None where it cannot be read."""
    try:
        return from_json(body)
    except ValueError:
        return None


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
