"""``python -m tests.fuzz``: change messages for a while, tell what came of it, keep what fails.

    --target NAME       one of them (the beginning of a name: all that begin so); all when left out
    --seconds N         for each target; or --runs N, which makes the same runs each time
    --seed N            other runs
    --replay FILE       run one message again, as it was kept

Exits with 1 when anything failed.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import warnings
from pathlib import Path
from typing import Final

from tests.fuzz.all import targets
from tests.fuzz.fuzzer import Report, Target, check_memory, fuzz, run_once

KEPT: Final = Path(".fuzz")


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", default="")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=Path)
    asked = parser.parse_args()
    logging.disable()  # what is refused is logged, and much is refused
    warnings.simplefilter("ignore")  # of certificates with strange serial numbers
    chosen = [target for target in targets() if target.name.startswith(asked.target)]
    if not chosen:
        parser.error(f"no target begins with {asked.target!r}")
    if asked.replay:
        (target,) = (one for one in chosen if one.name == asked.target)
        data = bytes.fromhex(asked.replay.read_text())
        run_once(target, data)
        check_memory(target, data)
        print(f"{target.name}: {len(data)} bytes, nothing is wrong")
        return 0
    if not (asked.runs or asked.seconds):
        asked.runs = 2_000
    failed = False
    print(
        f"{'target':30} {'runs':>9} {'seconds':>8} {'edges':>6} {'of seeds':>8} {'corpus':>7} {'failures':>8}",
        flush=True,
    )
    for target in chosen:
        report = fuzz(target, seed=asked.seed, runs=asked.runs, seconds=asked.seconds)
        tell(target, report)
        failed = failed or bool(report.failures)
    return int(failed)


def tell(target: Target, report: Report) -> None:
    """One line, and for each failure where it is kept and how it is run again."""
    print(
        f"{target.name:30} {report.runs:9} {report.spent_s:8.1f} {report.covered:6} {report.seeded:8} "
        f"{len(report.corpus):7} {len(report.failures):8}",
        flush=True,
    )
    for failure in report.failures.values():
        KEPT.mkdir(exist_ok=True)
        kept = KEPT / f"{target.name}-{hashlib.sha256(failure.data).hexdigest()[:12]}.hex"
        kept.write_text(failure.data.hex())
        print(f"  {failure.where}: {failure.what}\n    python -m tests.fuzz --target {target.name} --replay {kept}")


if __name__ == "__main__":
    sys.exit(main())
