"""``oncepay restored``: say that the database came back from a backup."""

from __future__ import annotations

import click

from oncepay.cli.common import as_json, run, settings
from oncepay.cli.migrate import shown
from oncepay.cli.output import print_json


@click.command(short_help="Say that the database came back from a backup.")
@as_json
def restored(*, as_json: bool) -> None:
    """Say that the database was restored from a backup, or failed over to a server that had lost commits.

    Run it once, before `serve` and `work` are started again. Places in the feed of events that were given after the
    backup will be given again, to other events: an app that went on from the one it has stored would miss them. So all
    of them start over, and the apps read the feed from its beginning; what they know already they drop by version.
    """
    run(_restored(as_json=as_json))


async def _restored(*, as_json: bool) -> None:
    from oncepay.assembly import SystemDice
    from oncepay.store.open import open_ledger

    config, dice = settings(), SystemDice()
    ledger = await open_ledger(config.database_url, token=dice.token, migrate=False)
    try:
        await ledger.start_epoch(dice.token())
    finally:
        await ledger.close()
    if as_json:
        print_json({"database": shown(config.database_url), "feed": "starts over"})
    else:
        click.echo(f"The feed of events of {shown(config.database_url)} starts over. Start the centre now.")
