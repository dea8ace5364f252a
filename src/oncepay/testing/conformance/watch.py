"""Whether a channel looks at the clock, throws dice, opens a socket or a file: it is told all that it needs to know."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import BuiltinFunctionType, FrameType
from typing import Any, Final

from oncepay.domain.attempt import Call, Fact
from oncepay.testing.conformance.subject import NONCE, Subject

# By module, what may not be called: None is everything.
BUILT_IN: Final[dict[str, frozenset[str] | None]] = {
    "time": frozenset({
        "clock_gettime", "clock_gettime_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
        "process_time", "process_time_ns", "sleep", "time", "time_ns",
    }),
    "posix": frozenset({"getrandom", "open", "urandom"}),
    "nt": frozenset({"open", "urandom"}),
    "io": frozenset({"open", "open_code"}),
    "_io": frozenset({"open", "open_code"}),
    "_socket": None,
    "_random": None,
    "select": None,
}  # fmt: skip
IN_PYTHON: Final[dict[str, frozenset[str] | None]] = {
    "socket": None,
    "ssl": None,
    "asyncio.events": None,
    "subprocess": None,
    "random": frozenset({"__init__", "seed"}),
    "os": frozenset({"getenv"}),
}
DAY_CLASSES: Final = frozenset({"now", "today", "utcnow"})


@contextmanager
def watched(found: list[str]) -> Iterator[None]:
    """Note who calls what, by whatever name it was imported. Nothing is replaced, so nothing can be got around by an
    early import; a debugger that uses the same hook has a pause."""

    def look(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            name = _built_in(called)
        elif event == "call":
            name = _listed(IN_PYTHON, frame.f_globals.get("__name__", ""), frame.f_code.co_name)
        else:
            return
        if name:
            found.append(f"{_place(frame)} calls {name}")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)


def _built_in(called: BuiltinFunctionType) -> str:
    owner = getattr(called, "__self__", None)
    if isinstance(owner, type) and owner.__module__ == "datetime" and called.__name__ in DAY_CLASSES:
        return f"{owner.__name__}.{called.__name__}"
    module = getattr(called, "__module__", None) or type(owner).__module__
    if any(base.__module__ == "_random" for base in type(owner).__mro__):
        module = "_random"
    return _listed(BUILT_IN, module, called.__name__)


def _listed(listed: dict[str, frozenset[str] | None], module: str, name: str) -> str:
    names = listed.get(module, frozenset())
    return f"{module}.{name}" if names is None or name in names else ""


def _place(frame: FrameType) -> str:
    """The nearest caller that is not of the standard library."""
    at: FrameType | None = frame
    while at is not None and at.f_globals.get("__name__", "").partition(".")[0] in sys.stdlib_module_names:
        at = at.f_back
    at = at or frame
    return f"{at.f_code.co_filename}:{at.f_lineno}"


def it_only_translates(subject: Subject) -> None:
    """A channel only translates: it has no clock, no dice, no sockets and no files."""
    for where, work in _works(subject):
        before = len(subject.complaints)
        subject.refusable(where, work)  # the first time it may import what it needs
        if len(subject.complaints) > before:
            continue
        found: list[str] = []
        with watched(found):
            subject.refusable(where, work)
        for told in dict.fromkeys(found):
            subject.complain(where, told)


def _works(subject: Subject) -> Iterator[tuple[str, Callable[[], object]]]:
    """Everything that a channel does, once: (which call, the call)."""
    channel, kit = subject.channel, subject.kit
    account, now_ms = kit.account, kit.now_ms
    yield "check_account", partial(channel.check_account, account)
    for name, method in subject.capabilities.methods.items():
        about = subject.story.about(Call.PREPAY, Fact.PENDING, name)
        yield f"check_start ({name})", partial(channel.check_start, name, kit.payers.get(name, {}), {})
        yield f"draft ({name})", partial(subject.first_body, about)
        body = subject.made(bytes, f"draft ({name})", None, subject.first_body, about)
        if body and not method.made_by_call:
            yield f"credential ({name})", partial(channel.credential, about.attempt, account, body=body)
    for call in subject.calls:
        about = subject.story.about(call, Fact.PENDING, subject.method)
        body = subject.made(bytes, f"draft ({call.value})", None, subject.first_body, about)
        if body is not None:
            yield f"build ({call.value})", partial(subject.build, about, body)
    for message in subject.answers():
        yield f"read ({message.about.call})", partial(subject.read, message.about, message.answer)
    for message in subject.notices():
        yield "read_notification", partial(subject.hear, message.answer.headers, message.answer.body)
    yield "acknowledge", partial(channel.acknowledge, taken=True)
    yield "build_keys", partial(channel.build_keys, account, now_ms=now_ms, nonce=NONCE)
