"""The guards from a shell, for migrations and for cron:

    python -m oncepay.client.guards tables postgresql
    python -m oncepay.client.guards watch shop.payments:watch
    python -m oncepay.client.guards pull shop.payments:watch

``shop.payments:watch`` is a ``Watch`` or ``AsyncWatch`` of yours, or a function, also an async one, that makes one.
Exit status 1 when the centre could not be asked.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

from oncepay.client.errors import CallFailed
from oncepay.client.guards.dialects import Dialect, tables
from oncepay.client.guards.watch import AsyncWatch, Watch

ENDINGS: Final = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as the arguments say; the exit status."""
    asked = _parser().parse_args(arguments)
    if asked.command == "tables":
        sys.stdout.write(tables(asked.dialect))
        return 0
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` of the app itself would find it
    module, _, name = asked.watch.partition(":")
    made = getattr(importlib.import_module(module), name)
    watch = made() if callable(made) else made
    try:
        count = asyncio.run(_do_async(watch, asked)) if _is_async(watch) else _do(watch, asked)
    except CallFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not asked.loop:
        sys.stdout.write(f"{count} {'events read' if asked.command == 'pull' else 'orders asked for'}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m oncepay.client.guards")
    commands = parser.add_subparsers(dest="command", required=True)
    say = commands.add_parser("tables", help="print the statements that make the guards' tables")
    say.add_argument("dialect", choices=get_args(Dialect))
    for name, purpose in (
        ("watch", "ask for each order that is due, once"),
        ("pull", "read the feed of events to its end"),
    ):
        command = commands.add_parser(name, help=purpose)
        command.add_argument(
            "watch", metavar="MODULE:NAME", type=_named, help="your Watch, or a function that makes it"
        )
        command.set_defaults(loop=False)
        if name == "watch":
            command.add_argument("--loop", action="store_true", help="go on until SIGTERM or SIGINT")
    return parser


def _named(text: str) -> str:
    if not all(text.partition(":")):
        raise argparse.ArgumentTypeError(f"{text!r} is not like shop.payments:watch")
    return text


def _is_async(watch: object) -> bool:
    return isinstance(watch, AsyncWatch) or inspect.isawaitable(watch)


def _do(watch: Watch[Any], asked: argparse.Namespace) -> int:
    if asked.command == "pull":
        return watch.pull()
    if not asked.loop:
        return watch.run_once()
    stop = threading.Event()
    for ending in ENDINGS:
        signal.signal(ending, lambda *_: stop.set())
    watch.run(stop)
    return 0


async def _do_async(watch: Any, asked: argparse.Namespace) -> int:
    watch = await watch if inspect.isawaitable(watch) else watch
    if asked.command == "pull":
        return int(await watch.pull())
    if not asked.loop:
        return int(await watch.run_once())
    looping = asyncio.ensure_future(watch.run())
    for ending in ENDINGS:
        asyncio.get_running_loop().add_signal_handler(ending, looping.cancel)
    await asyncio.wait([looping])
    return 0


if __name__ == "__main__":
    sys.exit(main())
