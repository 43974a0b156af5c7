"""A right settings file, and two hundred ways to get one thing in it wrong; no tests.

Each mistake changes the text of the file, or what lies beside it, and names the key at which it has to be told: "" where the file as a
whole is told of, None where both commands have to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.pins import hashed

RTP_PORTS = range(41_000, 41_400)
"""As the settings have them: no other port may lie within."""
PIN = hashed("1369", bytes(range(16)))
RIGHT = f"""\
[store]
url = "sqlite:///FOLDER/tocsin.db"
[queue]
url = "memory:"
[http]
listen = "127.0.0.1:0"
max_body_bytes = 1048576
public_url = "https://tocsin.example.org"
[[providers]]
name = "carrier"
channel = "sms"
kind = "smpp"
host = "127.0.0.1"
port = 1
system_id = "user"
password = {{env = "CARRIER_PASSWORD"}}
source = "ALERT"
default_region = "FR"
[[providers]]
name = "mail"
channel = "email"
kind = "smtp"
host = "127.0.0.1"
port = 1
sender = "tocsin@example.org"
[[providers]]
name = "pbx"
channel = "voice"
kind = "sip"
host = "127.0.0.1"
port = 1
listen = "127.0.0.1:0"
country = "FR"
rtp_ports = "41000-41399"
username = "tocsin"
password = {{file = "secret"}}
caller_id = "+33140000000"
options_s = 0
[[routes]]
channel = "sms"
prefix = "+33"
providers = ["carrier"]
[[routes]]
channel = "sms"
prefix = "36"
providers = ["carrier"]
[destinations]
countries = ["FR", "DE"]
short_codes = ["36180"]
[callbacks]
attempts_max = 12
allowed_networks = ["10.1.0.0/16"]
[delivery]
attempts_max = 5
backoff_first_s = 2
backoff_max_s = 300
[delivery.expires_after_s]
high = 3600
[alerts]
recipients_max = 50
[[rules]]
name = "database"
account = "acme"
priority = "high"
recipients = ["sms:+33612345678", {{name = "Ann", addresses = ["email:ann@example.org", "voice:+33612345679"]}}]
expires_after_s = 3600
acknowledgement = {{rule = "any", confirm_within_s = 600}}
[rules.match]
team = "database"
severity = {{regex = "critical|page"}}
[[rules.steps]]
[[rules.steps]]
after_s = 300
recipients = ["sms:36180"]
[[rules]]
name = "fire"
source = "phone"
account = "acme"
match = {{line = "fire"}}
recipients = ["voice:+33612345678"]
[last_resort]
recipients = ["email:duty@example.org"]
[[people]]
name = "Anna"
addresses = ["sms:+33612345670", "voice:+33612345670"]
number = "4711"
pin = "{PIN}"
[[people]]
name = "Bob"
addresses = ["sms:+33612345671"]
number = "4712"
[[lines]]
name = "fire"
number = "+33140000018"
kind = "alarm"
pin = "{PIN}"
text = "Fire"
[speech]
engine = "espeak"
[log]
level = "info"
"""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One thing wrong: `old` becomes `new` (the first `old` behind `after`), at the `key`; `status` is that of both commands."""

    old: str
    new: str
    key: str | None
    after: str = ""
    status: int = 3
    content: bytes | None = None
    """The whole file, where it is no text that was changed."""
    prepare: Callable[[Path], None] = lambda _: None

    def write(self, folder: Path) -> Path:
        """The settings file with the mistake, and what belongs to it, in the folder."""
        (folder / "secret").write_text("hunter2\n")
        (folder / "secret").chmod(0o600)
        self.prepare(folder)
        path = folder / "tocsin.toml"
        text = RIGHT
        if self.old:
            at = text.index(self.old, text.index(self.after))
            text = text[:at] + self.new + text[at + len(self.old) :]
        path.write_bytes(self.content if self.content is not None else text.replace("FOLDER", str(folder)).encode())
        path.chmod(0o600)
        return path

    @property
    def line(self) -> int:
        """The line at which the mistake begins."""
        return RIGHT[: RIGHT.index(self.old, RIGHT.index(self.after))].count("\n") + 1


def _at(table: str, n: int = 0) -> str:
    """What stands at the beginning of the nth table of the name."""
    at = -1
    for _ in range(n + 1):
        at = RIGHT.index(f"[[{table}]]", at + 1)
    return RIGHT[at:]


CARRIER, MAIL, PBX = (_at("providers", n) for n in range(3))
DATABASE, PHONE = (_at("rules", n) for n in range(2))


