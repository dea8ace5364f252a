"""``oncepay endpoint``: where applications hear what happened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from oncepay.cli.common import as_json, opened, run
from oncepay.cli.output import print_json, print_table, when

if TYPE_CHECKING:
    from oncepay.ports import Endpoint


@click.group()
def endpoint() -> None:
    """Where applications hear events."""


@endpoint.command()
@click.argument("app_id", metavar="APP")
@click.argument("url")
@as_json
def add(*, app_id: str, url: str, as_json: bool) -> None:
    """Send an application's events to a URL. The secret that signs them is shown this once.

    The URL is https://..., or a broker's: amqps://user:password@host/vhost?queue=NAME (RabbitMQ),
    kafkas://user:password@host:9093/TOPIC, rediss://user:password@host/0?stream=NAME. It must be on a public address;
    private networks, and amqp://, kafka:// or redis:// without TLS in them, must be allowed first (`oncepay app
    policies`). With - the URL is read from standard input, so that no password stands in the shell's history.
    """

    async def work() -> tuple[Endpoint, str]:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.add_endpoint(engine, engine.directory.app(app_id), written(url))

    made, secret = run(work())
    if as_json:
        print_json({"endpoint": _shown(made), "secret": secret})
    else:
        click.echo(f"Endpoint {made.id} of {app_id} is there. Its secret, shown this once:")
        click.echo(secret)


@endpoint.command("list")
@click.argument("app_id", metavar="[APP]", required=False)
@as_json
def list_(*, app_id: str | None, as_json: bool) -> None:
    """All endpoints, or those of one application."""

    async def work() -> list[Endpoint]:
        async with opened() as engine:
            apps = [engine.directory.app(app_id).id] if app_id else sorted(engine.directory.apps())
            return [endpoint for app in apps for endpoint in engine.directory.endpoints_of(app)]

    found = run(work())
    if as_json:
        print_json([_shown(endpoint) for endpoint in found])
        return
    print_table(
        ("id", "app", "url", "secrets", "state", "since"),
        [(e.id, e.app, e.url, len(e.secrets), e.disabled or "active", when(e.created_ms)) for e in found],
        empty="There is no endpoint yet: oncepay endpoint add APP URL",
    )


@endpoint.command()
@click.argument("app_id", metavar="APP")
@click.argument("endpoint_id", metavar="ID")
@as_json
def rotate(*, app_id: str, endpoint_id: str, as_json: bool) -> None:
    """A second secret, shown this once. Messages carry both signatures until the next rotation."""

    async def work() -> str:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.rotate_secret(engine, engine.directory.app(app_id), bare(endpoint_id))

    secret = run(work())
    if as_json:
        print_json({"endpoint": bare(endpoint_id), "secret": secret})
    else:
        click.echo(secret)


@endpoint.command()
@click.argument("app_id", metavar="APP")
@click.argument("endpoint_id", metavar="ID")
@click.argument("url", default="-")
@as_json
def login(*, app_id: str, endpoint_id: str, url: str, as_json: bool) -> None:
    """Another user or password at an endpoint's broker; what waits to be delivered stays.

    URL is the endpoint's, with the new login in it; with -, or nothing, it is read from standard input.
    """

    async def work() -> Endpoint:
        from oncepay.engine import admin

        async with opened() as engine:
            app = engine.directory.app(app_id)
            return await admin.change_login(engine, app, bare(endpoint_id), written(url))

    changed = run(work())
    if as_json:
        print_json(_shown(changed))
    else:
        click.echo(f"Endpoint {changed.id} logs in anew.")


@endpoint.command()
@click.argument("app_id", metavar="APP")
@click.argument("endpoint_id", metavar="ID")
@as_json
def enable(*, app_id: str, endpoint_id: str, as_json: bool) -> None:
    """Deliver again to an endpoint that was disabled (it had answered 410)."""

    async def work() -> Endpoint:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.enable_endpoint(engine, engine.directory.app(app_id), bare(endpoint_id))

    changed = run(work())
    if as_json:
        print_json(_shown(changed))
    else:
        click.echo(f"Endpoint {changed.id} is active.")


@endpoint.command()
@click.argument("app_id", metavar="APP")
@click.argument("endpoint_id", metavar="ID")
@as_json
def remove(*, app_id: str, endpoint_id: str, as_json: bool) -> None:
    """Forget an endpoint and what was still to be delivered to it."""

    async def work() -> None:
        from oncepay.engine import admin

        async with opened() as engine:
            await admin.remove_endpoint(engine, engine.directory.app(app_id), bare(endpoint_id))

    run(work())
    if as_json:
        print_json({"removed": bare(endpoint_id)})
    else:
        click.echo(f"Endpoint {bare(endpoint_id)} is gone.")


def written(url: str) -> str:
    """The URL, from standard input when it is not on the command line."""
    return sys.stdin.readline().strip() if url == "-" else url


def bare(endpoint_id: str) -> str:
    """The id without a prefix that the API may have put before it."""
    return endpoint_id.rpartition("_")[2]


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    """What may be shown: no secrets, not even sealed."""
    return {
        "id": endpoint.id,
        "app": endpoint.app,
        "url": endpoint.url,
        "secrets": len(endpoint.secrets),
        "disabled": endpoint.disabled or None,
        "created_ms": endpoint.created_ms,
    }
