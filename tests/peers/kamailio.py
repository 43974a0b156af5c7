"""Kamailio as the proxy and registrar of a trunk, by UDP, TCP and TLS, with digest; its configuration is made here."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from tests.peers.ports import LOOPBACK, free_port, listens
from tests.peers.processes import ChildProcess, find_binary

Algorithm = Literal["MD5", "SHA-256"]
REALM = "trunk.example"
USERNAME, PASSWORD = "tocsin", "Gehe1m"

_GLOBAL = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=2
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=no
tcp_accept_no_cl=yes
tcp_connection_lifetime=3600
enable_tls={tls}
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
{tls_listen}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "nathelper.so"
loadmodule "jsonrpcs.so"
loadmodule "xhttp.so"
{tls_module}
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 10)
modparam("auth", "qop", "auth")
modparam("auth", "nonce_count", 1)
modparam("auth", "algorithm", "{algorithm}")
modparam("jsonrpcs", "transport", 1)
modparam("rr", "enable_full_lr", 0)
"""

_ROUTES = """
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    xlog("L_ERR", "took $rm of $proto:$si:$sp\\n");
    if (is_method("CANCEL")) {{
        if (t_check_trans()) route(RELAY);
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            {unalias}
            route(RELAY);
        }} else if (is_method("ACK")) {{
            if (t_check_trans()) t_relay();
        }} else {{
            sl_send_reply("404", "Not In A Dialog Of Ours");
        }}
        exit;
    }}
    t_check_trans();
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    {alias}
    if (is_method("REGISTER")) {{
        {authenticate_register}
        save("location");
        exit;
    }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    record_route();
    if ($rU == "{number}") {{
        $rU = "{username}";
        if (!lookup("location")) {{ sl_send_reply("404", "Nobody Registered"); exit; }}
        {unalias_contact}
        route(RELAY);
    }}
    {authenticate_invite}
    $ru = "sip:" + $rU + "@{host}:{callee}";
    route(RELAY);
}}

route[RELAY] {{
    if (!t_relay()) sl_reply_error();
    exit;
}}

event_route[xhttp:request] {{
    jsonrpc_dispatch();
}}
"""

_AUTHENTICATE_REGISTER = """\
if (!pv_www_authenticate("{realm}", "{password}", "0") || $au != "{username}") {{
            www_challenge("{realm}", "1");
            exit;
        }}
        consume_credentials();"""

_AUTHENTICATE_INVITE = """\
if (!pv_proxy_authenticate("{realm}", "{password}", "0") || $au != "{username}") {{
        proxy_challenge("{realm}", "1");
        exit;
    }}
    consume_credentials();"""

_TLS_MODULE = """\
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """The proxy's certificate and key."""

    certificate: Path
    key: Path


class Kamailio:
    """One proxy: `port` speaks UDP and TCP, `tls_port` TLS. INVITEs go to `callee` on this machine, those for `number`
    to whoever is registered as USERNAME. `nat`: it keeps to the connections that others opened, as trunks do.
    """

    def __init__(
        self,
        folder: Path,
        *,
        callee: int = 9,
        number: str = "",
        digest: Algorithm | None = None,
        tls: Tls | None = None,
        nat: bool = False,
    ) -> None:
        self.port = free_port()
        self.tls_port = free_port() if tls is not None else 0
        self._folder = folder / f"kamailio-{self.port}"
        self._folder.mkdir()
        path = self._folder / "kamailio.cfg"
        path.write_text(self._configuration(callee, number, digest, tls, nat=nat))
        self.process = ChildProcess(
            [find_binary("kamailio", "kamailio"), "-f", path, "-DD", "-E", "-m", "32", "-M", "4", "-Y", self._folder,
             "-w", self._folder],
            name="kamailio", cwd=self._folder, ready=self._ready,
        )  # fmt: skip

    def _configuration(self, callee: int, number: str, digest: Algorithm | None, tls: Tls | None, *, nat: bool) -> str:
        names = {"realm": REALM, "username": USERNAME, "password": PASSWORD}
        head = _GLOBAL.format(
            host=LOOPBACK,
            port=self.port,
            algorithm=digest or "MD5",
            tls="yes" if tls else "no",
            tls_listen=f"listen=tls:{LOOPBACK}:{self.tls_port}" if tls else "",
            tls_module=_TLS_MODULE.format(certificate=tls.certificate, key=tls.key) if tls else "",
        )
        return head + _ROUTES.format(
            host=LOOPBACK,
            callee=callee,
            number=number or "nobody",
            username=USERNAME,
            alias='force_rport(); if (is_method("INVITE|REGISTER")) set_contact_alias();' if nat else "",
            unalias="handle_ruri_alias();" if nat else "",
            unalias_contact="handle_ruri_alias();" if nat else "",
            authenticate_register=_AUTHENTICATE_REGISTER.format(**names) if digest else "",
            authenticate_invite=_AUTHENTICATE_INVITE.format(**names) if digest else "",
        )

    def _ready(self) -> bool:
        return listens(self.port) and (not self.tls_port or listens(self.tls_port))

    def start(self) -> Self:
        """Starts it, again after a `kill` on the same ports."""
        self.process.start()
        return self

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def took(self, method: str) -> int:
        """How many requests of a method came to it lately, repeated ones included."""
        return self.process.output.count(f"took {method} of ")

    def contacts(self) -> list[str]:
        """The contacts that are registered as USERNAME."""
        answer = self._ask("ul.dump")
        domains = answer.get("result", {}).get("Domains", [])
        return [
            str(one["Contact"]["Address"])
            for domain in domains
            for info in domain["Domain"]["AoRs"]
            if info["Info"]["AoR"] == USERNAME
            for one in info["Info"]["Contacts"]
        ]

    def _ask(self, method: str) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "method": method, "params": [], "id": 1}
        found: dict[str, Any] = httpx.post(f"http://{LOOPBACK}:{self.port}/RPC", json=body, timeout=5).json()
        return found

    def __enter__(self) -> Self:
        return self if self.process.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()


def self_signed(folder: Path) -> Tls:
    """A certificate for 127.0.0.1 and localhost with its key, fresh from the openssl command."""
    folder.mkdir(exist_ok=True)
    tls = Tls(certificate=folder / "cert.pem", key=folder / "key.pem")
    command = [
        find_binary("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-keyout", str(tls.key), "-out", str(tls.certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return tls
