"""Problems: every error the API answers, as RFC 9457 problem details. What leads to one is decided where it is raised."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from billing.ledger import InsufficientCredit
from billing.money import AmountError, CurrencyError, format_amount
from billing.tariff import TariffError
from gateway.administration import (
    AccountExistsError,
    AdministrationError,
    InvalidFieldError,
    NotFoundError,
    TopUpConflict,
)
from gateway.alert import AlreadyEnded
from gateway.api.wording import wrong_fields
from gateway.intake import IdempotencyConflict
from gateway.large_work import TooMuchUnderWayError
from gateway.lifecycle import AlertNotFound
from gateway.masking import masked_in
from gateway.reversals import RefundConflict, ReversalConflict
from gateway.store.errors import StoreConflict, StoreError
from gateway.submission import FieldError

MEDIA_TYPE: Final = "application/problem+json"
ERRORS_MAX: Final = 20  # wrong fields that one answer names: who corrects them sends it again anyway
LOOKED_AT_MAX: Final = 4 * ERRORS_MAX  # of pydantic's: a value that may have several forms has an error for each
LOC_CHARS_MAX: Final = 200  # a member's name comes from the sender and is quoted no longer than this
RETRY_AFTER_S: Final = 5  # what a caller is told to wait while the store is busy or full
CHALLENGE: Final = 'Bearer realm="tocsin"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of problem: what its `type` (``/problems/NAME``) stands for."""

    status: int
    title: str
    meaning: str


KINDS: Final[Mapping[str, Kind]] = {
    "invalid-json": Kind(status=400, title="Not JSON", meaning="The body is not JSON in UTF-8, or nested too deeply."),
    "invalid-header": Kind(status=400, title="Invalid header", meaning="`errors` names the header that is wrong."),
    "bad-request": Kind(status=400, title="Bad request", meaning="The request could not be read."),
    "unauthorized": Kind(status=401, title="Not authenticated", meaning="No key, an unknown one, or a revoked one."),
    "insufficient-credit": Kind(
        status=402,
        title="Insufficient credit",
        meaning="The account cannot pay; nothing was sent. `required` and `available` say what was missing.",
    ),
    "forbidden": Kind(
        status=403, title="Not allowed", meaning="The key's role does not allow this; `roles` are those that do."
    ),
    "not-found": Kind(status=404, title="Not found", meaning="There is no such thing, or it is another account's."),
    "method-not-allowed": Kind(status=405, title="Method not allowed", meaning="`Allow` names those that are."),
    "request-timeout": Kind(
        status=408,
        title="Too slow",
        meaning="The request, or its body, did not come in time; the connection is closed.",
    ),
    "idempotency-conflict": Kind(
        status=409, title="Idempotency key used before", meaning="The same key came before with another body."
    ),
    "alert-ended": Kind(
        status=409,
        title="Not in this status",
        meaning="The alert has ended, or somebody has it, or nobody has; `detail` says which.",
    ),
    "account-exists": Kind(status=409, title="The account exists", meaning="The id is another account's."),
    "top-up-conflict": Kind(
        status=409,
        title="Reference used before",
        meaning="The reference names a top-up of another amount, or one that was reversed.",
    ),
    "refund-conflict": Kind(
        status=409,
        title="Not refundable",
        meaning="The entry is no capture, or it was refunded before for another reason.",
    ),
    "reversal-conflict": Kind(
        status=409,
        title="Not reversible",
        meaning="The entry is no top-up, it was reversed before, or what it brought is spent.",
    ),
    "callback-not-parked": Kind(
        status=409, title="The callback is not parked", meaning="It was sent, or it is still tried."
    ),
    "conflict": Kind(status=409, title="Conflict", meaning="Somebody changed the same thing at the same time."),
    "too-large": Kind(status=413, title="Body too large", meaning="The settings bound the size of a request."),
    "target-too-long": Kind(status=414, title="Target too long", meaning="Path and query are beyond 64 KiB."),
    "unsupported-media-type": Kind(
        status=415, title="Unsupported media type", meaning="A body is sent as application/json."
    ),
    "invalid-request": Kind(
        status=422, title="Invalid request", meaning="`errors` names each field and what was expected of it."
    ),
    "head-too-large": Kind(
        status=431,
        title="Head too large",
        meaning="Request line and headers, or trailers and chunk extensions, are beyond 64 KiB or 200 fields.",
    ),
    "too-much-under-way": Kind(
        status=429,
        title="Too much under way",
        meaning="Large requests are bounded; `detail` names the bound. Nothing was taken: try again after `Retry-After`.",
    ),
    "internal-error": Kind(
        status=500, title="Internal error", meaning="A fault of the gateway's; the request id finds it in its log."
    ),
    "not-implemented": Kind(status=501, title="Unknown method", meaning="The method is none of HTTP's."),
    "unavailable": Kind(
        status=503, title="Not available now", meaning="Nothing was accepted; try again after `Retry-After`."
    ),
    "storage-full": Kind(
        status=503, title="Storage is full", meaning="Nothing new is accepted, so that receipts still have room."
    ),
    "not-ready": Kind(status=503, title="Not ready", meaning="`reasons` says what is wrong."),
    "version-not-supported": Kind(
        status=505, title="Unknown version of HTTP", meaning="HTTP/1.1 and HTTP/1.0 are spoken here."
    ),
}
"""Every kind there is; names are stable."""

