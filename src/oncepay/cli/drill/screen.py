"""What people see of a drill while it runs: what dies, what heals, and the money in doubt."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from oncepay.cli.demo.shop import PRICE_MINOR

if TYPE_CHECKING:
    from oncepay.cli.drill.monkey import Deed
    from oncepay.cli.drill.run import Sample

LINES: Final = 12
EVERY_S: Final = 5.0  # where there is no terminal


class Screen:
    """A table that is drawn again and again on a terminal; a line now and then on anything else. All of it goes to
    standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4) if sys.stderr.isatty() else None
        self._said: deque[str] = deque(maxlen=LINES)
        self._began = self._told = time.monotonic()
        self._row = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Something happens."""
        self._said.append(f"{time.monotonic() - self._began:7.1f}  {text}")
        self._draw()

    def show(self, sample: Sample, deeds: list[Deed]) -> None:
        """A second has passed."""
        did = Counter(deed.what for deed in deeds)
        doubt = max(0, sample.taken - sample.heard) * PRICE_MINOR / 100
        self._row = (
            f"{sample.at_s:6.0f} s  {sample.orders} orders  {sample.taken} paid  {doubt:.2f} CNY in doubt"
            f"  {sample.alive} alive  {did['kill']} kills  {did['stop']} stops  {did['drop connections']} drops"
        )
        if self._live is None and time.monotonic() - self._told >= EVERY_S:
            self._told = time.monotonic()
            self._console.print(self._row, soft_wrap=True)
        self._draw()

    def _draw(self) -> None:
        if self._live is None:
            return
        table = Table(title=self._row, show_header=False, box=None, title_justify="left")
        for line in self._said:
            table.add_row(line)
        self._live.update(table)
