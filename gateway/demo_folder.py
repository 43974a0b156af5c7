"""The folder of the demo: its settings file, its key, its ports. What happens in the demo is told in `gateway.demo`."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gateway import files

HOST = "127.0.0.1"
SETTINGS, DATABASE, KEY, LOG = "tocsin.toml", "tocsin.db", "key", "tocsin.log"
SMS_PROVIDER, MAIL_PROVIDER, PHONE_PROVIDER = "carrier", "mail", "pbx"
SENDER = "tocsin@example.org"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Where everything listens."""

    http: int
    smsc: int
    mail: int
    bounces: int
    sip: int
    phone: int

    @property
    def rtp(self) -> str:
        """A range for the sound of calls that the port for SIP is not in, wherever the system has put that."""
        first = 41_000 if 40_000 <= self.sip < 41_000 else 40_000
        return f"{first}-{first + 999}"


PREFERRED = Ports(http=8080, smsc=2775, mail=2525, bounces=2526, sip=5060, phone=5080)
"""The customary ones, so that a line that was pasted yesterday works today; a taken one is replaced by any free one."""


ONLY_DEMO = "\0tocsin-demo"
"""A name (unix(7), abstract: no file, gone with the process) that one demo of a machine has."""


def only_demo() -> socket.socket | None:
    """Held by one demo on this machine at a time, until it is closed; None for the others. Two that start at once would
    find the same ports free."""
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(ONLY_DEMO)
    except OSError:
        name.close()
        return None
    return name


def free_port(preferred: int | None, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """The preferred port (TCP, or UDP for `SOCK_DGRAM`) if nobody listens there, else one that the system chooses. Raises OSError."""
    for port in (preferred or 0, 0):
        with closing(socket.socket(socket.AF_INET, kind)) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                if port == 0:
                    raise
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise AssertionError("the loop returns or raises")


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoFolder:
    """What lies in the folder."""

    path: Path

    @property
    def settings(self) -> Path:
        """The settings file, written anew at every start."""
        return self.path / SETTINGS

    @property
    def database(self) -> Path:
        """The SQLite database, kept from run to run."""
        return self.path.absolute() / DATABASE

    @property
    def log(self) -> Path:
        """What the gateway writes about itself."""
        return self.path / LOG

    @property
    def store_url(self) -> str:
        """As store.url."""
        return f"sqlite:///{self.database}"

    def make(self) -> None:
        """The folder itself; version control looks away. Raises OSError."""
        files.make_folder(self.path)
        if self.database.is_symlink():
            raise files.UnsafeFileError(f"{self.database}: is a symbolic link, and none is followed here: remove it")
        files.write(self.path / ".gitignore", "*\n")

    def write_settings(self, ports: Ports) -> bool:
        """Writes the settings file; True where a former one, changed by hand, was set aside as ``tocsin.toml.yours``."""
        text = settings_text(self.store_url, ports)
        written = self.path / f".{SETTINGS}"
        changed = False
        if self.settings.is_file():
            changed = not written.is_file() or self.settings.read_bytes() != written.read_bytes()
            if changed:
                files.keep_own(self.settings.replace(self.path / f"{SETTINGS}.yours"))
        for path in (self.settings, written):
            files.write(path, text)
        return changed

    def key(self) -> str:
        """The key that a former run has left, or ""."""
        path = self.path / KEY
        try:
            return path.read_text().strip() if path.is_file() else ""
        except OSError:
            return ""

    def keep_key(self, key: str) -> None:
        """Keeps the key for the next run, for its owner only. Raises OSError."""
        files.write(self.path / KEY, f"{key}\n")


def settings_text(store_url: str, ports: Ports) -> str:
    """The settings file of the demo, with a word on everything in it."""
    return f"""\
# Written by `tocsin demo` at every start, for this demo alone: duty@example.org is nobody, and callbacks may name this machine.
# Settings of your own begin as deploy/tocsin.example.toml; all there is to set is in docs/reference/settings.md.

[store]                         # one file, and nothing else to install; or postgresql://USER:PASSWORD@HOST/DATABASE
url = "{store_url}"

[http]                          # the API
listen = "{HOST}:{ports.http}"

[[providers]]                   # SMS; of a carrier: its host, port, system_id and password
name = "{SMS_PROVIDER}"
channel = "sms"
kind = "smpp"
host = "{HOST}"            # here listens a simulator
port = {ports.smsc}
system_id = "demo"
password = "demo"               # better: {{env = "NAME"}} or {{file = "PATH"}}
source = "ALERT"                # what the phone shows as the sender

[[providers]]                   # e-mail; of your own: your mail server
name = "{MAIL_PROVIDER}"
channel = "email"
kind = "smtp"
host = "{HOST}"            # here listens a simulator
port = {ports.mail}
sender = "{SENDER}"
bounce_listen = "{HOST}:{ports.bounces}" # where the mail server's reports come back; without it there are none

[[providers]]                   # telephone; of your own: your SIP trunk or exchange
name = "{PHONE_PROVIDER}"
channel = "voice"
kind = "sip"
listen = "{HOST}:{ports.sip}"
host = "{HOST}"            # here ring simulated phones
port = {ports.phone}
rtp_ports = "{ports.rtp}"       # for the sound of the calls
caller_id = "+33100000000"      # the number shown

[[routes]]                      # who may be called
channel = "voice"
prefix = "+33"
providers = ["{PHONE_PROVIDER}"]

[[routes]]                      # who may be reached by SMS, and over which providers, in this order
channel = "sms"
prefix = "+33"
providers = ["{SMS_PROVIDER}"]

[callbacks]                     # callback_url may name this machine: for trying things out
allow_private = true

[last_resort]                   # who is told when an alert has reached nobody
recipients = ["email:duty@example.org"]
"""
