"""A consumer from a shell, for whatever keeps processes running:

    python -m oncepay.client.queues shop.payments:consumer

``shop.payments:consumer`` is a ``Consumer`` or ``AsyncConsumer`` of yours, or a function, also an async one, that makes
one. It goes on until SIGTERM or SIGINT, finishes what it has in hand, and exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from oncepay.client.queues.consumer import Consumer

ENDINGS: Final = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m oncepay.client.queues")
    parser.add_argument("consumer", metavar="MODULE:NAME", type=_named, help="yours, or a function that makes it")
    module, _, name = parser.parse_args(arguments).consumer.partition(":")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` of the app itself would find it
    found = getattr(importlib.import_module(module), name)
    made = found() if callable(found) else found
    if isinstance(made, Consumer):
        for ending in ENDINGS:
            signal.signal(ending, lambda *_: made.close())
        made.run()
    else:
        asyncio.run(_run(made))
    return 0


def _named(text: str) -> str:
    if not all(text.partition(":")):
        raise argparse.ArgumentTypeError(f"{text!r} is not like shop.payments:consumer")
    return text


async def _run(made: Any) -> None:
    consumer = await made if inspect.isawaitable(made) else made
    for ending in ENDINGS:
        asyncio.get_running_loop().add_signal_handler(ending, consumer.close)
    await consumer.run()


if __name__ == "__main__":
    sys.exit(main())
