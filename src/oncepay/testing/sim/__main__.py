"""The command: run worlds, or one again.

python -m oncepay.testing.sim --seeds 0:500
python -m oncepay.testing.sim --replay 17 [--options JSON] [--trace]
python -m oncepay.testing.sim --sweep [--pairs 200]
python -m oncepay.testing.sim --planted ["money that comes late is dropped"]
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import msgspec

from oncepay.testing.sim import planted, sweep
from oncepay.testing.sim.ground import ground
from oncepay.testing.sim.options import Options, draw
from oncepay.testing.sim.run import Table, report, run, run_many, shrink
from oncepay.testing.sim.world import World

SHRUNK_MAX = 3


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _cpu_s() -> float:
    """Seconds of processors that this process and those it started have used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def worlds(first: int, last: int, jobs: int, *, every_goal: bool) -> int:
    """Seeds ``first`` to ``last``, the last left out. 0 when all is as promised."""
    ground()
    table, began, cpu_s = Table(), time.monotonic(), _cpu_s()
    for found in run_many(range(first, last), jobs):
        table.add(found)
        if found.complaints and len(table.failed) <= SHRUNK_MAX:
            for line in report(shrink(found)):
                _say(line)
    for line in table.lines(time.monotonic() - began, _cpu_s() - cpu_s):
        _say(line)
    if len(table.failed) > SHRUNK_MAX:
        _say(f"failed: {' '.join(str(found.seed) for found in table.failed)}")
    return 1 if table.failed or (every_goal and table.never()) else 0


def replay(seed: int, options: Options | None, *, trace: bool) -> int:
    """One world again, with all it did."""
    if trace:
        world = World(seed, options or draw(seed))
        world.run()
        for at_s, who, what in world.trace:
            _say(f"{at_s:12.3f} s  {who:8} {what}")
        _say(f"trace {world.digest()}")
        return 1 if world.judges.complaints else 0
    found = run(seed, options)
    for line in report(found) if found.complaints else [f"seed {seed} is as promised"]:
        _say(line)
    _say(f"trace {found.digest}")
    return 1 if found.complaints else 0


def main(arguments: list[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m oncepay.testing.sim", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", default="0:500", help="FIRST:LAST, the last left out")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one a core")
    parser.add_argument("--any-goals", action="store_true", help="few seeds: do not demand that everything happens")
    parser.add_argument("--replay", type=int, metavar="SEED")
    parser.add_argument("--options", help="with --replay: a world's options as a failure prints them")
    parser.add_argument("--trace", action="store_true", help="with --replay: every line")
    parser.add_argument("--sweep", action="store_true", help="a death at every point of every story")
    parser.add_argument("--pairs", type=int, default=0, help="with --sweep: so many pairs of deaths, too")
    parser.add_argument("--planted", nargs="*", metavar="BUG", help="bugs that the judges must find: which (all)")
    asked = parser.parse_args(arguments)
    if asked.replay is not None:
        options = msgspec.json.decode(asked.options, type=Options) if asked.options else None
        return replay(asked.replay, options, trace=asked.trace)
    if asked.sweep:
        return sweep.main(asked.pairs, _say)
    if asked.planted is not None:
        known = [bug.name for bug in planted.PLANTED]
        unknown = [name for name in asked.planted if name not in known]
        if unknown:
            parser.error(f"there is no {unknown[0]!r}, only: {'; '.join(known)}")
        return planted.main(_say, asked.planted)
    first, _, last = asked.seeds.partition(":")
    return worlds(int(first), int(last), asked.jobs, every_goal=not asked.any_goals)


if __name__ == "__main__":
    sys.exit(main())
