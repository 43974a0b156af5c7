"""Wrong settings files: each is refused, at the right line and key, saying what was expected."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway.settings import Settings
from gateway.settings_loading import load
from gateway.settings_problems import PATTERNS, SettingsError
from tests.gateway.settings_desk import CARRIER, KINDS, RULES, Desk

STORE = 'expected "sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST/DATABASE"'
QUEUE = 'expected "memory:", "redis://HOST:PORT/DATABASE" or "rediss://…" (TLS)'
LISTEN = 'expected "address:port" with a port from 0 to 65535 (0: any free one)'
SECRET = 'expected a secret: text, {env = "NAME"} or {file = "PATH"}'
VALUE = 'expected a value behind "=": text stands in quotation marks, true and false are small letters'
PREFIX = 'expected "+" and digits, or the digits of a short code'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_everything_wrong_is_said_at_once(desk: Desk) -> None:
    assert desk.problems(
        """\
[http]
listen = "127.0.0.1"
max_body_bytes = "10"
prot = 1
[[providers]]
name = "carrier-a"
channel = "sms"
kind = "smpp"
host = "127.0.0.1"
system_id = "user"
password = "pw"
port = 99999
pasword = "pw"
[[providers]]
name = "carrier-a"
channel = "sms"
kind = "smp"
[[routes]]
channel = "sms"
prefix = "+33"
providers = ["carrier-b"]
[delivery]
backoff_first_s = 400
"""
    ) == [
        f'tocsin.toml:2: http.listen: {LISTEN}, got "127.0.0.1"',
        'tocsin.toml:3: http.max_body_bytes: expected an integer from 1024 to 67108864, got "10"',
        "tocsin.toml:4: http.prot: unknown key, expected one of connections_max, idle_s, listen, max_body_bytes, public_url, wait_s",
        "tocsin.toml:12: providers[0].port: expected an integer from 1 to 65535, got 99999",
        'tocsin.toml:13: providers[0].pasword: unknown key, did you mean "password"?',
        "tocsin.toml:15: providers[1].name: providers[0] is called carrier-a already",
        'tocsin.toml:17: providers[1].kind: unknown kind of sms provider, did you mean "smpp"?',
        'tocsin.toml:21: routes[0].providers[0]: no provider is called "carrier-b", did you mean "carrier-a"?',
        "tocsin.toml:22: delivery: expected backoff_max_s to be at least backoff_first_s",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[stor]", '1: stor: unknown key, did you mean "store"?'),
        ("store = 1", "1: store: expected a table, got 1"),
        ("[[http]]", "1: http: expected a table, got a list of 1"),
        ("[providers]", "1: providers: expected a list of tables, written [[providers]]"),
        ("providers = [1]", "1: providers: expected a list of tables, written [[providers]]"),
        ("[store]\nurl = 'mysql://x'", f"2: store.url: {STORE}"),
        ("[store]\nurl = 'sqlite:///:memory:'", f"2: store.url: {STORE}"),
        ("[store]\nurl = 'postgresql://host'", f"2: store.url: {STORE}"),
        ("[queue]\nurl = 'memory'", f"2: queue.url: {QUEUE}"),
        ("[store]\nurl = 1", f"2: store.url: {SECRET}"),
        ("[http]\nlisten = ':80'", f'2: http.listen: {LISTEN}, got ":80"'),
        ("[http]\nlisten = 'a:65536'", f'2: http.listen: {LISTEN}, got "a:65536"'),
        (
            "[http]\npublic_url = 'https://u:pw@x'",
            "2: http.public_url: expected a URL with http:// or https://, a host and no user name",
        ),
        *(
            (f"[http]\npublic_url = 'https://{rest}'", f"2: http.public_url: expected a URL {told}")
            for rest, told in (
                ("x:abc", "with a port from 1 to 65535, and an IPv6 address in brackets"),
                ("x:65536", "with a port from 1 to 65535, and an IPv6 address in brackets"),
                ("[::1", "with a port from 1 to 65535, and an IPv6 address in brackets"),
                ("x:0", "with a port from 1 to 65535"),
                ("to csin.example", "without blanks and control characters"),
                ("x ", "without blanks and control characters"),
            )
        ),
        (
            "[http]\nmax_body_bytes = true",
            "2: http.max_body_bytes: expected an integer from 1024 to 67108864, got true",
        ),
        (
            "[http]\nmax_body_bytes = 2026-01-01",
            '2: http.max_body_bytes: expected an integer from 1024 to 67108864, got "2026-01-01"',
        ),
        ("[callbacks]\nresponse_s = nan", "2: callbacks.response_s: expected a number from 0.5 to 120, got NaN"),
        (
            "[callbacks]\nallowed_networks = ['10.0.0.1/8']",
            '2: callbacks.allowed_networks[0]: expected an IP network such as "10.1.0.0/16", got "10.0.0.1/8"',
        ),
        (
            "[callbacks]\nallowed_networks = [10]",
            '2: callbacks.allowed_networks[0]: expected an IP network such as "10.1.0.0/16", got 10',
        ),
        (
            "[destinations]\ncountries = ['FR', 'fr']",
            '2: destinations.countries[1]: expected an ISO 3166 country code such as "FR", got "fr"',
        ),
        (
            "[destinations]\ncountries = []",
            "2: destinations.countries: expected a list of at least 1 elements, each text, got a list of 0",
        ),
        (
            "[destinations]\nshort_codes = ['+33']",
            '2: destinations.short_codes[0]: expected a short code of digits, got "+33"',
        ),
        ("[log]\nlevel = 'loud'", '2: log.level: expected one of "debug", "info", "warning", "error", got "loud"'),
        (
            "[delivery.expires_after_s]\nhigh = 1",
            "2: delivery.expires_after_s.high: expected an integer from 10 to 2592000, got 1",
        ),
        (
            "[last_resort]\nrecipients = ['sms:+336']",
            '2: last_resort.recipients[0]: no provider serves the channel "sms"',
        ),
        (
            "[last_resort]\nrecipients = ['+336']",
            '2: last_resort.recipients[0]: expected an address such as "sms:+33612345678", got "+336"',
        ),
    ],
)
def test_each_refusal_names_line_key_and_expectation(desk: Desk, text: str, problem: str) -> None:
    assert desk.problems(text) == [f"tocsin.toml:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('name = "a b"', "8: routes[0].name: unknown key, expected one of channel, prefix, providers"),
        ('prefix = "33x"', f'8: routes[0].prefix: {PREFIX}, got "33x"'),
        ('prefix = "0033 6"', f'8: routes[0].prefix: {PREFIX}, got "0033 6"'),
        ('prefix = "+033"', '8: routes[0].prefix: expected a country\'s prefix, but no country code begins "+033"'),
        ('prefix = "+999"', '8: routes[0].prefix: expected a country\'s prefix, but no country code begins "+999"'),
        ("prefix = 33", "8: routes[0].prefix: expected text of at most 254 characters, got 33"),
        (
            '[[routes]]\nchannel="sms"\nproviders=["a"]',
            "8: routes[1].prefix: routes[0] has the channel sms and this prefix already",
        ),
        (
            '[[routes]]\nchannel="sms"\nprefix="+1"\nproviders=["a", "a"]',
            '11: routes[1].providers[1]: "a" is named twice',
        ),
        (
            '[[routes]]\nchannel="sms"\nprefix="+1"\nproviders=[]',
            "11: routes[1].providers: expected a list of 1 to 16 elements, each text, got a list of 0",
        ),
        (
            '[[routes]]\nchannel="email"\nproviders=["a"]',
            "10: routes[1].providers[0]: expected a provider of the channel email, a serves sms",
        ),
    ],
)
def test_routes_are_checked(desk: Desk, text: str, problem: str) -> None:
    providers = CARRIER.replace("[[providers]]\n", "[[providers]]\nport = 1\n").splitlines()
    inline = "providers = [{" + ", ".join(providers[1:]) + "}]\n"
    above = f'{inline}\n\n\n[[routes]]\nchannel = "sms"\nproviders = ["a"]\n'
    assert desk.problems(above + text) == [f"tocsin.toml:{problem}"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:abc/0", "redis://h:99999/0", "redis://h:0/0", "redis://h/x", "redis://h/-1", "redis://h/0?foo=bar",
        "redis://h/0?socket_timeout=x", "redis://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=yes",
        "redis://:hunter/2@h:6379/0", "redis://:hunter#2@h:6379/0", "redis://:hunter?2@h:6379/0", "redis://[::1/0",
        "postgresql://u:hunter2@h:abc/d", "postgresql://u:hunter2@h:99999/d", "postgresql://u:hunter2@h:0/d",
        "postgresql://u:hunter2@h/d?foo=bar", "postgresql://u:hunter2@h/d?sslmode=require", "postgresql://u:hunter2@h/d?ssl=yes",
        "sqlite:///x.db?mode=ro", "sqlite:///x.db?", "sqlite:///x?/y.db", "redis://h/0?decode_responses=yes", "redis://h/0?protocol=3",
        "redis://h/0?db=1", "redis://h/0?Protocol=3", "redis://h/0?max_connections=1", "redis://h/0?health_check_interval",
        "postgresql://u:hunter2@h/d?port=x", "postgresql://u:hunter2@h/d?target_session_attrs=first",
        "postgresql://u:hunter2@h/d?prepared_statement_cache_size=x", "postgresql://u:hunter2@[::1/d",
    ],
)  # fmt: skip
def test_a_url_that_its_driver_would_fall_over_is_refused_and_not_shown(desk: Desk, url: str) -> None:
    section = "store" if url.startswith(("postgresql", "sqlite")) else "queue"
    (said,) = desk.problems(f'[{section}]\nurl = "{url}"')
    assert said.startswith(f"tocsin.toml:2: {section}.url: expected ")
    assert "hunter" not in said


@pytest.mark.parametrize(
    "url",
    [
        "redis://h", "redis://h:6379", "redis://h/0", "redis://:hunter%2F2@h:6379/15", "rediss://u:p@h:6380/1?ssl_cert_reqs=none",
        "redis://[::1]:6379/0", "redis://h/0?socket_timeout=3", "postgresql://h/d", "postgresql://u:hunter%2F2@h:5433/d",
        "postgresql://u:p@[::1]:5432/d", "postgresql://u:p@h/d?ssl=require", "postgresql://u@h/d?host=/run/postgresql",
        "postgresql:///d?host=/run/postgresql", "postgresql://h/d?prepared_statement_cache_size=0",
    ],
)  # fmt: skip
def test_a_url_that_its_driver_reads_is_taken(desk: Desk, url: str) -> None:
    section = "store" if url.startswith("postgresql") else "queue"
    settings = desk.load(f'[{section}]\nurl = "{url}"')
    assert getattr(settings, section).url.get_secret_value() == url


def test_no_key_answers_with_a_regular_expression() -> None:
    found = set()
    models: list[type[BaseModel]] = [Settings, *KINDS.values()]
    for model in models:
        found |= set(re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(model.model_json_schema())))
    assert {json.loads(pattern) for pattern in found} <= set(PATTERNS)
    assert len(found) > 4


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("port = 0", "7: providers[0].port: expected an integer from 1 to 65535, got 0"),
        ("port = '1'", '7: providers[0].port: expected an integer from 1 to 65535, got "1"'),
        ("region = 'f'", '7: providers[0].region: expected two capital letters, such as "FR", got "f"'),
        ("keys = {a = 5}", f"7: providers[0].keys.a: {SECRET}"),
        ("keys.a = {env = 'NO'}", "7: providers[0].keys.a: the environment variable NO is not set"),
        ("keys.a = {env = 'EMPTY'}", "7: providers[0].keys.a: the environment variable EMPTY is empty"),
        ("keys.a = {env = 'X', file = 'y'}", f"7: providers[0].keys.a: {SECRET}"),
        ("keys.a = {env = 1}", f"7: providers[0].keys.a: {SECRET}"),
        ("host2 = {env = 'X'}", '7: providers[0].host2: unknown key, did you mean "host"?'),
    ],
)
def test_a_provider_s_own_keys_are_checked(desk: Desk, keys: str, problem: str) -> None:
    assert desk.problems(CARRIER + keys, EMPTY="") == [f"tocsin.toml:{problem}"]


def test_a_provider_without_its_keys_is_refused_at_its_table(desk: Desk) -> None:
    assert desk.problems(
        '[[providers]]\nname = "a"\nchannel = "sms"\nkind = "carrier"\n[[providers]]\nname = "b"\n'
    ) == [
        "tocsin.toml:1: providers[0].host: missing, expected text",
        f"tocsin.toml:1: providers[0].password: missing, {SECRET}",
        "tocsin.toml:5: providers[1].channel: missing, expected text",
        "tocsin.toml:5: providers[1].kind: missing, expected text",
    ]


def test_an_unknown_channel_is_named(desk: Desk) -> None:
    assert desk.problems('[[providers]]\nname = "a"\nchannel = "smss"\nkind = "carrier"') == [
        'tocsin.toml:3: providers[0].channel: unknown channel, did you mean "sms"?'
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a = ",
            f"tocsin.toml:1: a: not TOML: Invalid value; {VALUE}",
        ),
        (
            "[http]\n\nlisten = 1\nlisten = 2",
            "tocsin.toml:4: http.listen: not TOML: this key stands twice, in line 3 and here; expected it once",
        ),
        (
            "a = 1\nb = [1,",
            f"tocsin.toml:2: b: not TOML: Invalid value; {VALUE}",
        ),
        (b"a = 1\nb = '\xff'", "tocsin.toml:2: expected UTF-8 text: save the file as UTF-8"),
        ("a = " + "[" * 5_000, "tocsin.toml: not TOML: nested too deeply"),
        ("#" * (1024 * 1024 + 1), "tocsin.toml: expected at most 1048576 bytes"),
    ],
)
def test_text_that_is_no_toml_is_refused_with_its_line(desk: Desk, text: str | bytes, problem: str) -> None:
    assert desk.problems(text) == [problem]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml", KINDS)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_content_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    try:
        load(path, KINDS, {})
    except SettingsError as refusal:
        problems = refusal.problems
    else:
        return
    assert problems


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (
            '{addresses = ["sms:+338"]}',
            '{name = "Ann"}',
            (
                "11: rules[0].recipients[1].addresses: missing, expected a list of 1 to 20 elements, "
                "each text of at most 320 characters"
            ),
        ),
        ('{addresses = ["sms:+338"]}', "4", "11: rules[0].recipients[1]: expected text or a table, got 4"),
        (
            '{addresses = ["sms:+338"]}',
            '"fax:+336"',
            '11: rules[0].recipients[1]: no provider serves the channel "fax"',
        ),
        ('"sms:+337"', '"fax:+337"', '11: rules[0].recipients[2].addresses[1]: no provider serves the channel "fax"'),
        (
            '"sms:+339"',
            '"fax:+336"',
            '19: rules[0].steps[0].recipients[0]: no provider serves the channel "fax"',
        ),
        (
            ", quorum = 2",
            "",
            '13: rules[0].acknowledgement: expected quorum = N together with rule = "quorum", and only then',
        ),
        ('"critical|page"', '"("', '16: rules[0].match.severity.regex: expected a valid regular expression, got "("'),
        ('{regex = "critical|page"}', "{}", '16: rules[0].match.severity: expected a text or {regex = "…"}'),
        ('name = "rest"', 'name = "first"', '22: rules[1].name: rules[0] is called "first" already'),
        (
            '"emergency"',
            '"urgent"',
            '12: rules[0].priority: expected one of "emergency", "high", "normal", "bulk", got "urgent"',
        ),
        (
            "after_s = 300",
            "after_s = -1",
            "18: rules[0].steps[0].after_s: expected an integer from 0 to 604800, got -1",
        ),
    ],
)
def test_rules_are_checked(desk: Desk, before: str, after: str, problem: str) -> None:
    assert desk.problems(CARRIER + RULES.replace(before, after)) == [f"tocsin.toml:{problem}"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the file pw.txt cannot be read: No such file or directory"),
        (b"", "the file pw.txt is empty"),
        (b"\n", "the file pw.txt is empty"),
        (b"\xff", "the file pw.txt is not UTF-8 text"),
        (b"x" * 65_537, "the file pw.txt is larger than 65536 bytes"),
    ],
)
def test_a_secret_file_that_holds_no_secret_is_refused(desk: Desk, content: bytes | None, reason: str) -> None:
    if content is not None:
        (desk.folder / "pw.txt").write_bytes(content)
    text = CARRIER.replace('"hunter2"', '{file = "pw.txt"}')
    assert desk.problems(text) == [f"tocsin.toml:6: providers[0].password: {reason}"]


@pytest.mark.parametrize(
    "text",
    [
        "[store]\nurl = 'mysql://u:hunter2@h'",
        "[queue]\nurl = 'hunter2'",
        "[http]\npublic_url = 'https://u:hunter2@h'",
        CARRIER.replace('"hunter2"', "['hunter2']"),
        CARRIER.replace('"hunter2"', "{hunter2 = 1}"),
        CARRIER + "keys = 'hunter2'",
        CARRIER + "secret_token = 'hunter2'",
    ],
)
def test_refusals_print_no_secrets(desk: Desk, text: str) -> None:
    assert not any("hunter2" in problem for problem in desk.problems(text))
