"""A private postfix on a free loopback port, for tests over the real wire; the machine's own postfix is left alone."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.ports import free_port

MISSING = "install the Debian package postfix (apt-get install postfix): this test talks to a real mail server"
COMMAND_S = 30
"""Bound of one `postfix` command; a start takes one or two seconds on a busy machine."""

DOMAIN = "test.example"
DELIVERED = f"duty@{DOMAIN}"
"""Delivered into a maildir."""
UNKNOWN = f"nobody@{DOMAIN}"
"""Refused at RCPT with 550 5.1.1."""
GREYLISTED = f"busy@{DOMAIN}"
"""Refused at RCPT with 450 4.7.1."""
BOUNCING = f"gone@{DOMAIN}"
"""Accepted, and bounced later (5.1.1)."""
DEFERRED = f"slow@{DOMAIN}"
"""Accepted, and deferred; a delay is reported after a second or two."""
BOUNCE_DOMAIN = "bounces.example"
"""Mail to it goes to `bounce_port`."""

_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/spool
data_directory = {root}/data
command_directory = {commands}
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domain}
myorigin = {domain}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
alias_maps =
alias_database =
local_recipient_maps =
biff = no
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = texthash:{root}/etc/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
transport_maps = texthash:{root}/etc/transport
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access texthash:{root}/etc/access, permit_mynetworks, reject
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = none
smtp_tls_security_level = none
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
delay_warning_time = 1s
ipc_timeout = 30s
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
gone      unix  - n n - - pipe user=nobody argv=/bin/sh -c {{exit 67}}
slow      unix  - n n - - pipe user=nobody argv=/bin/sh -c {{exit 75}}
"""


class Postfix:
    """A running instance: `port` takes mail, `bounce_port` is where mail to BOUNCE_DOMAIN is taken."""

    def __init__(self, root: Path, port: int, bounce_port: int) -> None:
        self.root = root
        self.port = port
        self.bounce_port = bounce_port

    def delivered_mails(self, address: str = DELIVERED) -> list[bytes]:
        """The mails in the maildir of an address."""
        folder = self.root / "mail" / address.partition("@")[0] / "new"
        return [path.read_bytes() for path in sorted(folder.glob("*"))]

    def log(self) -> str:
        """What postfix logged."""
        path = self.root / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def running_postfix() -> Iterator[Postfix]:
    """A private instance with directories of its own, stopped at the end. AssertionError if postfix is missing."""
    postfix = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert postfix is not None, MISSING
    assert os.geteuid() == 0, "postfix can only be started by root: run this test as root"
    # Not under pytest's own temporary directory: only its owner may enter that, and the daemons run as their own user.
    root = Path(tempfile.mkdtemp(prefix="tocsin-postfix-"))
    try:
        root.chmod(0o755)
        peer = Postfix(root, free_port(), free_port())
        _write_configuration(peer, Path(postfix).parent)
        _run(postfix, peer, "start")
        try:
            _wait_until_listening(peer)
            yield peer
        finally:
            _run(postfix, peer, "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _write_configuration(peer: Postfix, commands: Path) -> None:
    root, nobody = peer.root, pwd.getpwnam("nobody")
    for name in ("etc", "spool", "data", "mail"):
        (root / name).mkdir()
    shutil.chown(root / "data", "postfix")
    shutil.chown(root / "mail", nobody.pw_uid, nobody.pw_gid)
    values = {
        "root": root,
        "domain": DOMAIN,
        "port": peer.port,
        "commands": commands,
        "daemons": "/usr/lib/postfix/sbin",
        "uid": nobody.pw_uid,
        "gid": nobody.pw_gid,
    }
    (root / "etc" / "main.cf").write_text(_MAIN.format(**values))
    (root / "etc" / "master.cf").write_text(_MASTER.format(**values))
    mailboxes = (DELIVERED, GREYLISTED, BOUNCING, DEFERRED)
    (root / "etc" / "mailboxes").write_text("".join(f"{name} {name.partition('@')[0]}/\n" for name in mailboxes))
    (root / "etc" / "access").write_text(f"{GREYLISTED} 450 4.7.1 Greylisted, come back later\n")
    (root / "etc" / "transport").write_text(
        f"{BOUNCING} gone:\n{DEFERRED} slow:\n{BOUNCE_DOMAIN} smtp:[127.0.0.1]:{peer.bounce_port}\n"
    )


def _run(postfix: str, peer: Postfix, command: str) -> None:
    done = subprocess.run(
        [postfix, "-c", str(peer.root / "etc"), command],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"postfix {command}: {done.stdout}{done.stderr}{peer.log()}"


def _wait_until_listening(peer: Postfix) -> None:
    deadline = time.monotonic() + COMMAND_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", peer.port), timeout=5) as connection:
                if connection.recv(4) == b"220 ":
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"postfix does not answer on port {peer.port}: {peer.log()}")
