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
@click.option("--channel", default="", help="The channel: wechat.")
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
    """Add an account, or give a known one other keys. Missing or unreadable keys are refused here, not at the first
    payment.

    \b
    oncepay account add wx-main --channel wechat --identity mchid=1900000001 --identity appid=wx8888888888888888 \\
      --setting merchant_serial_no=5157F09EFDC096DE15EBE81A47057A72 \\
      --setting public_key_id=PUB_KEY_ID_0119000000012024010100000001 --setting-file public_key_pem=pub_key.pem \\
      --secret-file merchant_private_key_pem=apiclient_key.pem --secret-file apiv3_key=apiv3.key

    oncepay account add wx-sandbox --from-sandbox sandbox/sandbox.json
    """
    if from_sandbox is not None:
        if channel not in {"", "wechat"} or identity or setting or setting_file or secret_file:
            raise click.UsageError("--from-sandbox brings everything; leave the other options out")
        channel = "wechat"
        given = of_sandbox(from_sandbox)
    else:
        if not channel:
            raise click.UsageError("say --channel, or --from-sandbox")
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
        click.echo(f"Account {made.id} ({made.channel}) is there, revision {made.revision}.")


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


def of_sandbox(path: Path) -> dict[str, Any]:
    """Identity, settings and secrets from a ``sandbox.json``. Raises BadParameter."""
    import msgspec

    try:
        block = msgspec.json.decode(path.read_bytes())["wechat"]
        return {
            "identity": {name: block[name] for name in ("mchid", "appid")},
            "settings": {
                "merchant_serial_no": block["merchant_serial_no"],
                "public_key_id": block["public_key_id"],
                "public_key_pem": block["public_key_pem"],
                "platform_certificates": [
                    {"serial_no": block["platform_serial_no"], "pem": block["platform_certificate_pem"]}
                ],
                "base_urls": [block["base_url"]],
            },
            "secrets": {name: block[name] for name in ("merchant_private_key_pem", "apiv3_key")},
        }
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise click.BadParameter(f"{path} is no sandbox.json: {error!r}", param_hint="--from-sandbox") from None


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
