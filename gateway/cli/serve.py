"""`tocsin serve`: the gateway itself."""

from __future__ import annotations

import click
import structlog

from gateway import logs
from gateway.broker import Broker, Role
from gateway.cli.cautions import warnings_of
from gateway.cli.failures import Refused
from gateway.cli.invocation import Invocation, common_options, this_invocation
from gateway.serving import run, run_gateway
from gateway.settings import Settings
from gateway.surroundings import examine_surroundings

log = structlog.get_logger(__name__)


@click.command()
@click.option(
    "--role",
    type=click.Choice(["all", "api", "worker"]),
    default="all",
    show_default=True,
    help="Take alerts in, send them, or both; one of them alone needs PostgreSQL and Redis.",
)
@common_options
def serve(role: Role) -> None:
    """Run the gateway until SIGINT or SIGTERM. What is under way is finished first, within bounds."""
    invocation = this_invocation()
    loaded = invocation.examined()
    settings = loaded.settings
    ensure_role_fits(settings, role)
    logs.configure(settings.log.level, settings.log.format)
    for warning in [*warnings_of(loaded), *examine_surroundings(loaded, beside_server=False)]:
        log.warning("settings_warning", warning=warning)
    run(_serve(invocation, settings, role))
    log.info("gateway_stopped")


async def _serve(invocation: Invocation, settings: Settings, role: Role) -> None:
    async def started(url: str, _broker: Broker) -> None:
        providers = [provider.name for provider in settings.providers]
        told = f"tocsin is ready at {url} ({', '.join(providers) or 'no provider'})"
        invocation.show({"ready": True, "url": url, "providers": providers}, told)

    await run_gateway(settings, started, role=role)


def ensure_role_fits(settings: Settings, role: Role) -> None:
    """Raises Refused where several processes could not work on this store and queue."""
    if role == "all":
        return
    if settings.store.url.get_secret_value().startswith("sqlite:"):
        raise Refused(
            f'--role {role} needs PostgreSQL: SQLite belongs to one process; set store.url = "postgresql://…"'
        )
    if settings.queue.url.get_secret_value() == "memory:":
        raise Refused(f'--role {role} needs Redis: the queue in memory is one process\'s; set queue.url = "redis://…"')
