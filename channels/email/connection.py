"""One SMTP connection over aiosmtplib, from TCP to the answer to the final dot. What failures mean, status says."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from aiosmtplib import SMTP
from aiosmtplib.errors import SMTPException, SMTPResponseException

from channels.email.settings import SmtpSettings
from channels.email.status import Reply, Stage
from channels.plainly import endpoint, plainly

UPLOAD_BYTES_PER_S = 65_536
"""A message is given so much time above `response_s`; a slower line would hold a connection of the pool for minutes."""
QUIT_S = 2.0
"""A server that does not answer QUIT is left: nothing depends on the answer (RFC 5321 4.1.1.10)."""

_LINE_END = re.compile(rb"\r\n|\r|\n")


class SessionError(Exception):
    """The dialogue did not go on at `stage`. See the two kinds."""

    def __init__(self, stage: Stage, text: str) -> None:
        super().__init__(f"{stage.value}: {text}")
        self.stage = stage


class RefusedError(SessionError):
    """The server answered, with another code than was hoped for."""

    def __init__(self, stage: Stage, reply: Reply) -> None:
        super().__init__(stage, str(reply))
        self.reply = reply


class LostError(SessionError):
    """There was no answer: no connection, a time-out, the end of the link. `code` is stable (``connection_lost``)."""

    def __init__(self, stage: Stage, code: str, text: str, *, alarm: bool = False) -> None:
        super().__init__(stage, text)
        self.code = code
        self.text = text
        self.alarm = alarm


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A message with its envelope. `sender` and `recipient` are canonical addresses, `content` 7-bit octets.

    `mail_options` and `rcpt_options` are the DSN parameters (RFC 3461 4), used only where the server offers DSN.
    """

    sender: str
    recipient: str
    content: bytes
    mail_options: tuple[str, ...] = ()
    rcpt_options: tuple[str, ...] = ()


class Connection:
    """One open connection; used by one letter at a time."""

    def __init__(self, client: SMTP, settings: SmtpSettings, protection: str) -> None:
        self._client = client
        self._settings = settings
        self.protection = protection
        """``none``, ``unverified`` (encrypted, certificate not checked) or ``verified``."""

    @property
    def alive(self) -> bool:
        """The link is up as far as is known."""
        return self._client.is_connected

    @property
    def dsn_offered(self) -> bool:
        """The server gives delivery status notifications (RFC 3461 4)."""
        return self._client.supports_extension("dsn")

    @property
    def size_max(self) -> int | None:
        """Octets of the largest message the server takes (RFC 1870 4); None when it does not say."""
        value = self._client.esmtp_extensions.get("size", "").strip()
        return int(value) if re.fullmatch(r"[1-9]\d{0,19}", value, re.ASCII) else None

    async def deliver(self, letter: Letter) -> Reply:
        """Hands one letter over; gives the server's answer to the message.

        DATA is done in two steps, so that a loss before the first octet and one after it are told apart.
        Raises RefusedError and LostError.
        """
        octets = _wire_form(letter.content)
        size = (f"SIZE={len(octets)}",) if self._client.supports_extension("size") else ()
        mail_options = letter.mail_options if self.dsn_offered else ()
        rcpt_options = letter.rcpt_options if self.dsn_offered else ()
        await self._command(Stage.MAIL, "MAIL", f"FROM:<{letter.sender}>", *size, *mail_options)
        await self._command(Stage.RCPT, "RCPT", f"TO:<{letter.recipient}>", *rcpt_options)
        await self._command(Stage.DATA, "DATA", wanted=3)
        return await self._upload(octets)

    async def reset(self) -> bool:
        """Ends a refused transaction (RSET); False if the connection is no longer fit for use."""
        try:
            await self._command(Stage.MAIL, "RSET")
        except SessionError:
            return False
        return True

    async def quit(self) -> None:
        """Takes leave, within QUIT_S, and closes. Never raises."""
        try:
            with cancellable(), contextlib.suppress(SMTPException, OSError):
                await self._client.quit(timeout=QUIT_S)
        finally:
            self.close()

    def close(self) -> None:
        """Closes at once."""
        self._client.close()

    async def _command(self, stage: Stage, *words: str, wanted: int = 2) -> Reply:
        async with _losses(stage, self._settings):
            answer = await self._client.execute_command(*(word.encode("ascii") for word in words))
        reply = Reply(code=answer.code, text=answer.message)
        if reply.code // 100 != wanted:
            raise RefusedError(stage, reply)
        return reply

    async def _upload(self, octets: bytes) -> Reply:
        protocol = self._client.protocol
        if protocol is None or not protocol.is_connected:
            raise LostError(Stage.DATA, "connection_lost", "the connection ended before the message")
        async with _losses(Stage.FINAL, self._settings):
            protocol.write(_stuffed(octets))
            answer = await protocol.read_response(self._settings.response_s + len(octets) / UPLOAD_BYTES_PER_S)
        reply = Reply(code=answer.code, text=answer.message)
        if reply.code // 100 != 2:
            raise RefusedError(Stage.FINAL, reply)
        return reply


