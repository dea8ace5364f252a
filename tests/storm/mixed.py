"""The storm of ``oncepay.cli.drill.payers`` in a world of its own, where nothing is killed: its faults are the channels'.

    python -m tests.storm.mixed --payments 2000 --seed 7        # or: make storm

Real processes and real HTTP: the sandbox, the centre on SQLite, a shop. One clock for all of them, which runs fast.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from oncepay.cli.demo.world import World
from oncepay.cli.drill.payers import Storm


async def storm(*, payments: int, seed: int, rate: float, home: Path) -> tuple[list[str], Counter[str]]:
    """A storm in a world of its own: what is wrong at its end, and what happened how often."""
    async with World(home, None) as world:
        raging = Storm(world, world.shop, payments=payments, seed=seed, rate=rate)
        return await raging.run(), raging.seen


def main() -> int:
    """Print the table; 0 only if everything agrees."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm.mixed", description=__doc__)
    parser.add_argument("--payments", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=float, default=0.05, help="of each fault")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oncepay-storm-") as home:
        wrong, seen = asyncio.run(storm(payments=asked.payments, seed=asked.seed, rate=asked.rate, home=Path(home)))
    for what, count in sorted(seen.items()):
        sys.stdout.write(f"{count:8}  {what}\n")
    for text in wrong[:20]:
        sys.stdout.write(f"WRONG {text}\n")
    agreed = asked.payments - len({text.split()[0] for text in wrong})
    sys.stdout.write(f"seed {asked.seed}: {asked.payments} payments, {agreed} as promised\n")
    return 0 if not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