def _types() -> Iterator[Mistake]:
    """A value of another kind, or out of its bounds."""
    for key, line, values in (
        (
            "http.listen",
            'listen = "127.0.0.1:0"',
            ("5", '"127.0.0.1"', '":80"', '"127.0.0.1:65536"', '"127.0.0.1:http"', "true"),
        ),
        ("http.max_body_bytes", "max_body_bytes = 1048576", ('"1048576"', "1", "1.5", "-1", "true", "99999999999")),
        (
            "http.public_url",
            'public_url = "https://tocsin.example.org"',
            ('"tocsin"', '"ftp://x"', '"https://u:p@x"', "1"),
        ),
        ("providers[0].port", "port = 1", ("0", "65536", '"2775"', "1.0", "nan", "[1]")),
        ("providers[0].default_region", 'default_region = "FR"', ('"fr"', '"XX"', '"France"', "33")),
        ("providers[0].source", 'source = "ALERT"', ('"ALERTALERTALERT"', '"+33"', '"é"', "1")),
        ("callbacks.attempts_max", "attempts_max = 12", ("0", "101", '"12"')),
        (
            "callbacks.allowed_networks[0]",
            'allowed_networks = ["10.1.0.0/16"]',
            ('["10.1.0.1/16"]', '["here"]', "[10]"),
        ),
        ("delivery.backoff_first_s", "backoff_first_s = 2", ("0", "inf", '"2"', "{a = 1}")),
        ("delivery.expires_after_s.high", "high = 3600", ("1", "3000000", '"1h"')),
        ("alerts.recipients_max", "recipients_max = 50", ("0", "100001", "1979-05-27")),
        ("log.level", 'level = "info"', ('"loud"', "1", '"INFO"')),
        ("speech.engine", 'engine = "espeak"', ('"festival"', "true")),
        (
            "store.url",
            'url = "sqlite:///FOLDER/tocsin.db"',
            (
                '"mysql://x"',
                '"sqlite:///FOLDER/to\\u0000csin.db"',
                '"sqlite:///:memory:"',
                '"sqlite:///FOLDER/tocsin.db?mode=ro"',
                '"postgresql://host"',
                "1",
                '"tocsin.db"',
            ),
        ),
        ("queue.url", 'url = "memory:"', ('"memory"', '"redis:"', "1", '"amqp://x"', '"redis://127.0.0.1:abc/0"')),
        ("rules[0].priority", 'priority = "high"', ('"urgent"', "1")),
        ("rules[0].steps[1].after_s", "after_s = 300", ("-1", '"5 min"', "604801")),
        ("rules[0].match.severity.regex", 'severity = {regex = "critical|page"}', ('{regex = "("}', "{regex = 1}")),
        ("lines[0].number", 'number = "+33140000018"', ('"anna"', '""', "33")),
    ):
        name = line.partition(" = ")[0]
        for value in values:
            yield Mistake(old=line, new=f"{name} = {value}", key=key)
    for key, old, new, after in (
        ("providers[1].sender", 'sender = "tocsin@example.org"', 'sender = "tocsin"', MAIL),
        ("providers[2].rtp_ports", 'rtp_ports = "41000-41399"', 'rtp_ports = "41000"', PBX),
        ("providers[2].country", 'country = "FR"', 'country = "france"', PBX),
        ("providers[2].host", 'host = "127.0.0.1"', 'host = "a b"', PBX),
        ("providers[2].username", 'username = "tocsin"', 'username = "a@b"', PBX),
        ("people[0].number", 'number = "4711"', 'number = "47 11"', ""),
        ("people[0].pin", f'pin = "{PIN}"', 'pin = "1369"', "[[people]]"),
        ("lines[0].kind", 'kind = "alarm"', 'kind = "alert"', "[[lines]]"),
        ("rules[0].name", 'name = "database"', 'name = "data base"', DATABASE),
        ("rules[0].acknowledgement.rule", 'rule = "any"', 'rule = "some"', DATABASE),
    ):
        yield Mistake(old=old, new=new, key=key, after=after)