async def open_connection(settings: SmtpSettings) -> Connection:
    """Connects, greets, encrypts and authenticates as the settings say. Bounded by `connect_s` and `response_s` a step.

    Raises RefusedError and LostError with a stage before MAIL.
    """
    implicit = settings.tls == "tls"
    verified = _is_verified(settings)
    context = None if settings.tls == "none" else await asyncio.to_thread(tls_context, settings)
    client = SMTP(
        hostname=settings.host,
        port=settings.port,
        use_tls=implicit,
        start_tls=False,
        tls_context=context,
        timeout=settings.response_s,
        local_hostname="localhost",
    )
    try:
        async with _losses(Stage.CONNECT, settings):
            await client.connect(timeout=settings.connect_s)
        await _hello(client, settings)
        encrypted = implicit or await _start_tls(client, settings)
        if settings.username is not None and settings.password is not None:
            async with _losses(Stage.AUTH, settings):
                await client.login(settings.username, settings.password.get_secret_value())
    except BaseException:
        client.close()
        raise
    return Connection(client, settings, ("verified" if verified else "unverified") if encrypted else "none")


@contextlib.contextmanager
def cancellable() -> Iterator[None]:
    """Raises CancelledError after a block in which the current task was cancelled, whatever else became of it.

    Before Python 3.12 `asyncio.wait_for`, which aiosmtplib waits with, loses a cancellation that comes in the same turn of
    the loop as the answer; the task would go on as if nobody had asked it to end.
    """
    task = asyncio.current_task()
    assert task is not None  # every coroutine runs in one
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


def tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """The client context for these settings. Reads `tls_ca`, so it may block. Raises LostError if it is no PEM."""
    try:
        context = ssl.create_default_context(cafile=str(settings.tls_ca) if settings.tls_ca else None)
    except (OSError, ssl.SSLError) as error:
        raise LostError(Stage.TLS, "tls_failed", f"tls_ca: {plainly(error)}", alarm=True) from error
    if not _is_verified(settings):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_verified(settings: SmtpSettings) -> bool:
    return settings.tls != "opportunistic" or settings.tls_ca is not None or settings.username is not None


async def _hello(client: SMTP, settings: SmtpSettings) -> None:
    """EHLO, or HELO where that is not known (RFC 5321 3.2)."""
    async with _losses(Stage.HELLO, settings):
        client.local_hostname = settings.ehlo_name or _own_name(client)
        try:
            await client.ehlo()
        except SMTPResponseException as error:
            if error.code // 100 != 5 or not client.is_connected:
                raise
            await client.helo()


async def _start_tls(client: SMTP, settings: SmtpSettings) -> bool:
    """STARTTLS (RFC 3207) as the settings want it; whether the link is encrypted now."""
    if settings.tls == "none" or (settings.tls == "opportunistic" and settings.on_loopback):
        return False
    if not client.supports_extension("starttls"):
        if settings.tls == "starttls" or settings.username is not None:
            raise LostError(Stage.TLS, "tls_not_offered", "the server does not offer STARTTLS", alarm=True)
        return False
    async with _losses(Stage.TLS, settings):
        await client.starttls()
    await _hello(client, settings)  # RFC 3207 4.2: what was said in the clear does not count
    return True


def _own_name(client: SMTP) -> str:
    """What to say in EHLO: the host's full name, else the address literal (RFC 5321 4.1.4); never waits for the DNS."""
    name = socket.gethostname()
    if "." in name and re.fullmatch(r"[A-Za-z0-9.-]{1,255}", name):
        return name
    address = ipaddress.ip_address(str(client.get_transport_info("sockname")[0]).partition("%")[0])
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


@contextlib.asynccontextmanager
async def _losses(stage: Stage, settings: SmtpSettings) -> AsyncIterator[None]:
    """Turns what aiosmtplib and the sockets raise into RefusedError and LostError of this stage."""
    try:
        with cancellable():
            yield
    except SMTPResponseException as error:
        raise RefusedError(stage, Reply(code=error.code, text=error.message)) from error
    except (SMTPException, OSError) as error:  # TimeoutError, ConnectionError and ssl.SSLError are OSErrors
        code, alarm = _loss_code(stage, error)
        raise LostError(stage, code, plainly(error, endpoint(settings.host, settings.port)), alarm=alarm) from error


def _loss_code(stage: Stage, error: BaseException) -> tuple[str, bool]:
    """A stable code for the first kind that fits, and whether an operator should look."""
    connecting = stage is Stage.CONNECT
    kinds: tuple[tuple[type[BaseException], str, bool], ...] = (
        (ssl.SSLCertVerificationError, "tls_certificate_refused", True),
        (ssl.SSLError, "tls_failed", True),
        (TimeoutError, "connect_timeout" if connecting else "response_timeout", False),
        (ConnectionRefusedError, "connection_refused", False),
        (OSError, "connect_failed" if connecting else "connection_lost", False),
        (BaseException, "smtp_not_supported", True),  # a bare SMTPException: the server lacks what the settings ask for
    )
    chain = _causes(error)
    return next((code, alarm) for kind, code, alarm in kinds if any(isinstance(cause, kind) for cause in chain))


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    while error not in chain and len(chain) < 8:
        chain.append(error)
        error = error.__cause__ or error
    return chain


def _wire_form(content: bytes) -> bytes:
    """CRLF at every line end (RFC 5321 2.3.8)."""
    octets = _LINE_END.sub(b"\r\n", content)
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def _stuffed(octets: bytes) -> bytes:
    """Leading dots doubled, and the final dot (RFC 5321 4.5.2)."""
    stuffed = octets.replace(b"\r\n.", b"\r\n..")
    return (b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n"
