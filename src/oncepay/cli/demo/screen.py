"""What a person sees of the demonstration: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import msgspec
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

MARKS: Final = {"waiting": ("·", "dim"), "playing": ("▸", "yellow"), "promised": ("✓", "green"), "broken": ("✗", "red")}


class Line(msgspec.Struct, kw_only=True):
    """One story as it stands. ``said``: what happened, or what is wrong."""

    title: str
    state: str = "waiting"  # waiting, playing, promised, broken
    took_s: float = 0.0
    said: str = ""


class Screen:
    """Enter it to show the stories; call ``changed`` after each change of a line."""

    def __init__(self, lines: Sequence[Line], console: Console | None = None) -> None:
        self.lines = lines
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=8, transient=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def changed(self, line: Line) -> None:
        """A line has changed."""
        if self._live is not None:
            self._live.refresh()
        elif line.state in {"promised", "broken"}:
            mark, _ = MARKS[line.state]
            self.say(f"{mark} {line.title}  {line.took_s:.1f} s  {line.said}")

    def say(self, text: str = "") -> None:
        """A line of text."""
        self.console.print(Text(text))

    def _table(self) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, title="What can go wrong, and how it ends", title_justify="left"
        )
        table.add_column("")
        table.add_column("story")
        table.add_column("s", justify="right")
        table.add_column("how it went", overflow="fold")
        for line in self.lines:
            mark, style = MARKS[line.state]
            took = f"{line.took_s:.1f}" if line.state in {"promised", "broken"} else ""
            table.add_row(
                Text(mark, style), Text(line.title), took, Text(line.said, "red" if line.state == "broken" else "dim")
            )
        return table