def _keys() -> Iterator[Mistake]:
    """A key or table that is missing, unknown or misspelt."""
    for key, old, new, after in (
        ("stor", "[store]", "[stor]", ""),
        ("htpp", "[http]", "[htpp]", ""),
        ("provider", '[[providers]]\nname = "mail"', '[[provider]]\nname = "mail"', ""),
        ("providers[0].pasword", "password = ", "pasword = ", CARRIER),
        ("providers[0].hots", "host = ", "hots = ", CARRIER),
        ("providers[1].sendr", "sender = ", "sendr = ", MAIL),
        ("providers[2].listn", "listen = ", "listn = ", PBX),
        ("providers[0].kind", 'kind = "smpp"', 'kind = "smp"', ""),
        ("providers[0].channel", 'channel = "sms"', 'channel = "text"', CARRIER),
        ("providers[0].name", 'name = "carrier"\n', "", ""),
        ("providers[1].host", 'host = "127.0.0.1"\n', "", MAIL),
        ("rules[0].acount", 'account = "acme"', 'acount = "acme"', DATABASE),
        ("rules[0].recipients", 'recipients = ["sms:+33612345678", {', 'recipient = ["sms:+33612345678", {', ""),
        ("routes[0].providers", 'providers = ["carrier"]\n', "", ""),
        ("people[0].name", 'name = "Anna"\n', "", ""),
        ("log.levels", "level = ", "levels = ", "[log]"),
        ("delivery.expires_after_s.hihg", "high = 3600", "hihg = 3600", ""),
        ("rules[0].steps[1].after", "after_s = 300", "after = 300", ""),
        ("providers[2].x", "[[routes]]\nchannel", "[providers.x]\n[[routes]]\nchannel", ""),
    ):
        yield Mistake(old=old, new=new, key=key, after=after)


def _addresses() -> Iterator[Mistake]:
    """An address that nobody could be reached at."""
    wrong = (
        "sms:112", "sms:+441632960000", "sms:+336", "sms:+33899123456", "sms:36190", "sms:anna", "voice:112", "voice:+33699",
        "voice:#31#15", "voice:sip:anna@elsewhere.example", "email:nobody", "email:a b@example.org", "pager:1", "sms:", "+33612345678",
        "voice:+4479112345678901", "sms:+881612345678",
    )  # fmt: skip
    for address in wrong:
        yield Mistake(old='"email:duty@example.org"', new=f'"{address}"', key="last_resort.recipients[0]")
    for address in wrong[:8]:
        yield Mistake(old='"sms:+33612345678"', new=f'"{address}"', key="rules[0].recipients[0]", after=DATABASE)
        yield Mistake(old='"sms:36180"', new=f'"{address}"', key="rules[0].steps[1].recipients[0]", after=DATABASE)
    for address in wrong[4:12]:
        yield Mistake(old='"sms:+33612345671"', new=f'"{address}"', key="people[1].addresses[0]")
    yield Mistake(old='"email:ann@example.org"', new='"email:ann"', key="rules[0].recipients[1].addresses[0]")
    yield Mistake(
        old='"sms:+33612345678"', new='"sms:0612345678"', key=None, after=DATABASE
    )  # its provider is in France
    yield Mistake(
        old='"sms:+33612345678"', new='"sms:+4915112345678"', key="rules[0].recipients[0]", after=DATABASE
    )  # no route


def _prefixes() -> Iterator[Mistake]:
    """A route that nothing takes."""
    for prefix in ("0033", "33", "+0", "+999", "+33 6", "+44", "*", "06", "+"):
        key = None if prefix == "+" else "routes[0].prefix"
        yield Mistake(old='prefix = "+33"', new=f'prefix = "{prefix}"', key=key)
    for prefix in ("37", "0", "+33"):
        yield Mistake(old='prefix = "36"', new=f'prefix = "{prefix}"', key="routes[1].prefix")
    yield Mistake(old='prefix = "36"', new="prefix = 36", key="routes[1].prefix")


