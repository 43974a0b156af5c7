"""Providers in trouble, through `tocsin serve`: an emergency reaches the healthy second one in time; no bad minute ends one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk, StartSmsc
from tests.scenarios.installation import smpp, smtp
from tests.scenarios.served import Json, Served, serving

ANNA = "sms:+33612345678"
MAIL = "email:anna@example.org"
BOTH = {"channel": "sms", "prefix": "+33", "providers": ["carrier-a", "carrier-b"]}
MAILS = {"channel": "email", "prefix": "", "providers": ["mail-a", "mail-b"]}
DEFAULTS = {"unsure_s": 60, "backoff_first_s": 2, "backoff_max_s": 300}
"""What an installation has that sets nothing."""
PROMISED_S = 15.0
"""From the first provider's trouble to the healthy one."""
EMERGENCY: Json = {"priority": "emergency"}


async def warned(gateway: Served) -> set[str]:
    """What `/health/ready` warns of."""
    return {warning["code"] for warning in (await gateway.shown("/health/ready"))["warnings"]}


async def reached_second_in_time(gateway: Served, well: NodeSmsc, *, emergencies: int = 1) -> Json:
    """Submits emergencies and waits until the second centre has them all, in the time promised; the last delivery."""
    before = time.monotonic()
    alerts = [
        await gateway.alert(f"sms:+33612345{n:03d}", text=f"Fire in hall {n}", **EMERGENCY) for n in range(emergencies)
    ]
    await well.received(emergencies)
    assert time.monotonic() - before < PROMISED_S
    return [await gateway.only(alert, "delivered") for alert in alerts][-1]


@asynccontextmanager
async def two(folder: Path, first: int, second: int, **first_keys: Any) -> AsyncIterator[Served]:
    """The gateway with two carriers, nothing set that need not be."""
    carriers = smpp("carrier-a", first, **first_keys), smpp("carrier-b", second)
    async with serving(folder, *carriers, routes=[BOTH], delivery=DEFAULTS) as gateway:
        yield gateway


@pytest.mark.parametrize("status", [0x58, 0x14, 0x08, 0x45, 0x400])
async def test_case_1_4_a_provider_that_throttles_or_refuses_for_ever_holds_no_emergency(
    start_smsc: StartSmsc, tmp_path: Path, status: int
) -> None:
    first, second = start_smsc(throttle=1000, throttle_status=status), start_smsc()
    async with two(tmp_path, first.port, second.port) as gateway:
        delivery = await reached_second_in_time(gateway, second)
        assert [attempt["provider"] for attempt in delivery["attempts"]] == ["carrier-a", "carrier-b"]
        if status == 0x58:
            assert "provider_throttled" in await warned(gateway)


async def test_case_1_4_health_and_metrics_say_since_when_a_provider_throttles(
    start_smsc: StartSmsc, desk_with: OpenDesk
) -> None:
    first, second = start_smsc(throttle=1000), start_smsc()
    desk = await desk_with(smpp("carrier-a", first.port), smpp("carrier-b", second.port), routes=[BOTH])
    await (await desk.alert("Fire", to=ANNA, priority="emergency")).all_are("delivered")
    ill, well = (await desk.shown("/v1/providers"))["items"]
    assert (ill["trouble"]["kind"], well["trouble"]) == ("throttled", None)
    assert datetime.fromisoformat(ill["trouble"]["since"]).tzinfo is not None
    lines = (await desk.http.get("/metrics")).text.splitlines()
    lasted = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("tocsin_provider_trouble")}
    assert [name for name, seconds in lasted.items() if seconds > 0] == [
        'tocsin_provider_trouble_seconds{provider="carrier-a",trouble="throttled"}'
    ]
    await first.behave(throttle=0)
    await (await desk.alert("Pump", to=ANNA)).delivered()
    assert (await desk.shown("/v1/providers"))["items"][0]["trouble"] is None


