"""The settings of an SMTP provider: the keys that must work, and what is refused."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from channels.email.settings import SmtpSettings, parse_endpoint


def made(**keys: Any) -> SmtpSettings:
    return SmtpSettings(**({"name": "mail", "host": "127.0.0.1", "sender": "tocsin@example.org"} | keys))


def test_the_documented_example_is_taken() -> None:
    document = tomllib.loads(
        """
        name = "mail"
        channel = "email"
        kind = "smtp"
        host = "127.0.0.1"
        port = 25
        sender = "tocsin@example.org"
        """
    )
    settings = SmtpSettings.model_validate(document)
    assert (settings.tls, settings.connections, settings.dsn, settings.verp) == ("opportunistic", 4, True, False)
    assert settings.envelope_sender == "tocsin@example.org"
    assert not settings.receipts


def test_addresses_are_made_canonical_and_the_bounce_address_is_the_envelope_sender() -> None:
    settings = made(sender="Tocsin@EXAMPLE.org", bounce_address="b@Example.org", bounce_listen="127.0.0.1:2525")
    assert settings.sender == "Tocsin@example.org"
    assert settings.envelope_sender == "b@example.org"
    assert settings.receipts
    assert settings.bounce_endpoint == ("127.0.0.1", 2525)


def test_without_dsn_there_are_no_receipts() -> None:
    assert not made(bounce_listen="127.0.0.1:2525", dsn=False).receipts


def test_a_password_never_prints() -> None:
    settings = made(username="u", password="hunter2")
    with pytest.raises(ValidationError) as refused:
        made(username="u", password="hunter2", sender="nobody")
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"sender": "Tocsin <t@example.org>"}, "before the @"),
        ({"sender": "tocsin"}, "no @"),
        ({"host": ""}, "at least 1"),
        ({"host": "a b"}, "pattern"),
        ({"port": 0}, "greater than"),
        ({"port": 70000}, "less than"),
        ({"tls": "maybe"}, "opportunistic"),
        ({"colour": "red"}, "Extra"),
        ({"tls_ca": "/nowhere.pem"}, "file"),
        ({"connections": 0}, "greater than"),
        ({"username": "u"}, "together"),
        ({"password": "p"}, "together"),
        ({"host": "mail.example.org", "username": "u", "password": "p", "tls": "none"}, "in the clear"),
        ({"bounce_listen": "2525"}, "host:port"),
        ({"bounce_listen": "127.0.0.1:x"}, "host:port"),
        ({"bounce_listen": "127.0.0.1:99999"}, "host:port"),
        ({"bounce_peers": ["10.0.0.0/99"]}, "network"),
        ({"verp": True}, "bounce_listen"),
        ({"verp": True, "bounce_listen": "127.0.0.1:0", "bounce_address": "b" * 24 + "@example.org"}, "at most 23"),
        ({"max_message_bytes": 1}, "greater than"),
        ({"kind": "sendmail"}, "smtp"),
    ],
)
def test_what_does_not_fit_is_refused_with_words(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        made(**keys)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        made().port = 26  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.0.2.1", False), ("mail.example.org", False)],
)
def test_loopback_hosts(host: str, loopback: bool) -> None:
    assert made(host=host).on_loopback is loopback


def test_endpoints() -> None:
    assert parse_endpoint("[::1]:25") == ("::1", 25)
    assert parse_endpoint("mail.example.org:0") == ("mail.example.org", 0)
    for text in ("", ":", ":25", "host:", "host:-1", "host:²", "host:" + "9" * 5000):
        with pytest.raises(ValueError, match="host:port"):
            parse_endpoint(text)
