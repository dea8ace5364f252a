"""A program of an example shop, as a storm needs it: it lives in the world's time, and can be told to die.

    python -m tests.storm.mortal TIME DEATHS PROGRAM [ARGUMENT ...]      in the folder of the example

The example itself is not changed: the clock of the process is set forward as the file TIME says, and a guard, when it has
committed and before it returns, looks for a file in the folder DEATHS. Who can remove it is killed, as by a
power cut: the write is there, and nobody has been answered.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from oncepay.cli.demo.clocked import become, set_forward
from oncepay.client import guards, queues

PAUSE_S: Final = 0.1  # between rounds of the watch
CLAIM_S: Final = 1.5  # what a dead consumer held
AFTER: Final = {  # deaths, and who dies of them: each has committed, and will answer when it returns
    "submission": (guards, "SubmissionGuard", "once"),
    "news": (guards, "Inbox", "take"),
    "message": (queues, "Consumer", "hear"),
}


def make_mortal(deaths: Path) -> None:
    """Have the guards look for their deaths; and nobody wait for seconds that are minutes of the world."""
    for death, (room, name, method) in AFTER.items():
        file = deaths / death
        plain, awaited = getattr(room, name), getattr(room, f"Async{name}")
        setattr(plain, method, _dying(getattr(plain, method), file))
        setattr(awaited, method, _dying_async(getattr(awaited, method), file))
    guards.Watch.run.__defaults__ = guards.AsyncWatch.run.__defaults__ = (PAUSE_S,)
    for consumer in (queues.Consumer, queues.AsyncConsumer):
        defaults: Any = consumer.__init__.__kwdefaults__
        defaults["claim_s"] = CLAIM_S


def _dying(run: Callable[..., Any], death: Path) -> Callable[..., Any]:
    @functools.wraps(run)
    def dies(*arguments: Any) -> Any:
        done = run(*arguments)
        _die_of(death)
        return done

    return dies


def _dying_async(run: Callable[..., Any], death: Path) -> Callable[..., Any]:
    @functools.wraps(run)
    async def dies(*arguments: Any) -> Any:
        done = await run(*arguments)
        _die_of(death)
        return done

    return dies


def _die_of(death: Path) -> None:
    try:
        death.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Be that program."""
    time, deaths, program, *arguments = sys.argv[1:]
    set_forward(Path(time))
    make_mortal(Path(deaths))
    become(program, arguments, Path.cwd())


if __name__ == "__main__":
    main()
