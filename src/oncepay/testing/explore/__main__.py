"""``python -m oncepay.testing.explore [--all] [--jobs N] [world ...]``: walk worlds, print what was seen, and the
stories of what went wrong. Exits with 1 when a promise does not hold. ``--planted [rule ...]``: take rules of the core
out, and see that it is noticed; exits with 1 when one is not."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from oncepay.testing.explore.planted import PLANTED, without
from oncepay.testing.explore.walk import Failure, Found, explore
from oncepay.testing.explore.world import Small
from oncepay.testing.explore.worlds import QUICK, WORLDS, walked

HEADS = ("world", "states", "transitions", "depth", "ends", "calls", "seconds")
ROW = "{:44} {:>9} {:>11} {:>5} {:>7} {:>5} {:>7}\n"


def main() -> int:
    """Walk what was asked for, the quick worlds when nothing was."""
    parser = argparse.ArgumentParser(prog="python -m oncepay.testing.explore", description=__doc__)
    parser.add_argument("worlds", nargs="*", metavar="world", help="by name")
    parser.add_argument("--all", action="store_true", help="every world there is")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time, about 2 GB each (1)")
    parser.add_argument("--list", action="store_true", help="the names, and what may happen in each world")
    parser.add_argument("--planted", action="store_true", help="take rules out instead: which, by name (all)")
    asked = parser.parse_args()
    known = PLANTED if asked.planted else WORLDS
    unknown = [name for name in asked.worlds if name not in known]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}, only: {'; '.join(known)}")
    if asked.planted:
        return 1 if _plant(asked.worlds) else 0
    if asked.list:
        for name, small in WORLDS.items():
            sys.stdout.write(f"{name:44} {', '.join(small.ways)}: {', '.join(small.may)}\n")
        return 0
    names = list(WORLDS) if asked.all else asked.worlds or list(QUICK)
    return 1 if _walk_all(names, asked.jobs) else 0


def _plant(names: list[str]) -> int:
    """Take rules out, and say what shows it; the whole story of those that are named. How many do not show, or show
    something else, or show it where the rule holds too."""
    missed = 0
    for name in names or PLANTED:
        rule = PLANTED[name]
        whole = _failure(rule.small)
        with without(rule):
            failure = _failure(rule.small)
        if whole is not None:
            missed += 1
            sys.stdout.write(f"{name:22} FAILS WITH ITS RULE, TOO: {whole.why}\n")
        elif failure is None:
            missed += 1
            sys.stdout.write(f"{name:22} NOT NOTICED\n")
        else:
            if rule.says not in failure.why:
                missed += 1
                sys.stdout.write(f"{name:22} NOT NOTICED, but something else: {failure.why}\n")
            else:
                sys.stdout.write(f"{name:22} {failure.why}\n")
            if names:
                sys.stdout.write(f"\nWithout its rule, {rule.lost}.\n{failure}\n\n")
    return missed


def _failure(small: Small) -> Failure | None:
    """What goes wrong in a world, if anything does."""
    try:
        explore(small)
    except Failure as failure:
        return failure
    return None


def _walk_all(names: list[str], jobs: int) -> int:
    """How many worlds break a promise."""
    started = time.perf_counter()
    states, transitions, ends, stories = 0, 0, 0, []
    sys.stdout.write(ROW.format(*HEADS))
    for name, found in _each(names, jobs):
        if isinstance(found, str):
            stories.append(f"\n{name}: {found}\n")
            sys.stdout.write(f"{name:44} a promise does not hold, see below\n")
        else:
            states, transitions, ends = states + found.states, transitions + found.transitions, ends + found.ends
            row = (found.states, found.transitions, found.depth, found.ends, found.calls, f"{found.seconds:.1f}")
            sys.stdout.write(ROW.format(name, *row))
        sys.stdout.flush()
    seconds = f"{time.perf_counter() - started:.1f}"
    sys.stdout.write(ROW.format(f"all {len(names)}", states, transitions, "", ends, "", seconds))
    sys.stdout.writelines(stories)
    return len(stories)


def _each(names: list[str], jobs: int) -> Iterator[tuple[str, Found | str]]:
    """As they are done. Each in a process of its own, which gives its memory back; the larger ones first."""
    if jobs < 2:
        yield from map(walked, names)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        first = sorted(names, key=lambda name: -len(WORLDS[name].may) - 2 * len(WORLDS[name].ways))
        for done in as_completed([pool.submit(walked, name) for name in first]):
            yield done.result()


if __name__ == "__main__":
    sys.exit(main())
