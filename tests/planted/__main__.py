"""``python -m tests.planted [room ...]``: plant bugs that no simulated world shows, one at a time, and run for each
the test of ours that must fail. Exits with 1 when one does not.

    --list      the rooms, and the bugs of each
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time

from tests.planted.bug import Found
from tests.planted.catalogue import ROOMS
from tests.planted.run import run


def main() -> int:
    """Plant those of the rooms that are asked for, of all when none is."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("rooms", nargs="*", metavar="room", help=", ".join(ROOMS))
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    unknown = [room for room in asked.rooms if room not in ROOMS]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}, only: {', '.join(ROOMS)}")
    rooms = asked.rooms or list(ROOMS)
    if asked.list:
        sys.stdout.writelines(f"{room:10} {bug.name}\n" for room in rooms for bug in ROOMS[room])
        return 0
    bugs = [bug for room in rooms for bug in ROOMS[room]]
    out, theirs, began = sys.stdout, io.StringIO(), time.monotonic()

    def tell(found: Found) -> None:
        out.write(line(found))
        out.flush()

    with contextlib.redirect_stdout(theirs):
        missed = run(bugs, tell)
    if missed > len(bugs):
        out.write(theirs.getvalue())
        return 1
    out.write(f"{len(bugs)} bugs, {missed} of them not caught, {time.monotonic() - began:.1f} s\n")
    return 1 if missed else 0


def line(found: Found) -> str:
    """For people: the bug, and who caught it; or how it was missed."""
    if found.caught:
        return f"caught  {found.bug.name}: {found.test.rpartition('::')[2]}\n"
    how = f"{found.test.rpartition('::')[2] or found.bug.test} {found.error}: {found.words}"
    return f"MISSED  {found.bug.name}: {how}\n"


if __name__ == "__main__":
    sys.exit(main())
