"""What a client offers, room by room: each described call as a method.

``Made(describe)`` is a method with the arguments of ``describe`` that makes the call; ``Pages`` and ``Each`` go through
a list to its end, page by page or one by one. In a room of a ``Client`` they answer, in one of an ``AsyncClient`` they
are awaited: the room's type says which, to the program and to whoever checks its types.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from oncepay.client import cases, deliveries, endpoints, events, payments, refunds
from oncepay.client.calls import Call

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Make(Protocol):
    """Makes a call and waits for its answer."""

    def __call__(self, call: Call[T], /) -> T: ...


class AsyncMake(Protocol):
    """Makes a call; its answer is awaited."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]: ...


M = TypeVar("M", Make, AsyncMake)


class Paged(Protocol[T_co]):
    """A page of a list."""

    @property
    def data(self) -> tuple[T_co, ...]:
        """What is on it."""

    @property
    def more(self) -> str | None:
        """The cursor of the next page, None at the end."""


G = TypeVar("G", bound=Paged[Any])


class Room(Generic[M]):
    """Calls about one kind of thing. ``make``: how they are made."""

    def __init__(self, make: M) -> None:
        self.make: M = make
        self.awaited = inspect.iscoroutinefunction(make)


# -- from descriptions to methods --------------------------------------------------------------------------------


class Made(Generic[P, T]):
    """A call as a method."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self.describe = describe

    @overload
    def __get__(self, room: Room[Make], kind: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, room: Room[AsyncMake], kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, room: Room[Any], kind: type) -> Any:
        @functools.wraps(self.describe)
        def made(*args: P.args, **kwargs: P.kwargs) -> Any:
            return room.make(self.describe(*args, **kwargs))

        return made


class Pages(Generic[P, G]):
    """A list as an iterator of its pages; those without anything on them are passed over."""

    def __init__(self, describe: Callable[P, Call[G]]) -> None:
        self.describe = describe

    @overload
    def __get__(self, room: Room[Make], kind: type) -> Callable[P, Iterator[G]]: ...

    @overload
    def __get__(self, room: Room[AsyncMake], kind: type) -> Callable[P, AsyncIterator[G]]: ...

    def __get__(self, room: Room[Any], kind: type) -> Any:
        @functools.wraps(self.describe)
        def pages(*args: P.args, **kwargs: P.kwargs) -> Iterator[G]:
            more: str | None = ""
            while more is not None:
                page = room.make(self.describe(*args, **kwargs))
                if page.data:
                    yield page
                more = kwargs["after"] = page.more

        @functools.wraps(self.describe)
        async def pages_awaited(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[G]:
            more: str | None = ""
            while more is not None:
                page = await room.make(self.describe(*args, **kwargs))
                if page.data:
                    yield page
                more = kwargs["after"] = page.more

        return pages_awaited if room.awaited else pages


class Each(Generic[P, T]):
    """A list as an iterator of what it holds."""

    def __init__(self, describe: Callable[P, Call[Paged[T]]]) -> None:
        self.describe = describe
        self._pages = Pages(describe)

    @overload
    def __get__(self, room: Room[Make], kind: type) -> Callable[P, Iterator[T]]: ...

    @overload
    def __get__(self, room: Room[AsyncMake], kind: type) -> Callable[P, AsyncIterator[T]]: ...

    def __get__(self, room: Room[Any], kind: type) -> Any:
        pages: Any = self._pages.__get__(room, kind)

        @functools.wraps(self.describe)
        def each(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            for page in pages(*args, **kwargs):
                yield from page.data

        @functools.wraps(self.describe)
        async def each_awaited(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            async for page in pages(*args, **kwargs):
                for one in page.data:
                    yield one

        return each_awaited if room.awaited else each


# -- the rooms ---------------------------------------------------------------------------------------------------


class Payments(Room[M]):
    """What is owed once for one order."""

    create = Made(payments.create)
    start_attempt = Made(payments.start_attempt)
    get = Made(payments.get)
    fresh = Made(payments.fresh)
    wait = Made(payments.wait)
    of_order = Made(payments.of_order)
    of_trade = Made(payments.of_trade)
    list = Made(payments.listed)
    each = Each(payments.listed)
    close = Made(payments.close)
    reopen = Made(payments.reopen)
    amend = Made(payments.amend)
    timeline = Made(payments.timeline)
    events = Made(payments.events)


class Refunds(Room[M]):
    """What goes back once."""

    create = Made(refunds.create)
    get = Made(refunds.get)
    of_number = Made(refunds.of_number)
    list = Made(refunds.listed)


class Events(Room[M]):
    """What happened, for those who rather ask than be told."""

    get = Made(events.get)
    list = Made(events.listed)
    pages = Pages(events.listed)
    each = Each(events.listed)


class Endpoints(Room[M]):
    """Where the app is told."""

    create = Made(endpoints.create)
    get = Made(endpoints.get)
    list = Made(endpoints.listed)
    rotate = Made(endpoints.rotate)
    enable = Made(endpoints.enable)
    remove = Made(endpoints.remove)


class Deliveries(Room[M]):
    """Events on their way to endpoints."""

    list = Made(deliveries.listed)
    each = Each(deliveries.listed)
    replay = Made(deliveries.replay)
    replay_one = Made(deliveries.replay_one)


class Cases(Room[M]):
    """What a person must look at, and what a person does with it."""

    get = Made(cases.get)
    list = Made(cases.listed)
    each = Each(cases.listed)
    query = Made(cases.query)
    close = Made(cases.close)
    accept = Made(cases.accept)
    refund = Made(cases.refund)
    settle = Made(cases.settle)
    retry = Made(cases.retry)
    note = Made(cases.note)
    resolve = Made(cases.resolve)
