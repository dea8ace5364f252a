"""``oncepay doctor``: whether everything is as it must be, and what would be better."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import click

from oncepay.cli import exits
from oncepay.cli.common import as_json, run, settings
from oncepay.cli.output import print_json, print_table

if TYPE_CHECKING:
    from oncepay.cli.checks import Finding
    from oncepay.config import Config

SECRET: Final = frozenset({"master_key"})


@click.command(short_help="Check settings, keys, database, clocks, accounts.")
@click.option("--offline", is_flag=True, help="Do not call the channels or our own public address.")
@as_json
def doctor(*, offline: bool, as_json: bool) -> None:
    """Check the settings, the master key, the database and its settings, the clocks, every account and its channel.

    Exit code 0 when nothing is wrong; 1 when something is, and 6 when already the settings are.
    """
    config = settings()
    found = run(_examine(config, offline=offline))
    wrong = sum(finding.level == "failed" for finding in found)
    if as_json:
        print_json({"settings": shown(config), "findings": found, "failed": wrong})
    else:
        print_table(("setting", "value"), [(f"ONCEPAY_{n.upper()}", v) for n, v in shown(config).items()], empty="")
        click.echo()
        print_table(("", "check", "found"), [(f.level, f.check, f.text) for f in found], empty="")
        click.echo()
        click.echo(f"{wrong} of {len(found)} checks failed." if wrong else "All is well.")
    if wrong:
        raise SystemExit(exits.FAILED)


async def _examine(config: Config, *, offline: bool) -> list[Finding]:
    from oncepay.cli.checks import examine

    findings: AsyncIterator[Finding] = examine(config, offline=offline)
    return [finding async for finding in findings]


def shown(config: Config) -> dict[str, object]:
    """All settings with their values; what is secret only as set or not."""
    import msgspec

    from oncepay.cli.migrate import shown as without_password

    found: dict[str, object] = msgspec.to_builtins(config)
    for name in SECRET:
        found[name] = "set" if found[name] else "not set"
    for name in ("database_url", "redis_url"):
        found[name] = without_password(str(found[name]))
    return found
