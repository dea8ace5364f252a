"""The drill.

    python -m tests.drill --minutes 10 --report drill      # or: make drill

Real processes under load, and a monkey that kills them; then peace, and four judges that share no code: the sandbox's
books, the API, the shop's books, and ``oncepay audit``. The last line of the output is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.drill import report
from tests.drill.run import drill
from tests.drill.screen import Screen


def main() -> int:
    """0 only if everything is as promised, and enough was done to it."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=float, default=0.03, help="of each fault of the channels")
    parser.add_argument("--report", type=Path, help="write REPORT.md and REPORT.html")
    parser.add_argument("--keep", type=Path, help="an empty folder for the logs of all processes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oncepay-drill-") as temporary, Screen() as screen:
        home = asked.keep or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        told = asyncio.run(
            drill(home.resolve(), seconds=asked.minutes * 60, seed=asked.seed, rate=asked.rate, screen=screen)
        )
    if asked.report is not None:
        asked.report.with_suffix(".md").write_text(report.markdown(told), encoding="utf-8")
        asked.report.with_suffix(".html").write_text(report.page(told), encoding="utf-8")
    sys.stdout.write(report.markdown(told))
    sys.stdout.write("\n" + msgspec.json.encode(report.summary(told)).decode() + "\n")
    return 0 if told.green else 1


if __name__ == "__main__":
    sys.exit(main())
