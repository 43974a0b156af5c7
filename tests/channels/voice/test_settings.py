"""The keys of a voice provider: defaults and bounds, what belongs together, files that are wrong, and their documentation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from channels.voice.files import FLOWS
from channels.voice.settings import SipSettings
from gateway.settings_loading import load
from gateway.settings_problems import SettingsError

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
HEAD = {"name", "channel", "kind"}
SECRETS = {"password": "hunter2-out", "inbound_password": "hunter2-in"}
ISSUE = """
[[providers]]
name = "pbx"
channel = "voice"
kind = "sip"
listen = "127.0.0.1:5060"
host = "127.0.0.1"
port = 5080
transport = "udp"
username = "tocsin"
caller_id = "+33100000000"
rtp_ports = "40000-40999"
max_calls = 100
"""


def made(**keys: Any) -> SipSettings:
    return SipSettings.model_validate({"name": "pbx", "host": "pbx.example", **keys})


def problem(**keys: Any) -> str:
    with pytest.raises(ValidationError) as refusal:
        made(**keys)
    return "; ".join(".".join(str(part) for part in one["loc"]) + ": " + one["msg"] for one in refusal.value.errors())


def from_file(folder: Path, text: str) -> SipSettings:
    path = folder / "tocsin.toml"
    path.write_text(text)
    (provider,) = load(path, {("voice", "sip"): SipSettings}, {}).providers
    assert isinstance(provider.settings, SipSettings)
    return provider.settings


def written(name: str) -> str:
    """The key as a file has it."""
    return SipSettings.model_fields[name].alias or name


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_example_of_the_issue(tmp_path: Path) -> None:
    ours = from_file(tmp_path, ISSUE)
    assert (ours.name, ours.listen_host, ours.listen_port) == ("pbx", "127.0.0.1", 5060)
    assert (ours.host, ours.port, ours.transport) == ("127.0.0.1", 5080, "udp")
    assert (ours.username, ours.caller_id) == ("tocsin", "+33100000000")
    assert (ours.rtp_port_range, ours.max_calls) == ((40_000, 40_999), 100)


def test_a_host_is_enough() -> None:
    ours = made()
    assert (ours.port, ours.listen, ours.transport, ours.register_, ours.identity) == (
        None, "0.0.0.0:5060", "udp", False, "from",
    )  # fmt: skip
    assert (ours.dial, ours.codecs, ours.srtp, ours.wait_for_beep) == ("+", ("PCMA", "PCMU"), "off", True)
    assert (ours.minutes_max, ours.rtp_port_range) == (5, (40_000, 40_999))
    assert ours.media_timeout_s == 60  # a phone that suppresses silence sends nothing while its owner listens


@pytest.mark.parametrize("key", ["host", "name"])
def test_what_is_required(key: str) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        SipSettings.model_validate({other: "pbx" for other in ("host", "name") if other != key})


@pytest.mark.parametrize("key", ["hots", "register_", "passwort", "tls"])
def test_unknown_keys_are_refused(key: str) -> None:
    assert "Extra inputs" in problem(**{key: "x"})


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    ours = made(username="u", inbound_username="i", **SECRETS)
    assert ours.password.get_secret_value() == SECRETS["password"]
    for secret in SECRETS.values():
        assert secret not in repr(ours)
        assert secret not in str(ours.model_dump())
        assert secret not in ours.model_dump_json()
    for keys in ({"port": 0}, {"listen": "x"}, {"username": ""}, {"dial": "0"}, {"inbound_username": ""}):
        wrong = {"username": "u", "inbound_username": "i", **SECRETS, **keys}
        with pytest.raises(ValidationError) as refusal:
            made(**wrong)
        assert "hunter2" not in str(refusal.value)
        lines = [f"{key} = {value!r}" for key, value in wrong.items()]
        with pytest.raises(SettingsError) as told:
            from_file(tmp_path, "\n".join([*ISSUE.splitlines()[:4], "kind = 'sip'", "host = 'x'", *lines]))
        assert "hunter2" not in str(told.value)


# --- bounds ----------------------------------------------------------------------------------------------------------

BOUNDS: dict[str, tuple[float, float]] = {
    "port": (1, 65_535), "register_s": (60, 86_400), "options_s": (0, 3_600), "media_timeout_s": (2, 300),
    "max_calls": (1, 5_000), "incoming_max": (0, 5_000), "calls_per_s": (0.1, 1_000), "ring_s": (5, 180),
    "first_response_s": (0.5, 32), "call_max_s": (10, 3_600), "words_per_minute": (80, 300),
}  # fmt: skip


@pytest.mark.parametrize("key", BOUNDS)
def test_numbers_have_bounds(key: str) -> None:
    first, last = BOUNDS[key]
    for value in (first, last):
        assert getattr(made(**{key: value, "rtp_ports": "10000-65535"}), key) == value
    for wrong in (first - 1, last + 1, -1, "x", float("nan"), float("inf")):
        assert problem(**{key: wrong, "rtp_ports": "10000-65535"}).startswith(f"{key}: "), wrong


LENGTHS = {
    "name": 64, "host": 253, "username": 128, "auth_username": 128, "domain": 253, "caller_id": 64, "caller_name": 64,
    "inbound_username": 128,
}  # fmt: skip

HOST = ".".join(["a" * 63] * 3 + ["a" * 61])


@pytest.mark.parametrize("key", LENGTHS)
def test_texts_have_bounds(key: str) -> None:
    more = {"inbound_password": "p"} if key == "inbound_username" else {}
    whole = HOST if LENGTHS[key] == len(HOST) else "a" * LENGTHS[key]
    assert made(**{key: whole, **more})
    assert problem(**{key: f"{whole}a", **more}).startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("listen", ["", "5060", ":5060", "[]:5060", "192.0.2.1", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:65536"]),
        ("listen", ["192.0.2.1:-1", "192.0.2.1:٥", "an address:5060", "pbx.example:5060", "::1:5060", "192.0.2:5060"]),
        ("options_s", [0.001, 0.999]),
        ("calls_per_s", [0, 0.0001, 0.099]),
        ("username", ["a b", "a@b", "<a", "a>", 'a"', "a\r\nX: y", "a%20", "a:b", "é", "a\x00", "a\n"]),
        ("auth_username", ["a\r\nX: y", "a\x00", "a\n", "a\x7f"]),
        ("inbound_username", ["a\r\nX: y", "a\x00"]),
        ("transport", ["", "UDP", "sctp", "ws"]),
        ("identity", ["", "From", "rpid"]),
        ("dial", ["", "000", "1"]),
        ("country", ["", "fr", "FRA", "33"]),
        ("srtp", ["", "optional", True]),
        ("codecs", [["PCMA", "PCMA"], [], ["opus"], ["PCMA", "PCMU", "PCMA"], "PCMA"]),
        ("caller_id", ["+", "++33", "+33 1", "é", "a@b", "+33;x", "4711\r\n"]),
        ("public_address", ["pbx.example", "192.0.2", "192.0.2.1:5060", "[2001:db8::1]", "0.0.0.0", "2001:db8::1"]),
        ("rtp_ports", ["", "40000", "40000-", "-40000", "a-b", "1023-2000", "40000-65536", "40001-40000", "40000-40000"]),
        ("language", ["", "e", "english", "fr_FR", "fr-", "12"]),
        ("name", [""]),
        ("host", ["", ".", "pbx.", ".pbx", "pbx..example", f"{'a' * 64}.example", "-pbx", "pbx-.example", "p b", "[pbx]"]),
        ("host", ["2001:db8::1::", "::1%eth0", "192.0.2.1:5060", "pbx.example:5060"]),
        ("domain", ["pbx..example", f"pbx.{'a' * 64}"]),
        ("register", ["maybe", 2]),
        ("wait_for_beep", ["maybe", 2]),
        ("tls_verify", ["maybe", 2]),
    ],
)  # fmt: skip
def test_forms(key: str, values: list[Any]) -> None:
    for value in values:
        assert problem(**{key: value}).startswith(key), value


@pytest.mark.parametrize(
    ("key", "wrong", "count"),
    [
        ("proxies", "host", 8),
        ("proxies", "192.0.2.1:0", 8),
        ("proxies", "pbx..example:5060", 8),
        ("proxies", "2001:db8::1:5060", 8),
        ("trusted", "10.0.0.1/8", 100),
        ("trusted", "pbx.example", 100),
        ("allowed_domains", "pbx..example", 100),
    ],
)
def test_lists_name_the_member_that_is_wrong(key: str, wrong: str, count: int) -> None:
    right = {"proxies": "192.0.2.1:5060", "trusted": "192.0.2.0/24", "allowed_domains": "pbx.example"}[key]
    assert len(getattr(made(**{key: [right] * count}), key)) == count
    assert problem(**{key: [right] * (count + 1)}).startswith(f"{key}: ")
    assert problem(**{key: [right, wrong]}).startswith(f"{key}.1: ")


def test_a_network_with_host_bits_is_told_as_it_should_be() -> None:
    assert 'expected "192.0.2.0/24", or an address alone: the host bits' in problem(trusted=["192.0.2.1/24"])
    assert 'expected "2001:db8::/32"' in problem(trusted=["2001:db8::1/32"])
    assert made(trusted=["192.0.2.1", "192.0.2.1/32", "2001:db8::1", "10.0.0.0/255.0.0.0"])


def test_what_a_name_and_an_address_may_be() -> None:
    for host in ("pbx", "sip.example.org", "_sip._udp.example", "192.0.2.1", "2001:db8::1", f"{'a' * 63}.example"):
        assert made(host=host, domain=host, allowed_domains=[host]).host == host
    assert made(host="[2001:db8::1]").host == "2001:db8::1"
    assert made(listen="[::1]:0", public_address="2001:db8::1", proxies=["[::1]:5060"]).listen_host == "::1"
    assert made(
        username="+33140000000", auth_username="anna@corp.example", inbound_username='the "desk"', inbound_password="p"
    )
    assert made(username="a&=+$,;?/-_.!~*'()1")
    assert (made(options_s=0).options_s, made(options_s=1).options_s) == (0, 1)


# --- what belongs together -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"register": True}, "register: register = true needs a username"),
        ({"password": "p"}, "password: a password needs a username"),
        ({"identity": "p-asserted"}, 'identity: identity = "p-asserted" needs the caller_id'),
        ({"dial": "0"}, 'dial: dial = "0" needs the country'),
        ({"transport": "tls", "tls_key": "key.pem"}, "tls_certificate: tls_certificate and tls_key go together"),
        ({"transport": "tls", "tls_certificate": "c.pem"}, "tls_key: tls_certificate and tls_key go together"),
        ({"tls_verify": False}, "tls_verify: the tls_ keys have a meaning only with"),
        ({"transport": "tcp", "tls_verify": False}, "tls_verify: the tls_ keys have a meaning only with"),
        ({"inbound_username": "i"}, "inbound_password: inbound_username and inbound_password go together"),
        ({"inbound_password": "p"}, "inbound_username: inbound_username and inbound_password go together"),
        ({"rtp_ports": "5000-6000"}, "rtp_ports: rtp_ports must not hold the port of listen"),
        ({"max_calls": 401, "incoming_max": 100}, "rtp_ports: expected at least 1002 ports"),
        ({"rtp_ports": "40000-40001", "max_calls": 1, "incoming_max": 1}, "rtp_ports: expected at least 4 ports"),
    ],
)
def test_keys_that_belong_together(keys: dict[str, Any], said: str) -> None:
    assert problem(**keys).startswith(said)


def test_everything_that_does_not_fit_together_is_told_at_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        from_file(tmp_path, f'{ISSUE}dial = "0"\n'.replace("max_calls = 100", "max_calls = 600"))
    found = [(one.key, one.line) for one in refusal.value.problems]
    assert found == [("providers[0].rtp_ports", 12), ("providers[0].dial", 14)]
    with pytest.raises(SettingsError) as refusal:
        from_file(tmp_path, ISSUE.replace("rtp_ports", "# ").replace("max_calls = 100", "max_calls = 600"))
    (problem,) = refusal.value.problems
    assert (problem.key, problem.line) == ("providers[0].rtp_ports", 2)  # it is not written down


@pytest.mark.parametrize(
    "keys",
    [
        {"register": True, "username": "u"},
        {"password": "p", "username": "u"},
        {"dial": "0", "country": "FR"},
        {"dial": "00"},
        {"identity": "p-asserted", "caller_id": "+33100000000"},
        {"transport": "tls", "tls_verify": False},
        {"inbound_username": "i", "inbound_password": "p"},
        {"max_calls": 400, "incoming_max": 100},
        {"rtp_ports": "40000-40001", "max_calls": 1, "incoming_max": 0},
    ],
)
def test_keys_that_go_together(keys: dict[str, Any]) -> None:
    assert made(**keys)


@pytest.mark.parametrize(("seconds", "minutes"), [(10, 1), (60, 1), (61, 2), (120, 2), (300, 5), (3_600, 60)])
def test_the_minutes_that_are_held(seconds: int, minutes: int) -> None:
    assert made(call_max_s=seconds).minutes_max == minutes


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"not toml", b"\xff\xfe", b'kind = "alert"', "folder"])
def test_a_flow_that_is_wrong_names_its_key(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "flow.toml"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert problem(flow=path).startswith("flow: ")


@pytest.mark.parametrize("name", ["alarm", "line"])
def test_a_flow_of_another_kind_is_refused(name: str) -> None:
    assert 'flow: Value error, kind: expected "alert"' in problem(flow=FLOWS / f"{name}.toml")
    assert made(flow=FLOWS / "alert.toml").flow == FLOWS / "alert.toml"


def test_prompts_that_are_wrong_name_their_key(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    wav = tmp_path / "prompts" / "en" / "keys_alert.wav"
    wav.parent.mkdir(parents=True)
    wav.write_bytes(b"no sound")
    for path in (tmp_path / "none", file, tmp_path / "prompts"):
        found = problem(prompts=path)
        assert found.startswith("prompts: "), found
        assert str(path) in found


def test_tls_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for path in (tmp_path / "none.pem", text, tmp_path):
        assert str(path) in problem(transport="tls", tls_ca=path)
        assert str(path) in problem(transport="tls", tls_certificate=path, tls_key=path)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=pbx", "-days", "2",
             "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    right = {"tls_certificate": tmp_path / "a.pem", "tls_key": tmp_path / "a.key"}
    assert made(transport="tls", tls_ca=tmp_path / "b.pem", **right)
    assert "cannot use" in problem(transport="tls", tls_certificate=tmp_path / "a.pem", tls_key=tmp_path / "b.key")
    assert "only with transport" in problem(**right)


# --- the documentation -----------------------------------------------------------------------------------------------


def documented() -> dict[str, tuple[str, str]]:
    """key -> (its column of defaults, the other keys of its row)."""
    text = DOCS.read_text(encoding="utf-8")
    section = text.partition('**`channel = "voice"`, `kind = "sip"`**')[2].partition("\n## ")[0]
    found: dict[str, tuple[str, str]] = {}
    for row in re.findall(r"^\| (`.+)$", section, re.MULTILINE):
        names, default = row.split(" | ")[:2]
        keys = re.findall(r"`([a-z_]+)`", names)
        for key in keys:
            assert key not in found, key
            found[key] = (default, str(keys.index(key)))
    return found


def test_every_key_is_documented_and_no_other() -> None:
    assert set(documented()) == {written(name) for name in SipSettings.model_fields} - HEAD


NUMERIC = [
    "options_s", "media_timeout_s", "max_calls", "incoming_max", "calls_per_s", "ring_s", "first_response_s",
    "call_max_s", "words_per_minute",
]  # fmt: skip
TEXTS = ["listen", "transport", "identity", "dial", "rtp_ports", "srtp", "language"]
FLAGS = ["wait_for_beep"]


@pytest.mark.parametrize("key", [*NUMERIC, *TEXTS, *FLAGS])
def test_documented_defaults_are_the_defaults(key: str) -> None:
    said, default = documented()[key][0], SipSettings.model_fields[key].default
    if isinstance(default, bool):
        assert said.startswith(str(default).lower())
    elif isinstance(default, str):
        assert said.startswith(f"`{default}`")
    else:
        assert float(re.split(r"[,;]", said)[0]) == default


def test_documented_pairs() -> None:
    rows = documented()
    assert rows["register"][0] == rows["register_s"][0] == "false, and 300 from 60 to 86400"
    assert rows["tls_ca"][0] == rows["tls_verify"][0] == "the system's authorities, true"
    assert rows["host"][0] == "required"
    assert rows["codecs"][0] == '`["PCMA", "PCMU"]`'


@pytest.mark.parametrize("key", [key for key in NUMERIC if key in BOUNDS])
def test_documented_bounds_are_the_bounds(key: str) -> None:
    said = documented()[key][0]
    first, last = BOUNDS[key]
    assert f"to {last:g}" in said
    if "from" in said:
        assert f"from {first:g} to {last:g}" in said
