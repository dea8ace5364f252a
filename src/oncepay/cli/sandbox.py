"""``oncepay sandbox``: the channels, played on loopback."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Play the channels on loopback, for any integration.")
@click.option("--listen", default="127.0.0.1:8490", show_default=True, metavar="HOST:PORT")
@click.option(
    "--home",
    default="sandbox",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Keys, sandbox.json, orders.",
)
@click.option("--seed", type=int, help="Make fault rates repeatable.")
@click.option("--public-url", help="How payers reach it, when not by --listen.")
@click.option("--no-journal", is_flag=True, help="Forget orders at the end.")
@click.option("--alive-fd", type=int, hidden=True, help="A pipe that closes when the parent has died.")
def sandbox(
    *, listen: str, home: Path, seed: int | None, public_url: str | None, no_journal: bool, alive_fd: int | None
) -> None:
    """Play WeChat Pay, Alipay and UnionPay on loopback: real signatures, cashier pages, books, and a menu of faults.

    HOME/sandbox.json holds what an integration needs, ours or any other.
    """
    from oncepay.domain.errors import Unavailable
    from oncepay.sandbox.main import main

    arguments = ["--listen", listen, "--home", str(home)]
    if seed is not None:
        arguments += ["--seed", str(seed)]
    if public_url:
        arguments += ["--public-url", public_url]
    if no_journal:
        arguments.append("--no-journal")
    if alive_fd is not None:
        arguments += ["--alive-fd", str(alive_fd)]
    try:
        main(arguments)
    except OSError as error:
        if error.filename is not None:  # a file's, not the address's
            raise
        raise Unavailable(f"cannot listen on {listen}: {error.strerror}") from None
