"""``python -m tests.planted.page docs/planted.md``: draws the tables of the page from the catalogues, and takes the
stories in from the commands that stand above them."""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final
from unittest.mock import patch

from oncepay.testing.explore import __main__ as explore
from oncepay.testing.explore.planted import PLANTED as RULES
from oncepay.testing.sim.planted import PLANTED as WORLDS
from oncepay.testing.sim.telling import PROMISES
from tests.planted.catalogue import ROOMS
from tests.sim.test_planted import RECORDED

_PART: Final = re.compile(r"(<!-- drawn: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_STORY: Final = re.compile(
    r"```sh\npython -m oncepay\.testing\.explore --planted ([^\n]+)\n```\n\n```text\n(.*?)```", re.DOTALL
)


def drawn(page: str) -> str:
    """The page with its tables as they should be."""
    return _PART.sub(lambda m: m[1] + "\n".join(TABLES[m[2]]()) + "\n" + m[3], page)


def stories(page: str) -> dict[str, str]:
    """What the page shows of the explorer's stories, by the rule that is taken out."""
    return {shlex.split(given)[0]: text for given, text in _STORY.findall(page)}


def story(rule: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    with redirect_stdout(out), patch.object(sys, "argv", ["explore", "--planted", rule]):
        explore.main()
    return re.sub(r"\n+\Z", "\n", out.getvalue())


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _table(*heads: str) -> Iterator[str]:
    yield _row(*heads)
    yield _row(*("---" for _ in heads))


def _rules() -> Iterator[str]:
    yield from _table("the core without its rule", "by the name", "what shows it")
    for name, rule in RULES.items():
        yield _row(rule.lost, f"`{name}`", f"…{rule.says}…")


def _worlds() -> Iterator[str]:
    yield from _table("the centre with its bug", "breaks", "shown by seed")
    for bug in WORLDS:
        yield _row(bug.name, ", ".join(sorted({PROMISES[p] for p in bug.promises})), str(RECORDED[bug.name]))


def _room(room: str) -> Callable[[], Iterator[str]]:
    def table() -> Iterator[str]:
        yield from _table("the centre with its bug", "breaks", "caught by")
        for bug in ROOMS[room]:
            file, _, test = bug.test.partition("[")[0].partition("::")
            yield _row(bug.name, bug.breaks, f"`{test.rpartition('::')[2]}` in `{file}`")

    return table


def _count() -> Iterator[str]:
    of_rooms = sum(map(len, ROOMS.values()))
    yield f"{len(RULES) + len(WORLDS) + of_rooms} bugs: {len(RULES)} rules taken out of the core and looked for by the"
    yield f"explorer, {len(WORLDS)} looked for by the simulation, {of_rooms} looked for by a test that must fail."


TABLES: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "count": _count,
    "rules": _rules,
    "worlds": _worlds,
    **{room: _room(room) for room in ROOMS},
}

if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(drawn(path.read_text("utf-8")), "utf-8")
