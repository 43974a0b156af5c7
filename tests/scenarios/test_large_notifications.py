"""The largest outages: Alertmanager's notifications beyond every bound are heard of by the people of their rule."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import aiohttp

from gateway.large_notification import MEMBERS_MAX
from tests.peers.smsc import NodeSmsc
from tests.scenarios import test_alertmanager as scenarios
from tests.scenarios.test_alertmanager import ON_CALL, Server, StartServer, texts

start_server = scenarios.start_server
LIMIT = 10 * 1024 * 1024
"""`max_body_bytes`, unless the settings say otherwise."""


def member(n: int, status: str = "firing", **annotations: str) -> dict[str, Any]:
    labels = {"alertname": "InstanceDown", "team": "database", "instance": f"db{n}"}
    return {"status": status, "labels": labels, "annotations": annotations, "fingerprint": f"{n:016x}"}


def group(members: list[dict[str, Any]], status: str = "firing", key: str = "{}:{alertname=InstanceDown}") -> bytes:
    """In the order in which Alertmanager writes: the group's key is behind the members."""
    labels = {"alertname": "InstanceDown", "team": "database"}
    return json.dumps(
        {
            "receiver": "tocsin", "status": status, "alerts": members, "groupLabels": labels, "commonLabels": labels,
            "commonAnnotations": {}, "externalURL": "http://am", "version": "4", "groupKey": key, "truncatedAlerts": 0,
        }
    ).encode()  # fmt: skip


async def post(server: Server, body: bytes) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(server.webhook, data=BytesIO(body)) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_case_1_13_a_group_of_more_members_than_are_read_is_told_with_their_number(
    smsc: NodeSmsc, start_server: StartServer
) -> None:
    server = await start_server(ON_CALL)
    status, answer = await post(server, group([member(n) for n in range(MEMBERS_MAX + 1)]))
    assert (status, answer["alerts_total"]) == (202, 1)
    (told,) = await texts(smsc, 1)
    assert "10001 firing" in told
    status, answer = await post(server, group([member(1, "resolved")], "resolved"))
    assert (status, answer["alerts_total"]) == (200, 1)
    await server.alerts_become("resolved")


async def test_case_1_13_a_body_larger_than_all_that_is_taken_raises_one_alert_for_its_group(
    smsc: NodeSmsc, start_server: StartServer
) -> None:
    server = await start_server(ON_CALL)
    body = group([member(n, description="x" * 3_000) for n in range(4_000)])
    assert len(body) > LIMIT
    status, answer = await post(server, body)
    assert (status, answer["alerts_total"]) == (202, 1)
    (told,) = await texts(smsc, 1)
    assert "4000 firing" in told
    assert (await post(server, body))[1]["alerts"][0]["outcome"] == "joined"
    status, answer = await post(server, group([member(1, "resolved")], "resolved"))
    assert (status, answer["alerts_total"]) == (200, 1)  # it was the group's own key, though it came last
    await server.alerts_become("resolved")


async def test_case_1_13_what_cannot_be_read_to_its_end_raises_an_alert_too(
    smsc: NodeSmsc, start_server: StartServer
) -> None:
    server = await start_server(ON_CALL)
    status, _ = await post(server, group([member(1), member(2, description="x" * (LIMIT + 1)), member(3)]))
    assert status == 202
    (told,) = await texts(smsc, 1)
    assert "InstanceDown" in told
    assert "too large" in told


async def test_case_1_13_members_that_have_no_alert_of_their_own_are_told_by_the_group_s(
    smsc: NodeSmsc, start_server: StartServer
) -> None:
    server = await start_server(ON_CALL.replace("[rules.match]", 'per = "member"\n[rules.match]'))
    body = json.loads(group([member(1), member(2)])) | {"truncatedAlerts": 500}
    status, answer = await post(server, json.dumps(body).encode())
    assert (status, answer["alerts_total"]) == (202, 3)
    assert sum("502 firing" in told for told in await texts(smsc, 3)) == 1


async def test_case_1_14_a_group_that_is_resolved_ends_all_of_its_members(
    smsc: NodeSmsc, start_server: StartServer
) -> None:
    server = await start_server(ON_CALL.replace("[rules.match]", 'per = "member"\n[rules.match]'))
    earlier = [member(n) for n in range(40)]
    assert (await post(server, group(earlier)))[1]["alerts_total"] == 40
    later = [member(n) for n in range(30, 60)]
    assert (await post(server, group(later)))[1]["alerts_total"] == 30
    assert (await post(server, group([member(100)], key="{}:{alertname=Other}")))[1]["alerts_total"] == 1
    over = json.loads(group([member(n, "resolved") for n in range(50, 55)], "resolved")) | {"truncatedAlerts": 25}
    status, answer = await post(server, json.dumps(over).encode())
    assert (status, answer["alerts_total"]) == (200, 60)
    await server.alerts_become(*["resolved"] * 60, "active")  # the other group still fires