def _references() -> Iterator[Mistake]:
    """A name that leads nowhere, or to two."""
    for key, old, new, after in (
        ("routes[0].providers[0]", '["carrier"]', '["carier"]', ""),
        ("routes[0].providers[0]", '["carrier"]', '["mail"]', ""),
        ("routes[0].providers[1]", '["carrier"]', '["carrier", "carrier"]', ""),
        ("providers[1].name", 'name = "mail"', 'name = "carrier"', ""),
        ("rules[1].name", 'name = "fire"', 'name = "database"', PHONE),
        ("lines[0].name", 'name = "fire"', 'name = "flood"', "[[lines]]"),
        ("lines[0].name", 'match = {line = "fire"}', 'match = {line = "fier"}', ""),
        ("lines[0].name", 'source = "phone"\n', "", PHONE),
        ("people[1].name", 'name = "Bob"', 'name = "Anna"', ""),
        ("people[1].number", 'number = "4712"', 'number = "4711"', ""),
        ("people[1].addresses[0]", '"sms:+33612345671"', '"sms:06 12 34 56 70"', ""),
        ("rules[0].steps[1].channels", "after_s = 300", 'after_s = 300\nchannels = ["voice"]', ""),
        ("rules[0].recipients[0]", "[[rules.steps]]\n[[rules.steps]]", "[[rules.steps]]", ""),
        ("rules[0].steps[1].after_s", "after_s = 300", "after_s = 3600", ""),
        ("rules[0].steps[1].repeat", "after_s = 300", "after_s = 300\nrepeat = 60\nevery_s = 600", ""),
        ("rules[0].acknowledgement.confirm_within_s", "confirm_within_s = 600", "confirm_within_s = 7200", ""),
        (
            "rules[0].steps",
            "after_s = 300",
            "after_s = 300\nrepeat = 100\nevery_s = 10\n" + "[[rules.steps]]\nrepeat = 100\nevery_s = 10\n" * 5,
            "",
        ),
        ("rules[0].recipients", "recipients_max = 50", "recipients_max = 1", ""),
        ("delivery", "backoff_first_s = 2", "backoff_first_s = 400", ""),
        ("rules[0].acknowledgement", 'rule = "any"', 'rule = "quorum"', ""),
    ):
        yield Mistake(old=old, new=new, key=key, after=after)
    yield Mistake(
        old='rule = "any"', new='rule = "quorum", quorum = 9', key=None
    )  # a warning: it waits for all there are
    yield Mistake(old='account = "acme"', new='account = "nobody"', key=None)  # only the store knows
    yield Mistake(old='name = "database"', new='name = "data-base"', key=None)


def _folder_named(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).mkdir()


def _file_named(name: str, content: bytes = b"no PEM", mode: int = 0o600) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        (folder / name).write_bytes(content)
        (folder / name).chmod(mode)

    return prepare


def _files() -> Iterator[Mistake]:
    """A file or folder that is not there, or of another kind."""
    tls = 'host = "127.0.0.1"\nport = 1\nsystem_id'
    for n, (name, prepare) in enumerate(
        (("absent.pem", lambda _: None), ("folder.pem", _folder_named("folder.pem")), ("text.pem", _file_named("text.pem")),
         ("empty.pem", _file_named("empty.pem", b"")))
    ):  # fmt: skip
        ca = f'tls_ca = "FOLDER/{name}"'
        yield Mistake(old=tls, new=f"tls = true\n{ca}\n{tls}", key="providers[0].tls_ca", prepare=prepare)
        yield Mistake(old='sender = "', new=f'{ca}\nsender = "', key="providers[1].tls_ca", prepare=prepare)
        new = f'transport = "tls"\n{ca}\ncountry = "FR"'
        yield Mistake(old='country = "FR"', new=new, key="providers[2].tls_ca", prepare=prepare)
        key = ("prompts", "flow", "prompts", "flow")[n]
        if not (key == "prompts" and name == "empty.pem"):
            new = f'{key} = "FOLDER/{name}"\ncountry = "FR"'
            yield Mistake(old='country = "FR"', new=new, key=f"providers[2].{key}", prepare=prepare)
    new = 'transport = "tls"\ntls_certificate = "FOLDER/c.pem"\ncountry = "FR"'
    yield Mistake(old='country = "FR"', new=new, key="providers[2].tls_key")
    for path in ("absent/tocsin.db", "secret/tocsin.db", "folder"):
        new = f'url = "sqlite:///FOLDER/{path}"'
        yield Mistake(
            old='url = "sqlite:///FOLDER/tocsin.db"', new=new, key="store.url", prepare=_folder_named("folder")
        )
    yield Mistake(
        old="[store]", new="[store]", key="store.url", prepare=_file_named("tocsin.db", b"not a database at all")
    )
    new = 'engine = "piper"\nvoices = {fr = "FOLDER/fr.onnx"}'
    yield Mistake(old='engine = "espeak"', new=new, key="speech.voices.fr")
    yield Mistake(old='engine = "espeak"', new='engine = "command"', key="speech.command")
    new = 'engine = "command"\ncommand = ["FOLDER/speak"]'
    yield Mistake(old='engine = "espeak"', new=new, key="speech.command")


