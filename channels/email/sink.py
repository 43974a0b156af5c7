"""A mail server simulator for the demo, drills and tests: keeps what it is sent, reports back like a real one,
misbehaves on request. It carries no mail anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formatdate
from typing import Any

import aiosmtplib
from aiosmtpd.smtp import AuthResult, LoginPassword
from aiosmtplib.errors import SMTPException

from channels.email.connection import cancellable
from channels.email.envelope import xtext_decoded
from channels.email.server import Bounds, SmtpServer, TrackedSmtp
from channels.guests import Guests

MAILS_KEPT = 10_000
"""The newest so many mails are kept: a drill's worth."""
KEPT_BYTES_MAX = 256 * 1024 * 1024
"""Of all mails that are kept: of large ones fewer are."""
LARGE_BYTES = KEPT_BYTES_MAX // MAILS_KEPT
REPORTS_WAITING_MAX = 10_000
"""Reports not yet handed back; more are dropped and logged."""
CONNECTIONS_MAX = 200
"""At once: load tests open a hundred; all come from the same machine."""
REPORT_TRIES_MAX = 20
"""A report is offered so often, REPORT_PAUSE_S apart, before it is dropped."""
REPORT_PAUSE_S = 0.25
REPORT_S = 10.0

# RFC 3464 2.3.3 -> the NOTIFY keyword that asks for it (RFC 3461 4.1), and a fitting status (RFC 3463).
_ACTIONS = {
    "delivered": ("SUCCESS", "2.0.0"),
    "relayed": ("SUCCESS", "2.0.0"),
    "expanded": ("SUCCESS", "2.0.0"),
    "delayed": ("DELAY", "4.4.1"),
    "failed": ("FAILURE", "5.1.1"),
}
_DSN_PARAMETER = re.compile(r"(?<= )(RET|ENVID|NOTIFY|ORCPT)=(\S+)", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkMail:
    """One mail the sink took. The DSN parameters are decoded; "" where not given."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    envelope_id: str = ""
    ret: str = ""
    notify: str = ""
    original_recipient: str = ""
    encrypted: bool = False
    login: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkBehaviour:
    """How the sink acts. May be exchanged while it runs.

    `report_to`      host and port where delivery reports are handed in; None sends none.
    `actions`        recipient -> what is reported, in order (``("delayed", "delivered")``); else `default_actions`.
    `refuse`         recipient -> reply to its RCPT.
    `greylist`       the first RCPT of each recipient gets 450.
    `mail_reply`     reply instead of 250 to MAIL FROM; `data_reply` to the message.
    `answer_delay_s` pause before the answer to the message.
    `drop`           where the connection ends without an answer: ``mail``, ``rcpt``, ``data`` (the message is in).
    """

    dsn: bool = True
    report_to: tuple[str, int] | None = None
    actions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_actions: tuple[str, ...] = ("delivered",)
    refuse: Mapping[str, str] = field(default_factory=dict)
    greylist: bool = False
    mail_reply: str = ""
    data_reply: str = ""
    answer_delay_s: float = 0.0
    drop: str = ""


class MailSink:
    """The simulator. `start`, then `wait_for` mails, then `stop`.

    With `tls_context` it offers STARTTLS (or TLS from the first byte: `start(implicit_tls=True)`); with `logins`
    (name -> password) it demands authentication, over TLS only.
    """

    def __init__(
        self,
        behaviour: SinkBehaviour | None = None,
        *,
        tls_context: ssl.SSLContext | None = None,
        logins: Mapping[str, str] | None = None,
        size_max: int = 32 * 1024 * 1024,
        idle_s: float = 60.0,
    ) -> None:
        self.behaviour = behaviour or SinkBehaviour()
        self.mails: deque[SinkMail] = deque(maxlen=MAILS_KEPT)
        self.taken = 0
        """Mails taken since the start; `mails` holds the newest of them."""
        self.connections = 0
        """Greetings (EHLO, HELO) received; a STARTTLS connection greets twice."""
        self._tls_context = tls_context
        self._logins = dict(logins or {})
        self._size_max = size_max
        self._idle_s = idle_s
        self._seen: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._reports: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(REPORTS_WAITING_MAX)
        self._guests = Guests("sink", most=CONNECTIONS_MAX, most_of_one=CONNECTIONS_MAX)
        self._server: SmtpServer | None = None
        self._reporter: asyncio.Task[None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, implicit_tls: bool = False) -> int:
        """Listens; gives the port. Raises OSError."""
        authentication: dict[str, Any] = {}
        if self._logins:
            authentication = {"auth_required": True, "authenticator": self._authenticate}
        self._server = SmtpServer(
            _Hooks(self),
            guests=self._guests,
            bounds=Bounds(mail_bytes_max=self._size_max, kept_bytes_max=self._size_max),
            protocol=_DsnSmtp,
            timeout=self._idle_s,
            hostname="tocsin-sink",
            ident="ESMTP",
            tls_context=None if implicit_tls else self._tls_context,
            **authentication,
        )
        port = await self._server.start(host, port, self._tls_context if implicit_tls else None)
        self._reporter = asyncio.create_task(self._hand_in_reports())
        return port

    async def stop(self) -> None:
        """Closes everything; reports not yet handed in are dropped."""
        if self._reporter is not None:
            self._reporter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reporter
            self._reporter = None
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def drop_connections(self) -> None:
        """Ends every open connection without a word, and listens on no more; as a crash would."""
        if self._server is not None:
            await self._server.stop()

    async def wait_for(self, count: int, timeout_s: float = 10.0) -> list[SinkMail]:
        """The mails kept, once `count` were taken in all. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self.taken >= count)
        return list(self.mails)

    def first_time(self, recipient: str) -> bool:
        """Whether this recipient is named for the first time (for greylisting)."""
        self._seen[recipient] += 1
        return self._seen[recipient] == 1

    async def take(self, mail: SinkMail) -> None:
        """Keeps a mail and queues the reports that its sender asked for."""
        if len(self.mails) == self.mails.maxlen:
            self._reached("mails_kept", MAILS_KEPT)
        self.mails.append(mail)
        if len(mail.content) > LARGE_BYTES:
            while sum(len(one.content) for one in self.mails) > KEPT_BYTES_MAX:
                self._reached("bytes_kept", KEPT_BYTES_MAX)
                self.mails.popleft()
        self.taken += 1
        async with self._changed:
            self._changed.notify_all()
        if self.behaviour.report_to is None or mail.sender == "<>":
            return
        wanted = mail.notify.upper().split(",") if self.behaviour.dsn and mail.notify else ["FAILURE"]
        for recipient in mail.recipients:
            for action in self.behaviour.actions.get(recipient, self.behaviour.default_actions):
                if _ACTIONS[action][0] not in wanted:
                    continue
                try:
                    self._reports.put_nowait((mail.sender, delivery_report(mail, recipient, action)))
                except asyncio.QueueFull:
                    self._reached("reports_waiting", REPORTS_WAITING_MAX)

    def _reached(self, bound: str, most: int) -> None:
        self._guests.reached(bound, most, asyncio.get_running_loop().time())

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, mechanism: str, auth: Any) -> AuthResult:
        if mechanism in ("LOGIN", "PLAIN") and isinstance(auth, LoginPassword):
            name, password = auth.login.decode("utf-8", "replace"), auth.password.decode("utf-8", "replace")
            if self._logins.get(name) == password:
                return AuthResult(success=True, auth_data=auth)
        return AuthResult(success=False, handled=False)

    async def _hand_in_reports(self) -> None:
        client: aiosmtplib.SMTP | None = None
        try:
            while True:
                recipient, report = await self._reports.get()
                for _ in range(REPORT_TRIES_MAX):
                    if client is None:
                        client = self._client()
                    if await _handed_in(client, recipient, report):
                        break
                    client.close()
                    client = None
                    await asyncio.sleep(REPORT_PAUSE_S)
                else:
                    self._reached("report_tries", REPORT_TRIES_MAX)
        finally:
            if client is not None:
                client.close()

    def _client(self) -> aiosmtplib.SMTP:
        host, port = self.behaviour.report_to or ("127.0.0.1", 25)
        return aiosmtplib.SMTP(
            hostname=host, port=port, start_tls=False, timeout=REPORT_S, local_hostname="tocsin-sink"
        )


