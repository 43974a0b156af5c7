"""A small client of the HTTP API for the command line and the demo. It shows nothing and decides nothing."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

RESPONSE_S = 60.0  # an alert to ten thousand people is taken within a second; a machine under load gets its time
ANSWER_BYTES_MAX = 64 * 1024 * 1024  # the longest page of the API is far below; more is another server
DETAIL_CHARS_MAX = 500
PAGE = 100  # of the at most 200 that the API gives

Json = dict[str, Any]


class UnreachableError(Exception):
    """Nobody answers at the URL, or what answers is no Tocsin."""


class ApiError(Exception):
    """The API refused the request: its status, and its problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        text = str(self.problem.get("detail") or self.problem.get("title") or f"refused with status {self.status}")
        told = [f"{field}: {detail}" if field else detail for field, detail in self.fields]
        return ("; ".join(told) or text)[: 4 * DETAIL_CHARS_MAX]  # the detail is the first of them

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The fields that are wrong, at most ten: the name of each, and what was expected."""
        errors = self.problem.get("errors")
        return [
            (str(error.get("field") or ""), str(error.get("detail") or error.get("code") or ""))
            for error in (errors[:10] if isinstance(errors, list) else [])
            if isinstance(error, Mapping)
        ]


class ApiClient:
    """Requests to one server with one key. Each request has a connection of its own; methods block."""

    def __init__(self, url: str, key: str = "", *, response_s: float = RESPONSE_S) -> None:
        """`url` as ``http://127.0.0.1:8080``. Raises ValueError for anything else than http and https."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"expected a URL such as http://127.0.0.1:8080, got {url}")
        self.url = url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        self._key = key
        self._response_s = response_s

    def get(self, *path: str, **query: str | int | None) -> Json:
        """The document at the path, each part of which is quoted. Raises ApiError, UnreachableError."""
        return self._request("GET", _target(path, query), None, {})

    def post(self, *path: str, body: Mapping[str, Any], idempotency_key: str = "", **query: str | None) -> Json:
        """What the API answers to the body. Raises ApiError, UnreachableError."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._request("POST", _target(path, query), json.dumps(body).encode(), headers)

    def put(self, *path: str, body: Mapping[str, Any]) -> Json:
        """What the API answers to the body. Raises ApiError, UnreachableError."""
        return self._request("PUT", _target(path, {}), json.dumps(body).encode(), {})

    def patch(self, *path: str, body: Mapping[str, Any]) -> Json:
        """What the API answers to the change. Raises ApiError, UnreachableError."""
        return self._request("PATCH", _target(path, {}), json.dumps(body).encode(), {})

    def delete(self, *path: str, **query: str | int | None) -> Json:
        """What the API answers; {} where it has nothing to say. Raises ApiError, UnreachableError."""
        return self._request("DELETE", _target(path, query), None, {})

    def pages(self, *path: str, limit: int, **query: str | int | None) -> Iterator[Json]:
        """The first `limit` elements of a list, page by page. Raises ApiError, UnreachableError."""
        cursor: str | None = None
        while limit > 0:
            found, cursor = self._page(path, limit, cursor, query)
            yield from found
            limit -= len(found)
            if cursor is None:
                return

    def listed(
        self, *path: str, limit: int, cursor: str | None = None, **query: str | int | None
    ) -> tuple[list[Json], str | None]:
        """The first `limit` elements of a list after the cursor, and the cursor after them: None at its end. Raises ApiError,
        UnreachableError."""
        found: list[Json] = []
        while True:
            page, cursor = self._page(path, limit - len(found), cursor, query)
            found += page
            if cursor is None or len(found) >= limit:
                return found, cursor

    def _page(
        self, path: tuple[str, ...], limit: int, cursor: str | None, query: Mapping[str, str | int | None]
    ) -> tuple[list[Json], str | None]:
        """At most `limit` elements after the cursor, and the next cursor."""
        page = self.get(*path, **query, cursor=cursor, limit=min(limit, PAGE))
        found = page.get("items", [])[:limit]
        return found, page.get("next_cursor") if found else None

    def answers(self) -> bool:
        """Whether somebody answers health questions at the URL."""
        try:
            self.get("health", "live")
        except ApiError:
            return True
        except UnreachableError:
            return False
        return True

    def _request(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Json:
        headers = {"Accept": "application/json", **headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._response_s)
        try:
            connection.request(method, self._base + target, body, headers)
            response = connection.getresponse()
            content = response.read(ANSWER_BYTES_MAX)
        except ssl.SSLError as error:
            raise UnreachableError(f"no TLS with {self.url}: {_why_no_tls(error)}") from error
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"nobody answers at {self.url}: {_why(error)}") from error
        finally:
            connection.close()
        return self._document(response.status, content)

    def _document(self, status: int, content: bytes) -> Json:
        try:
            document = json.loads(content) if content else {}
        except ValueError:
            document = None
        if status >= 300:
            raise ApiError(status, document if isinstance(document, dict) else {})
        if not isinstance(document, dict):
            raise UnreachableError(f"what answers at {self.url} is no Tocsin")
        return document


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return error.strerror or os.strerror(error.errno)  # a name that is not found has a number of its own
    return str(error) or type(error).__name__


def _why_no_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    return f"what answers there speaks another protocol, maybe http without s ({error.reason or error})"


def _target(path: tuple[str, ...], query: Mapping[str, str | int | None]) -> str:
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    return "/" + "/".join(quote(part, safe="") for part in path) + (f"?{asked}" if asked else "")