def _secrets() -> Iterator[Mistake]:
    """A secret that is not where it is said to be."""
    for reference in ('{env = "NOT_SET"}', '{env = "EMPTY"}', '{file = "absent"}', '{file = "empty"}', '{file = "."}', "{}",
                      '{env = "A", file = "b"}', "{env = 1}", "1", '{file = "binary"}'):  # fmt: skip
        new = f"password = {reference}"

        def prepare(folder: Path) -> None:
            (folder / "empty").write_bytes(b"")
            (folder / "binary").write_bytes(b"\xff\xfe")

        yield Mistake(
            old='password = {env = "CARRIER_PASSWORD"}', new=new, key="providers[0].password", prepare=prepare
        )
        if reference != "1":
            yield Mistake(old='password = {file = "secret"}', new=new, key="providers[2].password", prepare=prepare)
    yield Mistake(old='url = "memory:"', new='url = {env = "NOT_SET"}', key="queue.url")
    yield Mistake(old='url = "sqlite:///FOLDER/tocsin.db"', new='url = {file = "absent"}', key="store.url")
    yield Mistake(old='password = {file = "secret"}', new='password = {file = "open"}', key=None,
                  prepare=_file_named("open", b"pw", 0o644))  # fmt: skip
    yield Mistake(old='username = "tocsin"\n', new="", key="providers[2].password")


def _ports(taken: int) -> Iterator[Mistake]:
    """A port that cannot be had. `taken` is one that somebody listens at, on TCP and UDP."""
    http = 'listen = "127.0.0.1:0"\nmax'
    yield Mistake(old=http, new=f'listen = "127.0.0.1:{taken}"\nmax', key="http.listen", status=1)
    yield Mistake(old=http, new=f'listen = "0.0.0.0:{taken}"\nmax', key="http.listen", status=1)
    yield Mistake(old=http, new='listen = "192.0.2.1:8080"\nmax', key="http.listen", status=1)
    yield Mistake(old=http, new='listen = "no-such-host.invalid:8080"\nmax', key="http.listen")
    yield Mistake(
        old='sender = "', new=f'bounce_listen = "127.0.0.1:{taken}"\nsender = "', key=None
    )  # it is tried again
    yield Mistake(
        old='listen = "127.0.0.1:0"\ncountry', new=f'listen = "127.0.0.1:{taken}"\ncountry', key=None
    )  # and so is this
    for ports, key in (
        ("41000-41001", "providers[2].rtp_ports"),
        ("41399-41000", "providers[2].rtp_ports"),
        ("80-1000", "providers[2].rtp_ports"),
        ("41001-41398", "providers[2].rtp_ports"),
    ):
        yield Mistake(old='rtp_ports = "41000-41399"', new=f'rtp_ports = "{ports}"', key=key)
    ours = PBX[: PBX.index("[[routes]]")].replace('"127.0.0.1:0"', '"127.0.0.1:5099"')
    yield Mistake(
        old=PBX[: PBX.index("[[routes]]")], new=ours.replace('"pbx"', '"spare"') + ours, key="providers[3].listen"
    )


def _texts() -> Iterator[Mistake]:
    """A file that is no TOML, or no text."""
    for key, old, new, after in (
        ("providers[0].host", 'host = "127.0.0.1"', "host = 127.0.0.1", CARRIER),
        ("providers[0].name", 'name = "carrier"', "name = carrier", ""),
        ("http.listen", 'listen = "127.0.0.1:0"\n', 'listen = "127.0.0.1:0"\nlisten = "127.0.0.1:0"\n', "[http]"),
        ("log", "[log]", "[log]\n[log]", ""),
        ("providers[0].kind", 'kind = "smpp"', 'kind = "smpp', ""),
        ("log.level", 'level = "info"', "level = True", ""),
        ("queue.url", 'url = "memory:"', "url: memory", ""),
        ("rules[0].account", 'account = "acme"', 'account = "C:\\new"', DATABASE),
    ):
        yield Mistake(old=old, new=new, key=key, after=after)
    text = RIGHT.encode()
    contents: tuple[tuple[bytes, str | None], ...] = (
        (b"", None),
        (b"\xef\xbb\xbf# nothing\n", None),
        (b"\xff\xfe[\x00h\x00", ""),
        (text.replace(b"Anna", b"Ann\xe9"), ""),
        (b"#" * (1024 * 1024 + 1), ""),
        (b"a = " + b"[" * 5_000, ""),
        (b"\x00", ""),
        (b"[[", ""),
        (b"[", ""),
    )
    for content, told in contents:
        yield Mistake(old="", new="", key=told, content=content)


def mistakes(taken: int) -> list[Mistake]:
    """All of them."""
    made = (_types(), _keys(), _addresses(), _prefixes(), _references(), _files(), _secrets(), _ports(taken), _texts())
    return [one for kind in made for one in kind]
