"""``oncepay migrate``: bring the database's tables to this release."""

from __future__ import annotations

import click

from oncepay.cli.common import as_json, run, settings
from oncepay.cli.output import print_json


@click.command(short_help="Bring the database to this release.")
@as_json
def migrate(*, as_json: bool) -> None:
    """Make the tables, or bring them to this release.

    Safe while others start at the same moment: the database lets one go first. `serve` and `work` do the same when they
    start; run it by itself when you want to see it happen before.
    """
    run(_migrate(as_json=as_json))


async def _migrate(*, as_json: bool) -> None:
    from oncepay.assembly import SystemDice
    from oncepay.store.migrations import migrations
    from oncepay.store.open import open_ledger

    config = settings()
    ledger = await open_ledger(config.database_url, token=SystemDice().token, migrate=True)
    await ledger.close()
    last = migrations()[-1]
    if as_json:
        print_json({"database": shown(config.database_url), "migration": last.number, "name": last.name})
    else:
        click.echo(f"{shown(config.database_url)} is at migration {last.number} ({last.name}).")


def shown(database_url: str) -> str:
    """A database URL without its password.

    >>> shown("postgresql://ann:secret@db:5432/pay"), shown("sqlite:///oncepay.db")
    ('postgresql://ann@db:5432/pay', 'sqlite:///oncepay.db')
    """
    scheme, mark, rest = database_url.partition("://")
    who, at, where = rest.rpartition("@")
    return f"{scheme}{mark}{who.partition(':')[0]}{at}{where.partition('?')[0]}"
