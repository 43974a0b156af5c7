"""The settings file: what loads, what it means, that secrets stay secret, and that the reference tells all of it."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from channels.email.settings import SmtpSettings
from channels.sms.settings import SmppSettings
from channels.voice.settings import SipSettings
from gateway.destinations import check
from gateway.settings import Settings, default_settings
from gateway.settings_loading import examine
from gateway.settings_problems import SettingsError, expectation
from tests.gateway.settings_desk import CARRIER, KINDS, RULES, CarrierSettings, Desk

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

AS_ORDERED = """\
[store]
url = "sqlite:///tocsin.db"
[queue]
url = "memory:"
[http]
listen = "127.0.0.1:8080"
[[providers]]
name = "carrier-a"
channel = "sms"
kind = "smpp"
host = "127.0.0.1"
port = 2775
system_id = "user"
password = "pw"            # or {env = "NAME"} or {file = "PATH"}
source = "ALERT"
window = 100
[[providers]]
name = "mail"
channel = "email"
kind = "smtp"
host = "127.0.0.1"
port = 25
sender = "tocsin@example.org"
[[routes]]
channel = "sms"
prefix = "+33"
providers = ["carrier-a"]
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_ordered_example_loads_as_written(desk: Desk) -> None:
    settings = desk.load(AS_ORDERED)
    assert settings.store.url.get_secret_value() == "sqlite:///tocsin.db"
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    carrier, mail = settings.providers
    assert (carrier.name, carrier.channel, carrier.kind) == ("carrier-a", "sms", "smpp")
    assert isinstance(carrier.settings, SmppSettings)
    assert (carrier.settings.name, carrier.settings.window) == ("carrier-a", 100)
    assert carrier.settings.password.get_secret_value() == "pw"
    assert isinstance(mail.settings, SmtpSettings)
    assert settings.routing.providers_for("sms", "+33612345678") == ("carrier-a",)
    assert settings.routing.providers_for("sms", "+4915112345678") == ()
    assert settings.routing.providers_for("email", "ann@example.org") == ("mail",)


def test_an_empty_file_is_the_defaults(desk: Desk) -> None:
    assert desk.load("") == default_settings() == desk.load("# nothing\r\n")


TRUNK = """\
[[providers]]
name = "{name}"
channel = "voice"
kind = "sip"
host = "192.0.2.1"
listen = "127.0.0.1:{port}"
rtp_ports = "{rtp}"
caller_id = "+33100000000"
{more}
"""


