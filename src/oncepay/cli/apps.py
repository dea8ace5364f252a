"""``oncepay app``: the business applications, their keys and policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from oncepay.cli.common import as_json, opened, run
from oncepay.cli.output import print_json, print_table, when

if TYPE_CHECKING:
    from oncepay.ports import App


@click.group()
def app() -> None:
    """Business applications."""


@app.command()
@click.argument("app_id", metavar="ID")
@click.option("--name", default="", help="For people; the id if left out.")
@as_json
def create(*, app_id: str, name: str, as_json: bool) -> None:
    """A new application and its first key, which is shown this once."""

    async def work() -> tuple[App, str]:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.create_app(engine, app_id, name)

    made, key = run(work())
    if as_json:
        print_json({"app": _shown(made), "key": key})
    else:
        click.echo(f"App {made.id} is there. Its key, shown this once:")
        click.echo(key)


@app.command("list")
@as_json
def list_(*, as_json: bool) -> None:
    """All applications."""

    async def work() -> list[App]:
        async with opened() as engine:
            return list(engine.directory.apps().values())

    found = sorted(run(work()), key=lambda app: app.id)
    if as_json:
        print_json([_shown(app) for app in found])
        return
    print_table(
        ("id", "name", "late money", "unclosable", "private networks", "keys (end, last used)"),
        [
            (
                app.id,
                app.name,
                app.late,
                app.unclosable,
                " ".join(app.private_networks),
                ", ".join(f"..{key.hint} {when(key.used_ms)}" for key in app.keys),
            )
            for app in found
        ],
        empty="There is no app yet: oncepay app create ID",
    )


@app.command("rotate-key")
@click.argument("app_id", metavar="ID")
@as_json
def rotate_key(*, app_id: str, as_json: bool) -> None:
    """A second key beside the newest one, shown this once. An older second one stops working now."""

    async def work() -> str:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.rotate_key(engine, engine.directory.app(app_id))

    key = run(work())
    if as_json:
        print_json({"app": app_id, "key": key})
    else:
        click.echo(key)


@app.command("revoke-key")
@click.argument("app_id", metavar="ID")
@click.argument("end", metavar="LAST-FOUR")
@as_json
def revoke_key(*, app_id: str, end: str, as_json: bool) -> None:
    """Stop a key at once, named by its last four characters."""

    async def work() -> App:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.revoke_key(engine, engine.directory.app(app_id), end)

    changed = run(work())
    if as_json:
        print_json(_shown(changed))
    else:
        click.echo(f"The key ..{end} of {app_id} works no more; {len(changed.keys)} left.")


@app.command()
@click.argument("app_id", metavar="ID")
@click.option("--late", type=click.Choice(["refund", "accept"]), help="Money that comes for a closed payment.")
@click.option(
    "--unclosable",
    type=click.Choice(["switch", "wait"]),
    help="When the payer wants to pay another way and the first attempt cannot be closed.",
)
@click.option(
    "--private-network",
    "networks",
    multiple=True,
    metavar="CIDR",
    help="A private network that this app's webhooks may reach; repeat for more. Replaces the list.",
)
@click.option("--no-private-networks", is_flag=True, help="Webhooks go to public addresses only.")
@as_json
def policies(
    *,
    app_id: str,
    late: str | None,
    unclosable: str | None,
    networks: tuple[str, ...],
    no_private_networks: bool,
    as_json: bool,
) -> None:
    """Change an application's policies; without options, show them. Payments keep those they were made with."""
    if networks and no_private_networks:
        raise click.UsageError("--no-private-networks and --private-network: say one of them")

    async def work() -> App:
        from oncepay.engine import admin

        async with opened() as engine:
            known = engine.directory.app(app_id)
            if late is None and unclosable is None and not networks and not no_private_networks:
                return known
            return await admin.set_policies(
                engine,
                known,
                late=late,  # type: ignore[arg-type]  # click.Choice has checked the word
                unclosable=unclosable,  # type: ignore[arg-type]
                private_networks=() if no_private_networks else networks or None,
            )

    changed = run(work())
    if as_json:
        print_json(_shown(changed))
        return
    print_table(
        ("policy", "value"),
        [
            ("late", changed.late),
            ("unclosable", changed.unclosable),
            ("private networks", " ".join(changed.private_networks) or "none"),
        ],
        empty="",
    )


def _shown(app: App) -> dict[str, Any]:
    """What may be shown: no hashes of keys."""
    return {
        "id": app.id,
        "name": app.name,
        "late": app.late,
        "unclosable": app.unclosable,
        "private_networks": list(app.private_networks),
        "keys": [{"hint": key.hint, "created_ms": key.created_ms, "used_ms": key.used_ms or None} for key in app.keys],
        "created_ms": app.created_ms,
    }