_BY_STATUS: Final = {400: "bad-request", 401: "unauthorized", 403: "forbidden", 404: "not-found",
                     405: "method-not-allowed", 409: "conflict", 413: "too-large", 415: "unsupported-media-type",
                     422: "invalid-request", 503: "unavailable"}  # fmt: skip


class Problem(HTTPException):
    """An error with its answer: a kind, what happened this time, and the members that the kind has besides."""

    def __init__(
        self,
        name: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        self.kind = KINDS[name]
        self.body: dict[str, Any] = {
            "type": f"/problems/{name}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": detail,
            **members,
        }
        if errors:
            self.body["errors"] = list(errors)
        sent = dict(headers or {})
        if self.kind.status in (429, 503):
            sent.setdefault("Retry-After", str(RETRY_AFTER_S))
        elif self.kind.status == 401:
            sent.setdefault("WWW-Authenticate", CHALLENGE)
        super().__init__(self.kind.status, detail, sent)

    def response(self) -> Response:
        """The answer. Escaped to ASCII: a quoted name may hold what UTF-8 cannot (a lone surrogate)."""
        return Response(
            json.dumps(masked_in(self.body), separators=(",", ":")), self.status_code, self.headers, MEDIA_TYPE
        )


def wrong_field(field: str, code: str, detail: str) -> Problem:
    """422 for one field, named as ``recipients[3].addresses[0]``."""
    return Problem("invalid-request", f"{field}: {detail}", errors=[{"field": field, "code": code, "detail": detail}])


def not_found(what: str, name: str) -> Problem:
    """404; the same whether it does not exist or is another account's."""
    return Problem("not-found", f"there is no {what} {name}")


def _insufficient(error: InsufficientCredit) -> Problem:
    return Problem(
        "insufficient-credit",
        f"the account cannot pay for this: {error}",
        required=format_amount(error.required_micros),
        available=format_amount(error.available_micros),
    )


KNOWN_ERRORS: Final = (
    FieldError, InsufficientCredit, IdempotencyConflict, AlertNotFound, AlreadyEnded, StoreError, AdministrationError,
    AmountError, CurrencyError, TariffError, TooMuchUnderWayError,
)  # fmt: skip
"""Errors of the broker's that have an answer of their own."""


def problem_of(error: Exception) -> Problem | None:
    """The answer to an error of the broker's, or None where it is none of these: then it is a fault of ours."""
    match error:
        case Problem():
            return error
        case FieldError():
            return wrong_field(error.field, error.code, str(error))
        case InsufficientCredit():
            return _insufficient(error)
        case IdempotencyConflict():
            return Problem("idempotency-conflict", "this Idempotency-Key came before with another body")
        case TooMuchUnderWayError():
            return Problem("too-much-under-way", str(error))
        case AlertNotFound():
            return not_found("alert", str(error))
        case AlreadyEnded():
            return Problem("alert-ended", str(error))
        case AdministrationError() | AmountError() | CurrencyError() | TariffError():
            return _administrative(error)
        case StoreConflict():
            return Problem("conflict", "somebody changed the same thing at the same time; look again")
        case StoreError():
            return Problem("unavailable", "the store does not take anything at the moment")
        case HTTPException():
            return Problem(_BY_STATUS.get(error.status_code, "bad-request"), str(error.detail), headers=error.headers)
    return None


def _administrative(error: Exception) -> Problem:
    match error:
        case NotFoundError():
            return Problem("not-found", str(error))
        case AccountExistsError():
            return Problem("account-exists", str(error))
        case TopUpConflict():
            return Problem("top-up-conflict", str(error))
        case RefundConflict():
            return Problem("refund-conflict", str(error))
        case ReversalConflict():
            return Problem("reversal-conflict", str(error))
        case InvalidFieldError():
            return wrong_field(error.field, "invalid", str(error))
        case CurrencyError():
            return wrong_field("currency", "invalid", str(error))
        case TariffError():
            return wrong_field("price", "invalid", str(error))
    return wrong_field("amount", "invalid", str(error))


def invalid(
    errors: Iterable[Mapping[str, Any]], *, body: Any = None, model: Any = None, located: bool = False
) -> Problem:
    """What pydantic found, as one problem: 400 for what is not JSON, else 422 with each field, named as it is written in `body`.

    `model` is what the body was to be. `located` says that the places begin with where the value is (body, query, path), as
    FastAPI's do.
    """
    found = list(errors)
    for error in found:
        if error["type"] == "json_invalid":
            return Problem("invalid-json", str(error["msg"])[:LOC_CHARS_MAX])
    looked_at = found[:LOOKED_AT_MAX]
    elsewhere = [error for error in looked_at if located and error["loc"][:1] != ("body",)]
    of_body = [error for error in looked_at if not located or error["loc"][:1] == ("body",)]
    wrong = wrong_fields(_inside(error, located) for error in elsewhere)
    wrong += wrong_fields((_inside(error, located) for error in of_body), body, model)
    listed = [{"field": path_of(one.place), "code": one.code, "detail": one.detail} for one in wrong[:ERRORS_MAX]]
    first = listed[0]
    return Problem("invalid-request", f"{first['field'] or 'the body'}: {first['detail']}", errors=listed)


def _inside(error: Mapping[str, Any], located: bool) -> Mapping[str, Any]:
    return {**error, "loc": error["loc"][1:]} if located else error


def path_of(place: Sequence[object]) -> str:
    """``recipients[3].addresses[0]`` from the place that pydantic names; "" for the body as a whole."""
    path = ""
    for step in place:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else str(step)
    return path[:LOC_CHARS_MAX]