def test_a_language_of_the_installation_is_that_of_calls_which_name_none(desk: Desk) -> None:
    trunks = TRUNK.format(name="a", port=5060, rtp="40000-41999", more="") + TRUNK.format(
        name="b", port=5062, rtp="42000-43999", more='language = "de"'
    )
    text = '[messages]\nlanguage = "fr"\ntime_zone = "Europe/Paris"\n'
    settings = desk.load(text + trunks)
    assert [one.settings.language for one in settings.providers if isinstance(one.settings, SipSettings)] == [
        "fr",
        "de",
    ]
    assert str(settings.messages.zone) == "Europe/Paris"
    assert [one.settings.language for one in desk.load(trunks).providers if isinstance(one.settings, SipSettings)] == [
        "en",
        "de",
    ]
    assert default_settings().messages.zone is UTC


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('time_zone = "Europe/Pari"', 'did you mean "Europe/Paris"?'),
        ('time_zone = "../etc/passwd"', "expected a time zone"),
        ('time_zone = ""', "expected a time zone"),
        ('time_zone = "Europe"', "expected a time zone"),
        ('time_zone = "a\\u0000b"', "expected text without U+0000"),
        ("time_zone = 1", "expected text"),
        ('language = "français"', "language"),
        ('language = "French"', 'expected a language by its code, such as "fr"'),
        ('language = "fr_FR"', 'expected a language by its code, such as "fr"'),
        ('language = "f"', 'expected a language by its code, such as "fr"'),
        ('language = "fr-"', 'expected a language by its code, such as "fr"'),
        ('time_zone = "posixrules"', "expected a time zone"),
        ('lang = "fr"', 'did you mean "language"?'),
    ],
)
def test_a_language_or_zone_that_is_none_is_refused_by_its_key(desk: Desk, line: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        desk.load(f"[messages]\n{line}\n" + TRUNK.format(name="a", port=5060, rtp="40000-41999", more=""))
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].key.startswith("messages.")
    assert told in str(refused.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        default_settings().http.listen = "0.0.0.0:80"  # type: ignore[misc]  # that it is refused is the test


# Secrets


def secret_of(settings: Settings) -> str:
    own = settings.providers[0].settings
    assert isinstance(own, CarrierSettings)
    return own.password.get_secret_value()


def test_a_secret_can_come_from_the_environment(desk: Desk) -> None:
    text = CARRIER.replace('"hunter2"', '{env = "CARRIER_PASSWORD"}') + "[store]\nurl = {env = 'DATABASE_URL'}\n"
    settings = desk.load(text, CARRIER_PASSWORD="from env", DATABASE_URL="postgresql://u:hunter2@h/d")
    assert secret_of(settings) == "from env"
    assert settings.store.url.get_secret_value() == "postgresql://u:hunter2@h/d"


@pytest.mark.parametrize(
    ("content", "secret"), [(b"pw", "pw"), (b"pw\n", "pw"), (b"pw\r\n", "pw"), (b" p w \n\n", " p w \n")]
)
def test_a_secret_can_come_from_a_file_beside_the_settings(desk: Desk, content: bytes, secret: str) -> None:
    (desk.folder / "pw.txt").write_bytes(content)
    assert secret_of(desk.load(CARRIER.replace('"hunter2"', '{file = "pw.txt"}'))) == secret


def test_secrets_never_print(desk: Desk) -> None:
    settings = desk.load(CARRIER + "keys.a = 'hunter2'\n[store]\nurl = 'postgresql://u:hunter2@h/d'\n")
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.providers[0].settings)):
        assert "hunter2" not in text


# What the sections mean


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [("[::1]:0", "::1", 0), ("0.0.0.0:80", "0.0.0.0", 80), ("localhost:65535", "localhost", 65_535)],
)
def test_listen_is_host_and_port(desk: Desk, listen: str, host: str, port: int) -> None:
    http = desk.load(f'[http]\nlisten = "{listen}"').http
    assert (http.host, http.port) == (host, port)


def test_networks_are_read(desk: Desk) -> None:
    callbacks = desk.load("[callbacks]\nallowed_networks = ['10.1.0.0/16', 'fd00::/8', '192.0.2.1']").callbacks
    assert [str(network) for network in callbacks.allowed_networks] == ["10.1.0.0/16", "fd00::/8", "192.0.2.1/32"]


@pytest.mark.parametrize(
    ("destinations", "routes", "sms", "voice"),
    [
        ("", "", None, None),
        ("", "+33", "country_not_allowed", None),  # the routes of sms say nothing about voice
        ("countries = ['GB']", "+44", None, None),
        ("countries = ['FR']", "", "country_not_allowed", "country_not_allowed"),
        ("short_codes = ['36179']", "36", "country_not_allowed", None),  # routes for short codes only
    ],
)
def test_the_countries_are_those_named_or_those_of_the_routes(
    desk: Desk, destinations: str, routes: str, sms: str | None, voice: str | None
) -> None:
    route = f'[[routes]]\nchannel = "sms"\nprefix = "{routes}"\nproviders = ["a"]\n' if routes else ""
    policies = desk.load(f"{CARRIER}{route}[destinations]\n{destinations}\n").destination_policies
    refusals = [check(channel, "+442079460000", policies[channel]) for channel in ("sms", "voice")]
    assert [refusal and refusal.code for refusal in refusals] == [sms, voice]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"team": "database", "severity": "page"}, ["first", "rest"]),
        ({"team": "database", "severity": "pages"}, ["rest"]),
        ({"team": "databases", "severity": "page"}, ["rest"]),
        ({}, ["rest"]),
    ],
)
def test_rules_match_labels(desk: Desk, labels: dict[str, str], names: list[str]) -> None:
    rules = desk.load(CARRIER + RULES).rules
    assert [rule.name for rule in rules if rule.matches("alertmanager", labels)] == names
    assert not rules[0].matches("elsewhere", {"team": "database", "severity": "page"})


