"""How a command reaches the API of a running server: with --url and --key, else with what the server left on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from gateway import administration as books
from gateway import local_access, loop
from gateway.cli.failures import Refused
from gateway.cli.invocation import Invocation
from gateway.client import ApiClient
from gateway.clock import SystemClock
from gateway.local_access import connectable
from gateway.opening import opened
from gateway.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def access_options(command: F) -> F:
    """Gives a command --url and --key: whoever holds a key may use it, without a settings file."""

    def take(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value:
            setattr(context.ensure_object(Invocation), str(parameter.name), value)

    key = click.option(
        "--key",
        envvar="TOCSIN_KEY",
        metavar="TOKEN",
        expose_value=False,
        callback=take,
        help="Your API key; also TOCSIN_KEY, which no list of processes shows.",
    )
    url = click.option(
        "--url",
        envvar="TOCSIN_URL",
        metavar="URL",
        expose_value=False,
        callback=take,
        help="A server elsewhere, with --key; also TOCSIN_URL.",
    )
    return url(key(command))


def own_access(invocation: Invocation) -> ApiClient | None:
    """The API as --url and --key say; None without a key. Raises Refused, and SettingsError where only the settings name the URL."""
    if invocation.key is None:
        return None
    return _client(invocation.url or _url_of(invocation.settings()), invocation.key)


def without_key(url: str) -> Refused:
    """What is said where somebody names a server and no key for it: the local server's key is for that one alone."""
    return Refused(f"say with --key, or TOCSIN_KEY, with which API key {url} is to be asked")


@contextmanager
def api_access(invocation: Invocation) -> Iterator[ApiClient]:
    """The API of a running server: as told, else of the server that these settings describe.

    Raises SettingsError, StoreError, and Refused where no server runs.
    """
    own = own_access(invocation)
    if own is not None:
        yield own
        return
    settings = invocation.settings()
    store_url = settings.store.url.get_secret_value()
    access_path = local_access.path_beside(store_url)
    if access_path is None:
        with _borrowed_key(settings) as borrowed:
            yield _client(invocation.url or _url_of(settings), borrowed)
        return
    if invocation.url is not None:
        raise without_key(invocation.url)
    client = local_access.running_server(access_path)
    if client is None:
        raise Refused(f"no server runs on {store_url.removeprefix('sqlite:///')}: start one with `tocsin serve`")
    yield client


def access_anew(invocation: Invocation) -> ApiClient | None:
    """The server of this machine once it was started again, with another key and perhaps at another port; None while there is none,
    and where what a command has still holds."""
    if invocation.key is not None:
        return None
    return local_access.running_server(local_access.path_beside(invocation.settings().store.url.get_secret_value()))


@contextmanager
def _borrowed_key(settings: Settings) -> Iterator[str]:
    """An administrator's key for as long as one command runs: whoever can open the database may have it."""
    now = SystemClock().now
    with loop.runner() as runner:
        store = runner.run(opened(settings.store))
        try:
            key, text = runner.run(
                store.write(
                    lambda connection: books.create_key(
                        connection, now(), account_id=None, role="administrator", label=local_access.LABEL
                    )
                )
            )
            try:
                yield text
            finally:
                runner.run(store.write(lambda connection: books.revoke_key(connection, now(), key.id)))
        finally:
            runner.run(store.close())


def _url_of(settings: Settings) -> str:
    if settings.http.public_url is not None:
        return settings.http.public_url
    if settings.http.port == 0:
        raise Refused("http.listen has port 0: say with --url where the server answers")
    return connectable(settings.http.host, settings.http.port)


def _client(url: str, key: str) -> ApiClient:
    try:
        return ApiClient(url, key)
    except ValueError as error:
        raise Refused(f"--url: {error}") from error
