"""Running tests with bugs in the code: one pytest session, in which each test is run once for each of its bugs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from tests.planted.bug import Bug, Found

HOME: Final = Path(__file__).parents[2]
WITHIN_S: Final = 30


class Hangs(BaseException):
    """A test that never ends has not noticed anything: whoever runs it does."""


class Planter:
    """A plugin that runs bugs instead of tests."""

    def __init__(self, bugs: Sequence[Bug], tell: Callable[[Found], None]) -> None:
        self._bugs = bugs
        self._tell = tell
        self._error: BaseException | None = None
        self.missed = 0

    def pytest_exception_interact(self, call: pytest.CallInfo[Any]) -> None:
        """The first failure counts: what follows may be its wake."""
        if self._error is None and call.excinfo is not None:
            self._error = call.excinfo.value

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In the place of pytest's own loop."""
        if session.testsfailed:
            raise session.Interrupted("a test that is named here cannot be found or imported")
        for bug in self._bugs:
            items = [item for item in session.items if _is(item.nodeid, bug.test)]
            found = self._run(bug, items)
            self.missed += not found.caught
            self._tell(found)
        return True

    def _run(self, bug: Bug, items: list[pytest.Item]) -> Found:
        for item in items:
            if (raised := self._raised(item)) is not None:  # of a broken machine, or of what an earlier bug left behind
                return Found(bug, item.nodeid, "fails without it, too", _words(raised))
            with ExitStack() as planted:
                try:
                    planted.enter_context(bug.plant())
                except (LookupError, AttributeError, SyntaxError) as error:
                    return Found(bug, "", "cannot be planted", str(error))
                raised = self._raised(item)
            if raised is not None:
                return Found(bug, item.nodeid, type(raised).__name__, _words(raised))
        return Found(bug)

    def _raised(self, item: pytest.Item) -> BaseException | None:
        """Run a test: with what it failed, if it did."""
        self._error = None
        with _within(WITHIN_S):
            # Its module's fixtures go with it, the session's stay: the next test is told to be the session itself.
            reports = runtestprotocol(item, nextitem=item.session, log=False)  # type: ignore[arg-type]
        return self._error if any(report.failed for report in reports) else None


def _words(raised: BaseException) -> str:
    """The first line of what it says, or what it is if it says nothing."""
    return str(raised).strip().partition("\n")[0] or type(raised).__name__


def _is(node: str, test: str) -> bool:
    """Whether it is the test, with any parameters, or with those that begin as is said."""
    (name, _, with_), (wanted, _, begin) = node.partition("["), test.partition("[")
    return name == wanted and with_.startswith(begin)


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    def over(*_: object) -> None:
        raise Hangs

    was = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, was)


def run(bugs: Sequence[Bug], tell: Callable[[Found], None]) -> int:
    """Plant each, and tell how its test took it. How many were missed; more than there are if pytest itself failed."""
    planter = Planter(bugs, tell)
    tests = list(dict.fromkeys(str(HOME / bug.test.partition("[")[0]) for bug in bugs))
    options = ["-q", "--no-header", "--no-summary", "--tb=native", f"--rootdir={HOME}"]
    # Bugs leave wreckage behind, which is nobody's failure.
    options += [f"-pno:{name}" for name in ("cacheprovider", "xdist", "unraisableexception", "threadexception")]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # ours is imported: it is what bugs are planted in
    code = pytest.main([*options, *tests], plugins=[planter])
    ended = {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    return planter.missed if code in ended else len(bugs) + 1