async def test_case_1_4_a_throttled_provider_is_passed_over_by_normal_alerts_too_after_seconds(
    start_smsc: StartSmsc, tmp_path: Path
) -> None:
    first, second = start_smsc(throttle=1000), start_smsc()
    carriers = smpp("carrier-a", first.port), smpp("carrier-b", second.port)
    async with serving(tmp_path, *carriers, routes=[BOTH], delivery={**DEFAULTS, "backoff_max_s": 4}) as gateway:
        alerts = [await gateway.alert(f"sms:+3361234{n:04d}", text=f"Backup {n} failed") for n in range(6)]
        await second.received(6, timeout_s=120)
        for alert in alerts:
            await gateway.only(alert, "delivered")


@asynccontextmanager
async def mail_server(
    answer: Callable[[bytes], bytes],
    greeting: bytes = b"220 ready\r\n",
    talking: list[asyncio.StreamWriter] | None = None,
) -> AsyncIterator[int]:
    """A mail server of few words on a free port: `answer` to each line; nothing at all where that is empty. Those whom it talks with
    are put into `talking`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if talking is not None:
            talking.append(writer)
        writer.write(greeting)
        in_text = False
        while line := await reader.readline():
            if in_text and line != b".\r\n":
                continue
            said = answer(b"." if in_text else line.split()[0].upper())
            in_text = said.startswith(b"354")
            writer.write(said)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def well_answer(verb: bytes) -> bytes:
    return {b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n")


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (b"MAIL", b"451 4.7.0 later\r\n"),
        (b"RCPT", b"451 4.7.0 later\r\n"),
        (b"RCPT", b"450 greylisted\r\n"),
        (b"EHLO", b"421 busy\r\n"),
        (b"MAIL", b"454 4.7.28 too many messages\r\n"),
        (b"DATA", b"452 full\r\n"),
        (b"MAIL", b""),
        (b".", b""),
    ],
    ids=["451 MAIL", "451 RCPT", "450 RCPT", "421 EHLO", "454 MAIL", "452 DATA", "mute MAIL", "mute text"],
)
async def test_case_1_4_a_mail_server_in_trouble_holds_no_emergency(tmp_path: Path, verb: bytes, said: bytes) -> None:
    taken: list[float] = []
    talking: list[asyncio.StreamWriter] = []

    def ill(asked: bytes) -> bytes:
        return said if asked == verb else well_answer(asked)

    def well(asked: bytes) -> bytes:
        if asked == b".":
            taken.append(time.monotonic())
        return well_answer(asked)

    async with mail_server(ill, talking=talking) as first, mail_server(well) as second:
        mails = smtp("mail-a", first, tls="none"), smtp("mail-b", second, tls="none")
        async with serving(tmp_path, *mails, routes=[MAILS], delivery=DEFAULTS) as gateway:
            before = time.monotonic()
            await gateway.alert(MAIL, **EMERGENCY)
            await eventually(lambda: taken, 30, what="a mail at the second server")
            assert taken[0] - before < PROMISED_S
            for writer in talking:
                writer.close()  # nobody need wait for its answers at the end


async def test_case_1_5_a_centre_that_answers_no_message_holds_no_emergency(
    start_smsc: StartSmsc, tmp_path: Path
) -> None:
    first, second = start_smsc(answer=False), start_smsc()
    async with two(tmp_path, first.port, second.port) as gateway:
        delivery = await reached_second_in_time(gateway, second, emergencies=20)
        assert [attempt["outcome"] for attempt in delivery["attempts"]][-1] == "accepted"
        assert "provider_unanswered" in await warned(gateway)
        before = time.monotonic()
        await gateway.only(await gateway.alert(ANNA, text="Once more", **EMERGENCY), "delivered")
        assert time.monotonic() - before < PROMISED_S
        first.kill()  # nobody need wait for its answers at the end


async def test_case_1_5_emergencies_behind_the_full_window_of_a_mute_centre_go_elsewhere(
    start_smsc: StartSmsc, tmp_path: Path
) -> None:
    first, second = start_smsc(answer=False), start_smsc()
    async with two(tmp_path, first.port, second.port, window=1) as gateway:
        await gateway.alert(ANNA, text="Newsletter", priority="bulk")

        async def stuck() -> bool:
            return (await first.stats())["submits"] == 1

        await eventually(stuck, what="a message that fills the window")
        await reached_second_in_time(gateway, second, emergencies=5)
        first.kill()


async def test_case_1_5_the_session_that_answers_is_used_and_the_mute_one_is_bound_anew(
    start_smsc: StartSmsc, tmp_path: Path
) -> None:
    """One provider, two sessions, nobody behind it: the channel's own tests have the rebinding in detail."""
    only = start_smsc(answer=False)
    carrier = smpp("carrier-a", only.port, response_s=1, enquire_link_s=1)
    async with serving(tmp_path, carrier, delivery={**DEFAULTS, "unsure_s": 1}) as gateway:
        alert = await gateway.alert(ANNA, **EMERGENCY)

        async def bound_anew() -> bool:
            return (await only.stats())["binds"] >= 2

        await eventually(bound_anew, 60, what="a second bind")
        await only.behave(answer=True)
        await gateway.only(alert, "delivered")


