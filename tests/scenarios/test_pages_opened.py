"""The pages of a running `tocsin serve`, opened in Chromium: real pages on a wide screen and a telephone, by day and by night."""

from __future__ import annotations

import json
from pathlib import Path

from tests.peers.chromium import Chromium, browsing
from tests.scenarios.served import Served, serving

PHONE, WIDE = 390, 1280
DARK = "rgb(18, 23, 29)"
LIGHT = "rgb(255, 255, 255)"
SMSC = {
    "name": "carrier-hidden",
    "channel": "sms",
    "kind": "smpp",
    "host": "127.0.0.1",
    "system_id": "u",
    "password": "pw",
}


async def opened(browser: Chromium, url: str, path: str, *, width: int, dark: bool) -> None:
    """Opens the page and looks at what every page keeps to."""
    seen = await browser.open(f"{url}{path}", width=width, dark=dark)
    where = (path, width, dark)
    assert not seen.complaints, (where, seen.complaints)
    assert seen.requests[0] == f"{url}{path}"
    assert all(each.startswith(f"{url}/") for each in seen.requests), (where, seen.requests)
    await browser.tell("document.querySelectorAll('details').forEach(each => each.open = true)")
    beyond = await browser.tell(
        "[...document.querySelectorAll('body *')].filter(each => each.getBoundingClientRect().right > innerWidth + 1"
        " && !each.classList.contains('skip')).map(each => each.outerHTML.slice(0, 100))"
    )
    assert not beyond, (where, beyond)
    assert await browser.tell("document.documentElement.scrollWidth <= innerWidth"), where
    assert await browser.tell("getComputedStyle(document.body).backgroundColor") == (DARK if dark else LIGHT), where
    assert await browser.tell("document.scripts.length") == 0
    assert await browser.tell("[...document.images].every(each => each.complete && each.naturalWidth > 0)"), where


async def test_the_pages_are_shown_on_every_screen(tmp_path: Path) -> None:
    async with serving(tmp_path, {**SMSC, "port": 1}) as served, browsing(tmp_path) as browser:
        for path in ("/", "/docs", "/problems/forbidden"):
            for width in (WIDE, PHONE):
                for dark in (False, True):
                    await opened(browser, served.server.url, path, width=width, dark=dark)
        await goes_where_it_says(browser, served)
        await what_is_no_page_is_a_problem(served)
        await nothing_is_told_to_strangers(browser, served)


async def goes_where_it_says(browser: Chromium, served: Served) -> None:
    """Every link of the pages leads to something."""
    for path in ("/", "/docs"):
        await browser.open(f"{served.server.url}{path}", width=WIDE)
        links = await browser.tell("[...new Set([...document.links].map(each => each.href.split('#')[0]))]")
        assert len(links) >= 5, links
        for link in links:
            async with served.server.client() as http, http.get(link, headers={"Accept": "text/html"}) as answer:
                assert answer.status == 200, link
                policy = answer.headers.get("Content-Security-Policy", "")
                if "html" in answer.headers["Content-Type"]:
                    assert policy.startswith("default-src 'none'; style-src 'self'"), link
                    assert "unsafe" not in policy


async def what_is_no_page_is_a_problem(served: Served) -> None:
    """Paths beside those of the pages."""
    async with served.server.client() as http:
        for path in ("/docs/nothing", "/docs/..%2Frouter.py", "/docs/router.py", "/problems/nothing", "/problems/"):
            async with http.get(path, headers={"Accept": "text/html"}) as answer:
                assert (answer.status, answer.content_type) == (404, "application/problem+json"), path
        async with http.get("/docs/", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, "../docs")
        async with http.get("/problems/forbidden", headers={"Accept": "application/json"}) as answer:
            assert (await answer.json())["status"] == 403
        async with http.head("/docs") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def nothing_is_told_to_strangers(browser: Chromium, served: Served) -> None:
    """The first page says what this is and whether it is ready; no account, no provider, no number of anything."""
    await browser.open(f"{served.server.url}/", width=WIDE)
    text = await browser.tell("document.body.innerText")
    assert "Ready: alerts are taken" in text
    assert "carrier-hidden" not in text
    assert "acme" not in text
    async with served.server.client() as http, http.get("/", headers={"Accept": "application/json"}) as answer:
        told = json.loads(await answer.text())
    assert set(told) == {"name", "version", "ready", "links"}
    assert told["ready"] is True
