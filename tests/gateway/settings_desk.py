"""A folder with a settings file to try, a provider kind that exists only here, and texts to start from; no tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from channels.email.settings import SmtpSettings
from channels.sms.settings import SmppSettings
from channels.voice.settings import SipSettings
from gateway.settings import Settings
from gateway.settings_loading import load
from gateway.settings_problems import SettingsError


class CarrierSettings(BaseModel):
    """The keys of a provider kind that exists only here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int = Field(default=2775, ge=1, le=65_535)
    password: SecretStr
    keys: dict[str, SecretStr] = {}
    region: str = Field(default="FR", pattern="^[A-Z]{2}$")


KINDS: Mapping[tuple[str, str], type[BaseModel]] = {
    ("sms", "carrier"): CarrierSettings,
    ("sms", "smpp"): SmppSettings,
    ("email", "smtp"): SmtpSettings,
    ("voice", "sip"): SipSettings,
}

CARRIER = """\
[[providers]]
name = "a"
channel = "sms"
kind = "carrier"
host = "127.0.0.1"
password = "hunter2"
"""

RULES = """
[[rules]]
name = "first"
account = "acme"
recipients = ["sms:+33612345678", {addresses = ["sms:+338"]}, {name = "Ann", addresses = ["sms:+336", "sms:+337"]}]
priority = "emergency"
acknowledgement = {rule = "quorum", quorum = 2}
[rules.match]
team = "database"
severity = {regex = "critical|page"}
[[rules.steps]]
after_s = 300
recipients = ["sms:+339"]
[[rules.steps]]
[[rules]]
name = "rest"
account = "acme"
recipients = ["sms:+33612345678"]
"""


class Desk:
    """A folder with a settings file in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "tocsin.toml"

    def load(self, text: str | bytes, **environ: str) -> Settings:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(self.path, KINDS, environ)

    def problems(self, text: str | bytes, **environ: str) -> list[str]:
        """The lines of the refusal, each without the folder."""
        with pytest.raises(SettingsError) as refusal:
            self.load(text, **environ)
        return str(refusal.value).replace(f"{self.folder}/", "").splitlines()
