"""``oncepay account``: merchant accounts at the channels. Secrets come from files and are sealed in the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oncepay.cli.common import as_json, contents, opened, pairs, run
from oncepay.cli.output import print_json, print_table

if TYPE_CHECKING:
    from oncepay.ports import Account


@click.group()
def account() -> None:
    """Merchant accounts at the channels."""


@account.command()
@click.argument("account_id", metavar="ID")
@click.option("--channel", default="", help="The channel, by name; a wrong name is answered with all there are.")
@click.option("--identity", multiple=True, metavar="NAME=VALUE", help="What the channel calls us; never changes.")
@click.option("--setting", multiple=True, metavar="NAME=VALUE", help="What is not secret. Repeat base_urls for more.")
@click.option("--setting-file", multiple=True, metavar="NAME=PATH", help="The same, from a file: a public key ...")
@click.option("--secret-file", multiple=True, metavar="NAME=PATH", help="A secret, from a file.")
@click.option(
    "--from-sandbox",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="All of it from a sandbox's sandbox.json.",
)
@as_json
def add(
    *,
    account_id: str,
    channel: str,
    identity: tuple[str, ...],
    setting: tuple[str, ...],
    setting_file: tuple[str, ...],
    secret_file: tuple[str, ...],
    from_sandbox: Path | None,
    as_json: bool,
) -> None:
    """Add an account, or give a known one other keys; a retired one stays retired. Missing or unreadable keys are
    refused here, not at the first payment.

    \b
    oncepay account add main --channel CHANNEL --identity merchant=1900000001 --setting key_id=4711 \\
      --setting-file public_key_pem=pub_key.pem --secret-file private_key_pem=key.pem

    oncepay account add play --channel CHANNEL --from-sandbox sandbox/sandbox.json

    What an account holds stands on the page of its channel.
    """
    if from_sandbox is not None:
        if identity or setting or setting_file or secret_file:
            raise click.UsageError("--from-sandbox brings everything; leave the other options out")
        given = of_sandbox(from_sandbox, channel)
    else:
        if not channel:
            raise click.UsageError("say --channel")
        given = {
            "identity": pairs(identity, "--identity"),
            "settings": {
                **_settings(setting),
                **contents(pairs(setting_file, "--setting-file"), "--setting-file"),
            },
            "secrets": contents(pairs(secret_file, "--secret-file"), "--secret-file"),
        }

    async def work() -> Account:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.add_account(engine, account_id, channel, **given)

    made = run(work())
    if as_json:
        print_json(_shown(made))
    else:
        stays = f"; it stays retired (oncepay account reopen {made.id})" if made.retired else ""
        click.echo(f"Account {made.id} ({made.channel}) is there, revision {made.revision}{stays}.")


@account.command("list")
@as_json
def list_(*, as_json: bool) -> None:
    """All accounts, without their secrets."""

    async def work() -> list[Account]:
        async with opened() as engine:
            return engine.directory.accounts()

    found = sorted(run(work()), key=lambda account: account.id)
    if as_json:
        print_json([_shown(account) for account in found])
        return
    print_table(
        ("id", "channel", "identity", "revision", "state"),
        [
            (
                account.id,
                account.channel,
                " ".join(f"{name}={value}" for name, value in account.identity.items()),
                account.revision,
                "retired" if account.retired else "active",
            )
            for account in found
        ],
        empty="There is no account yet: oncepay account add ID ...",
    )


@account.command()
@click.argument("account_id", metavar="ID")
@as_json
def retire(*, account_id: str, as_json: bool) -> None:
    """No new attempts with it from now on. What is under way goes on, and so do refunds."""

    async def work() -> Account:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.retire_account(engine, account_id)

    changed = run(work())
    if as_json:
        print_json(_shown(changed))
    else:
        click.echo(f"Account {changed.id} is retired.")


@account.command()
@click.argument("account_id", metavar="ID")
@as_json
def reopen(*, account_id: str, as_json: bool) -> None:
    """Take a retired account back into use, with the keys that it has."""

    async def work() -> Account:
        from oncepay.engine import admin

        async with opened() as engine:
            return await admin.reopen_account(engine, account_id)

    changed = run(work())
    if as_json:
        print_json(_shown(changed))
    else:
        click.echo(f"Account {changed.id} is in use.")


def of_sandbox(path: Path, channel: str) -> dict[str, Any]:
    """Identity, settings and secrets of a channel's account from a ``sandbox.json``. Raises BadParameter."""
    import msgspec

    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        played = {name: block["account"] for name, block in document.items() if isinstance(block, dict)}
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise click.BadParameter(f"{path} is no sandbox.json: {error!r}", param_hint="--from-sandbox") from None
    if channel not in played:
        said = f"has no channel {channel!r}, only" if channel else "plays several channels; say --channel, one of"
        raise click.BadParameter(f"{path} {said} {', '.join(sorted(played))}", param_hint="--from-sandbox")
    account: dict[str, Any] = played[channel]
    return account


def _settings(given: tuple[str, ...]) -> dict[str, Any]:
    """``base_urls`` may be given several times, the preferred one first."""
    urls = [text.partition("=")[2] for text in given if text.startswith("base_urls=")]
    found: dict[str, Any] = dict(pairs(tuple(t for t in given if not t.startswith("base_urls=")), "--setting"))
    if urls:
        found["base_urls"] = urls
    return found


def _shown(account: Account) -> dict[str, Any]:
    """What may be shown: of the secrets, only which there are."""
    return {
        "id": account.id,
        "channel": account.channel,
        "identity": dict(account.identity),
        "settings": dict(account.settings),
        "secrets": sorted(account.secrets),
        "revision": account.revision,
        "retired": account.retired,
    }