def test_rules_say_whom_to_reach(desk: Desk) -> None:
    rule = desk.load(CARRIER + RULES).rules[0]
    assert [recipient.addresses for recipient in rule.recipients] == [
        ("sms:+33612345678",),
        ("sms:+338",),
        ("sms:+336", "sms:+337"),
    ]
    assert rule.recipients[1].addresses == ("sms:+338",)
    assert rule.steps[0].recipients[0].addresses == ("sms:+339",)


# The reference


LISTS = {"providers", "routes", "rules", "people", "lines"}
"""The keys that are lists of tables, written [[people]]."""


def documented_fields(model: type[BaseModel], prefix: str, seen: set[type[BaseModel]]) -> Iterator[tuple[str, Any]]:
    """Every key of the model and of the models in it, each model once, at the place where it is met first."""
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        key = f"{prefix}{name}"
        inner = [found for found in models_in(field.annotation) if found not in seen]
        if not isinstance(field.default, BaseModel):
            yield key, field
        for found in inner:
            seen.add(found)
            yield from documented_fields(found, f"{key}.", seen)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [] if annotation is BaseModel else [annotation]
    return [model for argument in typing.get_args(annotation) for model in models_in(argument)]


def test_the_reference_documents_every_key_with_its_default() -> None:
    rows = {
        cells[0].strip("`"): cells[1]
        for line in REFERENCE.read_text().splitlines()
        if line.startswith("| `") and len(cells := [cell.strip() for cell in line.strip("|").split(" | ")]) == 4
    }
    fields = dict(documented_fields(Settings, "", set()))
    tops = {key for key in fields if "." not in key}
    assert tops == LISTS
    expected = {}
    for key, field in fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        written = "required" if field.is_required() else "–" if default is None else f"`{json.dumps(default)}`"
        expected[key] = written
    assert rows == {key: default for key, default in expected.items() if key not in tops}


def test_every_key_says_what_it_expects() -> None:
    for key, field in documented_fields(Settings, "", set()):
        assert key in LISTS or field.description, key
        assert expectation(field.annotation, field.metadata) or key == "rules.match.regex", key


def test_the_file_in_the_reference_loads(desk: Desk) -> None:
    blocks = [block.partition("```")[0] for block in REFERENCE.read_text().split("```toml\n")[1:]]
    assert len(blocks) == 4
    settings = desk.load("\n".join(blocks), CARRIER_A_PASSWORD="pw")
    assert settings.speech.abbreviations == {"fr": {"ch. froide": "chambre froide"}}
    assert settings.rules[0].matches("alertmanager", {"team": "database", "severity": "page"})


def test_what_looks_as_if_something_were_put_in_for_it_is_warned_of(desk: Desk) -> None:
    desk.path.write_text(
        CARRIER.replace('"hunter2"', '"${CARRIER}"').replace("127.0.0.1", "$SMSC")
        + '[store]\nurl = "sqlite:///a${b}.db"\n'
    )
    told = [warning.partition("tocsin.toml:")[2] for warning in examine(desk.path, KINDS).warnings]
    assert told == [
        "5: providers[0].host: nothing is put in for $SMSC: it is taken as it is written",
        (
            "6: providers[0].password: nothing is put in for ${NAME}: it is taken as it is written; "
            'a whole text from the environment is {env = "NAME"}'
        ),
        (
            "8: store.url: nothing is put in for ${NAME}: it is taken as it is written; "
            'a whole text from the environment is {env = "NAME"}'
        ),
    ]
    desk.path.write_text(CARRIER.replace("hunter2", "pa$$word$"))
    assert examine(desk.path, KINDS).warnings == ()
