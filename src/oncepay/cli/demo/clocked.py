"""A program that is not ours, in the time of the demonstration's world; it need not know.

    python -m oncepay.cli.demo.clocked TIME FOLDER PROGRAM [ARGUMENT ...]

TIME: a file with how far the world is ahead of the machine; ``Held`` in another process sets it. PROGRAM: a module, or
a file in FOLDER, run there as ``python PROGRAM`` would.
"""

from __future__ import annotations

import mmap
import os
import runpy
import struct
import sys
import time
from pathlib import Path
from typing import Final

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


if __name__ == "__main__":
    set_forward(Path(sys.argv[1]))
    become(sys.argv[3], sys.argv[4:], Path(sys.argv[2]))
