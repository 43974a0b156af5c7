"""The host of a provider: a name or an address and nothing else."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from channels.email.settings import SmtpSettings
from channels.hosts import host_alone
from channels.sms.settings import SmppSettings


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
        "smpp.orange.fr",
        "smpp.orange.fr.",
        "relay_1",
        "hôpital.fr",
        "a" * 63 + ".fr",
    ],
)
def test_a_name_or_an_address_is_taken(host: str) -> None:
    assert host_alone(host) == host


@pytest.mark.parametrize(
    "host",
    [
        "https://smpp.orange.fr", "smpp.orange.fr/x", "127.0.0.1:2775", "smpp.orange.fr:2775", "[::1]", "[::1]:25", " 127.0.0.1",
        "127.0.0.1 ", "smpp..orange.fr", ".fr", "a" * 64 + ".fr", "a,b", "user@host", "::g", ".",
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused_by_both_kinds(host: str) -> None:
    with pytest.raises(ValidationError, match="host"):
        SmppSettings.model_validate({"name": "a", "host": host, "system_id": "u", "password": "p"})
    with pytest.raises(ValidationError, match="host"):
        SmtpSettings.model_validate({"name": "a", "host": host, "sender": "a@example.org"})
    with pytest.raises(ValueError, match="expected the name or address of a host, without port, path or spaces, got"):
        host_alone(host)