async def test_case_1_13_what_no_rule_and_nobody_takes_is_told_to_the_last_resort(
    smsc: NodeSmsc, start_server: StartServer
) -> None:
    last = '[last_resort]\nrecipients = ["sms:+33612345699"]\n'
    nowhere = ON_CALL.replace("database", "web")
    server = await start_server(last + nowhere)
    huge = group([member(1), member(2, description="x" * (LIMIT + 1024 * 1024)), member(3)])
    assert (await post(server, huge))[0] == 202
    assert (await post(server, huge))[1]["alerts"][0]["outcome"] == "joined"
    (told,) = await texts(smsc, 1)
    assert "too large" in told
    small = json.loads(group([member(1)]))
    assert (await post(server, json.dumps(small).encode()))[0] == 422  # no rule is for it, and that is meant


def small(n: int, **more: Any) -> dict[str, Any]:
    """A group of its own, with one member."""
    found: dict[str, Any] = json.loads(group([member(n)], key=f"{{}}:{{n={n}}}"))
    return found | more


def without(posted: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in posted.items() if name not in names}


def as_json(posted: object) -> bytes:
    return json.dumps(posted).encode()


CLEAR: dict[str, bytes] = {
    "no UTF-8": as_json(small(1, receiver="MARK")).replace(b"MARK", b"\xe9\xff"),
    "UTF-16": json.dumps(small(2)).encode("utf-16"),
    "a mark before it": b"\xef\xbb\xbf" + as_json(small(3)),
    "a count as text": as_json(small(4, truncatedAlerts="3")),
    "a count below zero": as_json(small(5, truncatedAlerts=-1)),
    "no status": as_json(without(small(6), "status")),
    "a status in capitals": as_json(small(7, status="FIRING")),
    "a member's status in capitals": as_json(small(8, alerts=[member(8, "FIRING")])),
    "labels that are no texts": as_json(small(9, groupLabels={"team": "database", "shard": 3, "on": True, "no": None})),
    "a number as version": as_json(small(10, version=4)),
    "no version": as_json(without(small(11), "version")),
    "no key": as_json(without(small(12), "groupKey")),
    "half a character": as_json(small(13, receiver="\ud800")),
    "a line's end within a text": as_json(small(14, receiver="a\nb")).replace(b"\\n", b"\n"),
}
"""Of the rule's group; what is odd changes nothing of what is meant."""
UNCLEAR: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"the house is on fire",
    "bytes": bytes(range(256)),
    "nothing": b"null",
    "an array": b"[" + as_json(small(20)) + b"]",
    "an empty object": b"{}",
    "deep": b'{"groupKey": "deep", "x": ' + b"[" * 30_000,
    "deep labels": as_json(small(21)).replace(b'"db21"', b"[" * 5_000 + b"]" * 5_000),
    "cut off": as_json(small(22))[:-200],
    "two at once": as_json(small(23, status="resolved")) + as_json(small(24)),
    "another version": as_json(small(25, version="5")),
    "no members": as_json(without(small(26), "alerts")),
    "members that are none": as_json(small(27, alerts=["x", 1])),
    "labels that are a text": as_json(small(28, groupLabels="all", commonLabels=None)),
    "a huge number": as_json(small(29)).replace(b'"truncatedAlerts": 0', b'"truncatedAlerts": ' + b"9" * 5_000),
}


async def test_case_1_13_what_alertmanager_does_not_write_is_told_all_the_same(
    smsc: NodeSmsc, start_server: StartServer
) -> None:
    last = '[last_resort]\nrecipients = ["sms:+33612345678"]\n'
    server = await start_server(last + ON_CALL)  # the same person: where a notification went is in the answer
    assert (await server.post({}, key="tok_wrong"))[0] == 401
    for what, body in CLEAR.items():
        status, answer = await post(server, body)
        assert (what, status, answer.get("rule")) == (what, 202, "database"), answer
        assert [one["outcome"] for one in answer["alerts"]] == ["accepted"], what
        assert answer["detail"].startswith("read with goodwill: "), what
    told = await texts(smsc, len(CLEAR))
    assert not [text for text in told if "could not be read" in text or "InstanceDown" not in text]
    assert sum("4 firing" in text for text in told) == 1  # one, and three that max_alerts cut off
    for what, body in UNCLEAR.items():
        status, answer = await post(server, body)
        assert (what, status, [one["outcome"] for one in answer["alerts"]]) == (what, 202, ["accepted"]), answer
        assert answer["detail"].startswith("could not be read in full: "), what
    told = (await texts(smsc, len(CLEAR) + len(UNCLEAR)))[len(CLEAR) :]
    assert all("could not be read in full" in text for text in told)
    assert (await post(server, UNCLEAR["no JSON"]))[1]["alerts"][0]["outcome"] == "joined"
    over = small(7, status="Resolved", alerts=[member(7, "RESOLVED")])
    status, answer = await post(server, as_json(over))
    assert (status, [one["outcome"] for one in answer["alerts"]]) == (200, ["resolved"])
    silent = as_json(without(small(6, alerts=[member(6, "resolved")]), "status"))
    assert (await post(server, silent))[0] == 200
