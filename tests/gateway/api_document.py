"""The OpenAPI document as the gateway makes it, without a gateway that runs."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from gateway.api.application import application

PUBLIC_URL = "https://tocsin.example.org/"


def document() -> dict[str, Any]:
    """The document of a gateway with this public address. Nothing of a broker is asked to make it."""
    broker = MagicMock()
    broker.settings.http.public_url = PUBLIC_URL
    broker.settings.store.url.get_secret_value.return_value = "postgresql://nobody"
    made: dict[str, Any] = application(broker)._inner.openapi()  # type: ignore[attr-defined]  # the boundary's inside
    return made


DOCUMENT = document()
