"""``oncepay key``: the master key that seals the secrets in the database."""

from __future__ import annotations

import click


@click.group()
def key() -> None:
    """The master key."""


@key.command()
def new() -> None:
    """Print a new master key: 32 random bytes, base64.

    Keep it in a file that only the service may read, and a copy where you keep such things: without it the secrets in
    the database cannot be opened.

    \b
    (umask 077 && oncepay key new > master.key)
    export ONCEPAY_MASTER_KEY_FILE=master.key
    """
    import base64
    import secrets

    click.echo(base64.b64encode(secrets.token_bytes(32)).decode())
