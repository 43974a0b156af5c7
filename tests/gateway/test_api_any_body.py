"""Whatever a body, a query or a path says, no route takes it for a fault of the gateway's: it is answered, and never with 500."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.api.roles import Permission
from tests.gateway.api_desk import running
from tests.gateway.test_api_roles import CALLS, filled

WHOLE: tuple[bytes, ...] = (
    b"", b"{}", b"[]", b"null", b"1", b"1e400", b"NaN", b'"x"', b"true", b"[[[]]]", b"{", b"\xff", b"\xef\xbb\xbf{}", b'"\\ud800"',
    b'{"":null}', b'{"\\ud800":1}', b'{"\\u0000":1}', b"[" * 5_000, b'{"a":' * 5_000, b"9" * 5_000, b"-0", b" ",
    "{}".encode("utf-16"),
)  # fmt: skip
"""Bodies as they come."""
WRONG: tuple[str, ...] = (
    "null", "true", "-1", "0", "1.5", "1e400", "9223372036854775808", "9" * 400, '""', '"x"', '" "', '"\\u0000"', '"\\ud800"',
    '"2026-13-45T99:99:99Z"', '"9999-12-31T23:59:59-14:00"', '"0001-01-01T00:00:00+14:00"', '"1e9"', '"NaN"', '"Infinity"', '"0x10"',
    '"٣"', json.dumps("x" * 10_000), "[]", "[null]", "[[]]", "[{}]", "{}", '{"":""}', '{"\\ud800":"\\ud800"}', '{"x":{"x":[]}}',
)  # fmt: skip
"""Values in place of each member."""
APART = 3
"""Each member gets every third of these, and its neighbours the others: the whole table would take twenty seconds."""
ASKED: tuple[str, ...] = (
    "", "x", "-1", "0", "9" * 400, "%00", "%ff", "%ed%a0%80", "%F0%9F%98%80", "x" * 5_000, "1%0d%0aX:%20y", "null", "..%2f..%2fv1",
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00%2B14:00", "2026-02-30", "NaN", "%25", "'%22;--",
)  # fmt: skip
"""Values of each parameter, and in place of each name in a path."""
JSON = {"Content-Type": "application/json"}
VALID: dict[str, str] = {
    "AlertRequest": '{"text":"x","recipients":["sms:+33612345678"],"dry_run":true}',
    "Notification": '{"version":"4","groupKey":"g","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"x"}}]}',
}


def model_of(operation: Any) -> str:
    """The name of the schema of a request's body; "" where it has none."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    found = json.dumps(schema).partition("#/components/schemas/")[2]
    return found.partition('"')[0]


def changed(model: str, schemas: Any) -> Iterator[bytes]:
    """Bodies of this model with one member that is wrong, and with one that nobody knows."""
    whole = json.loads(VALID.get(model, "{}"))
    for place, member in enumerate((*schemas[model].get("properties", {}), "unknown")):
        for value in WRONG[place % APART :: APART]:
            others = {name: one for name, one in whole.items() if name != member}
            rest = json.dumps(others)[1:-1]
            yield f"{{{rest}{',' if rest else ''}{json.dumps(member)}:{value}}}".encode()


async def test_no_route_answers_500_whatever_it_is_asked(tmp_path: Path) -> None:
    statuses: Counter[int] = Counter()
    async with running(tmp_path) as desk:
        client = desk.client()
        document = (await client.get("/openapi.json")).json()
        schemas = document["components"]["schemas"]

        async def ask(method: str, path: str, body: bytes | None = None) -> None:
            sent = JSON if body is not None else {}
            answer = await client.request(method, path, content=body, headers=sent)
            assert answer.status_code != 500, (method, path, (body or b"")[:200], answer.text)
            if answer.status_code >= 400:
                assert answer.headers["Content-Type"] == "application/problem+json", (method, path, body)
                assert answer.json()["status"] == answer.status_code
            statuses[answer.status_code] += 1

        for call in CALLS:
            operation = document["paths"][call.path][call.method.lower()]
            path = filled(call.path)
            account = "?account=acme" if call.path == "/v1/alerts" and call.method == "POST" else ""
            if call.method in ("POST", "PUT", "PATCH"):
                large = b"[" + b" " * 70_000 + b"]"
                answer = await client.request(call.method, path + account, content=large, headers=JSON)
                takes_large = call.permission is Permission.SUBMIT
                assert answer.status_code == (422 if takes_large else 413), (call, answer.text)
                for body in WHOLE:
                    await ask(call.method, path + account, body)
                model = model_of(operation)
                for body in changed(model, schemas) if model else ():
                    await ask(call.method, path + account, body)
            for parameter in operation.get("parameters", ()):
                for value in ASKED:
                    if parameter["in"] == "query":
                        await ask(call.method, f"{path}?{parameter['name']}={value}")
                    elif parameter["in"] == "path":
                        wild = call.path.replace(f"{{{parameter['name']}}}", value)
                        await ask(call.method, filled(wild) if "{" in wild else wild)
    assert statuses[422] > 800, statuses
