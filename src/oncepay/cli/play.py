"""``oncepay demo``: every story, on real HTTP, against the sandbox."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

from oncepay.cli.common import run

EXTRA: Final = ("aiohttp", "flask")  # what the extra `demo` brings; a test holds this to pyproject.toml


@click.command(short_help="Play every story against the sandbox, live.")
@click.option("--once", is_flag=True, help="Play the stories and exit: 0 only if each ended as promised.")
@click.option("--port-base", type=click.IntRange(1024, 65_000), help="Use this port and the next two; else free ones.")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep databases and logs here; else in a temporary folder that is removed at the end.",
)
@click.option("--story", "only", multiple=True, metavar="WORD", help="Only stories whose title holds this word.")
@click.option("--silent", is_flag=True, help="The channel never notifies: everything is found out by asking.")
def demo(*, once: bool, port_base: int | None, home: Path | None, only: tuple[str, ...], silent: bool) -> None:
    """Start the sandbox, the centre on SQLite and a shop, play every story, and stay up until Ctrl-C.

    The shop is the example on Flask, examples/shop_flask/shop.py. Each story is checked against three
    ledgers: the sandbox's books, the centre's API, the shop's own books.
    """
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise SystemExit(f"oncepay: the demonstration needs {', '.join(missing)}; cure: pip install 'oncepay[demo]'")
    from oncepay.cli.demo.run import play

    raise SystemExit(run(play(once=once, port_base=port_base, home=home, only=only, silent=silent)))