async def _handed_in(client: aiosmtplib.SMTP, recipient: str, report: bytes) -> bool:
    try:
        with cancellable():
            if not client.is_connected:
                await client.connect()
                await client.ehlo()
            answers = [
                await client.execute_command(b"MAIL", b"FROM:<>"),
                await client.execute_command(b"RCPT", f"TO:<{recipient}>".encode("ascii")),
                await client.data(report),
            ]
    except (SMTPException, OSError, UnicodeError, ValueError):
        return False
    return all(answer.code // 100 == 2 for answer in answers)


def delivery_report(mail: SinkMail, recipient: str, action: str) -> bytes:
    """The report (RFC 3464) of `action` on one recipient of a mail, quoting the mail's headers (RFC 3462)."""
    _, status = _ACTIONS[action]
    report = MIMEMultipart("report", report_type="delivery-status")
    report["From"] = "MAILER-DAEMON@tocsin-sink"
    report["To"] = mail.sender
    report["Subject"] = f"Delivery status: {action}"
    report["Date"] = formatdate()
    report["Auto-Submitted"] = "auto-replied"
    report.attach(MIMEText(f"Your message to {recipient}: {action} (simulated).\n"))
    status_part = MIMEBase("message", "delivery-status")
    status_part.attach(_block({"Original-Envelope-Id": mail.envelope_id, "Reporting-MTA": "dns; tocsin-sink"}))
    status_part.attach(
        _block(
            {
                "Original-Recipient": mail.original_recipient,
                "Final-Recipient": f"rfc822; {recipient}",
                "Action": action,
                "Status": status,
            }
        )
    )
    report.attach(status_part)
    headers_part = MIMEBase("text", "rfc822-headers")
    headers = mail.content.partition(b"\r\n\r\n")[0].decode("ascii", "replace")
    headers_part.set_payload(headers.replace("\r\n", "\n") + "\n")
    report.attach(headers_part)
    return report.as_bytes()


def _block(fields: Mapping[str, str]) -> Message:
    """One group of fields of a delivery-status part (RFC 3464 2.1); empty ones are left out."""
    block = Message()
    for name, value in fields.items():
        if value:
            block[name] = value
    return block


class _DsnSmtp(TrackedSmtp):
    """aiosmtpd's server side with the parameters of RFC 3461, which it would refuse (and turn into capitals)."""

    def __init__(self, handler: Any, **options: Any) -> None:
        self.dsn_parameters: dict[str, str] = {}
        super().__init__(handler, **options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """With TLS from the first byte AUTH is safe without STARTTLS, which aiosmtpd does not see."""
        if transport.get_extra_info("sslcontext") is not None:
            self._auth_require_tls = False
        super().connection_made(transport)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        """MAIL FROM, its DSN parameters set aside."""
        self.dsn_parameters = {}
        await super().smtp_MAIL(self._without_dsn(arg))

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        """RCPT TO, its DSN parameters set aside (the last recipient's are kept)."""
        await super().smtp_RCPT(self._without_dsn(arg))

    def _without_dsn(self, arg: str | None) -> str | None:
        if arg is None:
            return None
        self.dsn_parameters.update((name.upper(), value) for name, value in _DSN_PARAMETER.findall(arg))
        return _DSN_PARAMETER.sub("", arg).rstrip()


class _Hooks:
    """aiosmtpd's handler: the behaviour, command by command."""

    def __init__(self, sink: MailSink) -> None:
        self._sink = sink

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: _DsnSmtp, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self._sink.connections += 1
        if self._sink.behaviour.dsn:
            server.command_size_limits["MAIL"] = (
                1024  # RFC 3461 4.4 and 4.2: 107 and 500 octets more than RFC 5321's 512
            )
            server.command_size_limits["RCPT"] = 1536
            responses.insert(1, "250-DSN")
        return responses

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: _DsnSmtp, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        behaviour = self._sink.behaviour
        if behaviour.drop == "mail":
            return _dropped(server)
        if server.dsn_parameters and not behaviour.dsn:
            return "555 5.5.4 Unsupported option"
        if behaviour.mail_reply:
            return behaviour.mail_reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: _DsnSmtp, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        behaviour = self._sink.behaviour
        if behaviour.drop == "rcpt":
            return _dropped(server)
        if address in behaviour.refuse:
            return behaviour.refuse[address]
        if behaviour.greylist and self._sink.first_time(address):
            return "450 4.7.1 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: _DsnSmtp, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        behaviour = self._sink.behaviour
        if behaviour.answer_delay_s:
            await asyncio.sleep(behaviour.answer_delay_s)
        if behaviour.data_reply:
            return behaviour.data_reply
        parameters = server.dsn_parameters
        login = session.auth_data.login.decode("utf-8", "replace") if session.authenticated else ""
        mail = SinkMail(
            sender=envelope.mail_from,
            recipients=tuple(envelope.rcpt_tos),
            content=envelope.content,
            envelope_id=xtext_decoded(parameters.get("ENVID", "")),
            ret=parameters.get("RET", ""),
            notify=parameters.get("NOTIFY", ""),
            original_recipient=xtext_decoded(parameters.get("ORCPT", "")),
            encrypted=server.transport is not None and server.transport.get_extra_info("sslcontext") is not None,
            login=login,
        )
        await self._sink.take(mail)
        return _dropped(server) if behaviour.drop == "data" else "250 2.0.0 Kept"


def _dropped(server: _DsnSmtp) -> str:
    server.cut()
    return "421 4.4.2 Dropped"
