"""Links to SMSCs that misbehave, and links over TLS: a scripted server, and the simulator with a certificate."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop
from pydantic import ValidationError

from channels.outcome import Accepted, RetryLater
from channels.sms.channel import SmsChannel
from channels.sms.smpp.codec import decode, encode
from channels.sms.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from channels.sms.smpp.simulator import SmscSimulator
from tests.channels.sms.running import health_where, message, running, smpp


class ScriptedSmsc:
    """Takes binds, and answers every other request with what the test wrote down for it, in order."""

    def __init__(self, *answers: bytes | Pdu | None) -> None:
        self.heard: list[Pdu] = []
        self.binds = 0
        self._answers = list(answers)
        self._bound = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    async def wait_for_binds(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.binds < count:
                self._bound.clear()
                await self._bound.wait()

    async def stop(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while length := await reader.read(4):
                pdu = decode(length + await reader.readexactly(int.from_bytes(length, "big") - 4))
                self.heard.append(pdu)
                writer.write(self._answer(pdu))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _answer(self, pdu: Pdu) -> bytes:
        if isinstance(pdu, BindTransceiver):
            self.binds += 1
            self._bound.set()
            return encode(BindTransceiverResp(sequence=pdu.sequence))
        if isinstance(pdu, Unbind):
            return encode(UnbindResp(sequence=pdu.sequence))
        answer = self._answers.pop(0) if self._answers else SubmitSmResp(message_id="ok")
        if answer is None:
            return b""
        return answer if isinstance(answer, bytes) else encode(answer, None if answer.sequence else pdu.sequence)


@asynccontextmanager
async def scripted(*answers: bytes | Pdu | None) -> AsyncIterator[tuple[ScriptedSmsc, int]]:
    smsc = ScriptedSmsc(*answers)
    server = await asyncio.start_server(smsc.serve, "127.0.0.1", 0)
    async with server:
        yield smsc, server.sockets[0].getsockname()[1]
        await smsc.stop()


async def test_a_generic_nack_fails_that_message_and_keeps_the_link() -> None:
    async with scripted(GenericNack(status=0x03)) as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            outcome = await channel.send(message())
            assert isinstance(outcome, RetryLater)
            assert outcome.reason.code == "smpp_rinvcmdid"
            assert outcome.reason.alarm
            assert not outcome.maybe_sent
            assert isinstance(await channel.send(message()), Accepted)
        assert smsc.binds == 1


NACK_WITHOUT_NUMBER = bytes.fromhex("00000010 80000000 00000002 00000000")


@pytest.mark.parametrize("answer", [NACK_WITHOUT_NUMBER, b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["nack", "noise"])
async def test_a_stream_out_of_step_is_closed_and_bound_anew(answer: bytes) -> None:
    async with scripted(answer) as (smsc, port):
        channel = SmsChannel(smpp(port, link_wait_s=5))
        async with running(channel):
            outcome = await channel.send(message())
            assert isinstance(outcome, RetryLater)
            assert outcome.maybe_sent
            assert isinstance(await channel.send(message()), Accepted)
        assert smsc.binds == 2


async def test_unknown_commands_and_statuses_are_survived() -> None:
    unknown = bytes.fromhex("00000010 00010001 00000000 00000063")
    vendor = SubmitSmResp(status=0x0000_0456)
    async with scripted(vendor, unknown + encode(SubmitSmResp(sequence=3, message_id="7"))) as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            refused = await channel.send(message())
            assert isinstance(refused, RetryLater)
            assert refused.reason.code == "smpp_0x00000456"
            assert isinstance(await channel.send(message()), Accepted)
        assert GenericNack(sequence=0x63, status=0x03) in smsc.heard


async def test_a_silent_link_is_asked_and_then_replaced() -> None:
    async with scripted(EnquireLinkResp(), None) as (smsc, port):
        channel = SmsChannel(smpp(port, enquire_link_s=0.1, enquire_answer_s=1))
        async with running(channel):
            await smsc.wait_for_binds(2)
        kinds = [type(pdu) for pdu in smsc.heard]
        assert kinds[:4] == [BindTransceiver, EnquireLink, EnquireLink, BindTransceiver]


async def test_the_bind_says_who_we_are() -> None:
    async with scripted() as (smsc, port):
        channel = SmsChannel(smpp(port, system_type="VMS", address_range="^336"))
        assert (await channel.probe()).up
    assert smsc.heard[0] == BindTransceiver(
        sequence=1, system_id="user", password="pw", system_type="VMS", address_range="^336"
    )
    assert isinstance(smsc.heard[1], Unbind)


async def test_submits_of_one_moment_leave_together() -> None:
    """Many sends in one turn of the loop are one write, so that a busy channel does not make a packet of each."""
    reads: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(encode(BindTransceiverResp(sequence=1)))
        reads.append(len(await reader.read(65_536)))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        channel = SmsChannel(smpp(server.sockets[0].getsockname()[1]))
        async with running(channel):
            await health_where(channel, lambda health: health.up)
            await asyncio.gather(*[channel.send(message(str(n))) for n in range(50)])
    assert reads[0] > 50 * len(encode(SubmitSm()))


async def test_a_host_that_cannot_be_a_name_is_said() -> None:
    host = f"{'é' * 60}.example"  # short enough as it is written, too long as it is asked for (RFC 5890, 2.3.2.1)
    probed = await SmsChannel(smpp(1, host=host)).probe()
    assert not probed.up
    assert host in probed.detail


# -- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=simulated SMSC"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
async def tls_smsc(certificate: tuple[Path, Path]) -> AsyncIterator[tuple[SmscSimulator, int]]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    simulator = SmscSimulator()
    port = await simulator.start(tls=context)
    yield simulator, port
    await simulator.stop()


async def test_over_tls_with_a_verified_certificate(
    tls_smsc: tuple[SmscSimulator, int], certificate: tuple[Path, Path]
) -> None:
    smsc, port = tls_smsc
    channel = SmsChannel(smpp(port, tls=True, tls_ca=certificate[0]))
    async with running(channel) as reports:
        assert isinstance(await channel.send(message("x" * 1000)), Accepted)
        await reports.wait_for(7)
    assert [received.text for received in smsc.received] == ["x" * 1000]
    await smsc.wait_for(lambda s: s.counters.unbinds == 1)


async def test_a_certificate_of_a_stranger_is_refused(tls_smsc: tuple[SmscSimulator, int]) -> None:
    smsc, port = tls_smsc
    channel = SmsChannel(smpp(port, tls=True, link_wait_s=0))
    async with running(channel):
        health = await health_where(channel, lambda health: health.alarm)
        assert "certificate" in health.detail
        assert not health.up
    probed = await channel.probe()
    assert (probed.up, probed.alarm) == (False, True)
    assert smsc.counters.binds == 0


async def test_verification_can_be_switched_off(tls_smsc: tuple[SmscSimulator, int]) -> None:
    assert (await SmsChannel(smpp(tls_smsc[1], tls=True, tls_verify=False)).probe()).up


async def test_an_authority_file_that_is_not_there_is_said(tls_smsc: tuple[SmscSimulator, int], tmp_path: Path) -> None:
    gone = smpp(tls_smsc[1], tls=True).model_copy(
        update={"tls_ca": tmp_path / "missing.pem"}
    )  # since the settings were read
    probed = await SmsChannel(gone).probe()
    assert not probed.up
    assert probed.detail


def test_under_uvloop_with_and_without_tls(certificate: tuple[Path, Path]) -> None:
    """The loop that the gateway runs on in production has transports of its own."""

    async def conversation() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        for tls, changes in ((None, {}), (context, {"tls": True, "tls_ca": certificate[0]})):
            simulator = SmscSimulator()
            channel = SmsChannel(smpp(await simulator.start(tls=tls), **changes))
            async with running(channel) as reports:
                assert isinstance(await channel.send(message("x" * 1000)), Accepted)
                await reports.wait_for(7)
            await simulator.wait_for(lambda s: s.counters.unbinds == 1)
            await simulator.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(conversation())


# -- settings


def test_the_shortest_settings_suffice() -> None:
    settings = smpp(2775)
    assert (settings.window, settings.response_s, settings.bind_mode, settings.binds) == (100, 30, "transceiver", 1)
    assert "pw" not in repr(settings)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 0),
        ("window", 0),
        ("source", "this is far too long"),
        ("source", "336123456789012345678"),
        ("bind_mode", "sideways"),
        ("concatenation", "both"),
        ("reference_octets", 3),
        ("system_id", "ü"),
        ("password", "pass\nword"),
        ("validity_s", 5),
        ("tls_verify", False),
        ("default_region", "France"),
        ("colour", "red"),
    ],
)
def test_wrong_settings_are_refused_by_key(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        smpp(2775, **{key: value})
