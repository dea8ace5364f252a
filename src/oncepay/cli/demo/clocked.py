"""A program that is not ours, in the time of the demonstration's world; it need not know.

    python -m oncepay.cli.demo.clocked TIME FOLDER PROGRAM [ARGUMENT ...] [--alive-fd=FD]

TIME: a file with how far the world is ahead of the machine; ``Held`` in another process sets it. PROGRAM: a module, or
a file in FOLDER, run there as ``python PROGRAM`` would. FD: a pipe that closes when the one who started it has died:
then it ends.
"""

from __future__ import annotations

import mmap
import os
import runpy
import select
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Final

ALIVE: Final = "--alive-fd="
_NUMBER: Final = struct.Struct("<q")


class Held:
    """A number in a file that another process sets: milliseconds, signed 64 bits. Read in place at every look."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            if not file.tell():
                file.write(_NUMBER.pack(0))
                file.flush()
            self._memory = mmap.mmap(file.fileno(), _NUMBER.size)

    def get(self) -> int:
        """As it is now."""
        return int(_NUMBER.unpack_from(self._memory)[0])

    def set(self, value: int) -> None:
        """For all who look."""
        _NUMBER.pack_into(self._memory, 0, value)


def set_forward(path: Path) -> None:
    """Set the clock of this process forward as that file says, from now on."""
    held, real_ns = Held(path), time.time_ns
    time.time_ns = lambda: real_ns() + held.get() * 1_000_000
    time.time = lambda: time.time_ns() / 1e9


def become(program: str, arguments: list[str], folder: Path) -> None:
    """Run a program in this process, as if it had been started there."""
    os.chdir(folder)
    sys.argv = [program, *arguments]
    sys.path.insert(0, str(folder))
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def end_with(fd: int) -> None:
    """End this process when the other end of a pipe is closed: nothing is ever written to it."""

    def wait() -> None:
        select.select([fd], [], [])  # not read: another holder's loop may have it answer "not now"
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def main(time_file: str, folder: str, program: str, *arguments: str) -> None:
    """As the command line has them."""
    given = [word for word in arguments if not word.startswith(ALIVE)]
    for word in arguments[len(given) :]:
        end_with(int(word.removeprefix(ALIVE)))
    set_forward(Path(time_file))
    become(program, given, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