async def test_case_1_5_a_connection_without_a_bind_and_one_that_ends_with_each_message_hold_no_emergency(
    start_smsc: StartSmsc, tmp_path: Path
) -> None:
    async with mail_server(lambda _: b"", greeting=b"") as silent:  # takes connections, and never says a word
        second = start_smsc()
        (tmp_path / "silent").mkdir()
        async with two(tmp_path / "silent", silent, second.port) as gateway:
            await reached_second_in_time(gateway, second)
    for name, behaviour in {
        "refused": {"bind_status": 0x0D},
        "dropped": {"drop_every": 1, "drop_unanswered": True},
        "slow": {"answer_delay_ms": 20_000},
    }.items():
        first, second = start_smsc(**behaviour), start_smsc()
        (tmp_path / name).mkdir()
        async with two(tmp_path / name, first.port, second.port) as gateway:
            await reached_second_in_time(gateway, second)
            first.kill()


@pytest.mark.parametrize("priority", ["emergency", "normal", "bulk"])
async def test_case_1_6_one_provider_with_a_bad_minute_loses_nothing(
    start_smsc: StartSmsc, tmp_path: Path, priority: str
) -> None:
    only = start_smsc(reject=1000, reject_status=0x08)
    delivery = {"attempts_max": 2, "backoff_max_s": 1}
    async with serving(tmp_path, smpp("carrier-a", only.port), delivery=delivery) as gateway:
        alert = await gateway.alert(ANNA, priority=priority)

        async def tried_often() -> bool:
            return (await only.stats())["rejected"] >= 4

        await eventually(tried_often, 60, what="more tries than attempts_max")
        await only.behave(reject=0)
        found = await gateway.only(alert, "delivered")
        assert {attempt["code"] for attempt in found["attempts"]} == {"smpp_rsyserr", "accepted"}


@pytest.mark.parametrize("on_unknown", ["resend", "wait"])
async def test_case_1_7_an_answer_that_comes_late_names_the_message_and_its_receipt_proves_it(
    start_smsc: StartSmsc, tmp_path: Path, on_unknown: str
) -> None:
    slow = start_smsc(answer_delay_ms=1_600, receipt_delay_ms=300)
    carrier = smpp("carrier-a", slow.port, response_s=1)
    async with serving(tmp_path, carrier, delivery=DEFAULTS) as gateway:
        found = await gateway.only(await gateway.alert(ANNA, on_unknown=on_unknown, **EMERGENCY), "delivered")
        assert [attempt["outcome"] for attempt in found["attempts"]] == ["accepted"]
        assert (await slow.stats())["submits"] == 1


async def test_case_1_7_a_refusal_that_comes_late_is_one(start_smsc: StartSmsc, tmp_path: Path) -> None:
    slow = start_smsc(answer_delay_ms=1_600, reject=1000)
    carrier = smpp("carrier-a", slow.port, response_s=1)
    async with serving(tmp_path, carrier, delivery=DEFAULTS) as gateway:
        found = await gateway.only(await gateway.alert(ANNA), "failed")
        assert [(attempt["outcome"], attempt["code"]) for attempt in found["attempts"]] == [
            ("failed", "smpp_rinvdstadr")
        ]
