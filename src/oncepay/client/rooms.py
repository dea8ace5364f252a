"""What a client offers, room by room: each described call as a method, once for threads and once for asyncio.

``Made(describe)`` is a method with the arguments of ``describe`` that makes the call and gives what it answers.
``Pages`` and ``Each`` go through a list to its end, page by page or one by one.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from oncepay.client import cases, deliveries, endpoints, events, payments, refunds
from oncepay.client.calls import Call

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Paged(Protocol[T_co]):
    """A page of a list."""

    @property
    def data(self) -> tuple[T_co, ...]:
        """What is on it."""

    @property
    def more(self) -> str | None:
        """The cursor of the next page, None at the end."""


G = TypeVar("G", bound=Paged[Any])


class Make(Protocol):
    """Makes a call and waits for its answer."""

    def __call__(self, call: Call[T], /) -> T: ...


class MakeAsync(Protocol):
    """Makes a call; its answer is awaited."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]: ...


class Room:
    """Calls about one kind of thing. ``make``: how they are made."""

    def __init__(self, make: Make) -> None:
        self.make = make


class AsyncRoom:
    """The same for asyncio."""

    def __init__(self, make: MakeAsync) -> None:
        self.make = make


# -- from descriptions to methods --------------------------------------------------------------------------------


class Made(Generic[P, T]):
    """A call as a method."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self.describe = describe

    def __get__(self, room: Room, _kind: type) -> Callable[P, T]:
        @functools.wraps(self.describe)
        def made(*args: P.args, **kwargs: P.kwargs) -> T:
            return room.make(self.describe(*args, **kwargs))

        return made


class AsyncMade(Generic[P, T]):
    """A call as a method to be awaited."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self.describe = describe

    def __get__(self, room: AsyncRoom, _kind: type) -> Callable[P, Coroutine[Any, Any, T]]:
        @functools.wraps(self.describe)
        async def made(*args: P.args, **kwargs: P.kwargs) -> T:
            return await room.make(self.describe(*args, **kwargs))

        return made


class Pages(Generic[P, G]):
    """A list as an iterator of its pages; those without anything on them are passed over."""

    def __init__(self, describe: Callable[P, Call[G]]) -> None:
        self.describe = describe

    def __get__(self, room: Room, _kind: type) -> Callable[P, Iterator[G]]:
        @functools.wraps(self.describe)
        def pages(*args: P.args, **kwargs: P.kwargs) -> Iterator[G]:
            more: str | None = ""
            while more is not None:
                page = room.make(self.describe(*args, **kwargs))
                if page.data:
                    yield page
                more = kwargs["after"] = page.more

        return pages


class AsyncPages(Generic[P, G]):
    """A list as an asynchronous iterator of its pages; those without anything on them are passed over."""

    def __init__(self, describe: Callable[P, Call[G]]) -> None:
        self.describe = describe

    def __get__(self, room: AsyncRoom, _kind: type) -> Callable[P, AsyncIterator[G]]:
        @functools.wraps(self.describe)
        async def pages(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[G]:
            more: str | None = ""
            while more is not None:
                page = await room.make(self.describe(*args, **kwargs))
                if page.data:
                    yield page
                more = kwargs["after"] = page.more

        return pages


class Each(Generic[P, T]):
    """A list as an iterator of what it holds."""

    def __init__(self, describe: Callable[P, Call[Paged[T]]]) -> None:
        self.describe = describe
        self._pages = Pages(describe)

    def __get__(self, room: Room, kind: type) -> Callable[P, Iterator[T]]:
        pages = self._pages.__get__(room, kind)

        @functools.wraps(pages)
        def each(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            for page in pages(*args, **kwargs):
                yield from page.data

        return each


class AsyncEach(Generic[P, T]):
    """A list as an asynchronous iterator of what it holds."""

    def __init__(self, describe: Callable[P, Call[Paged[T]]]) -> None:
        self.describe = describe
        self._pages = AsyncPages(describe)

    def __get__(self, room: AsyncRoom, kind: type) -> Callable[P, AsyncIterator[T]]:
        pages = self._pages.__get__(room, kind)

        @functools.wraps(pages)
        async def each(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            async for page in pages(*args, **kwargs):
                for one in page.data:
                    yield one

        return each


# -- the rooms ---------------------------------------------------------------------------------------------------


class Payments(Room):
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


class AsyncPayments(AsyncRoom):
    """What is owed once for one order."""

    create = AsyncMade(payments.create)
    start_attempt = AsyncMade(payments.start_attempt)
    get = AsyncMade(payments.get)
    fresh = AsyncMade(payments.fresh)
    wait = AsyncMade(payments.wait)
    of_order = AsyncMade(payments.of_order)
    of_trade = AsyncMade(payments.of_trade)
    list = AsyncMade(payments.listed)
    each = AsyncEach(payments.listed)
    close = AsyncMade(payments.close)
    reopen = AsyncMade(payments.reopen)
    amend = AsyncMade(payments.amend)
    timeline = AsyncMade(payments.timeline)
    events = AsyncMade(payments.events)


class Refunds(Room):
    """What goes back once."""

    create = Made(refunds.create)
    get = Made(refunds.get)
    of_number = Made(refunds.of_number)
    list = Made(refunds.listed)


class AsyncRefunds(AsyncRoom):
    """What goes back once."""

    create = AsyncMade(refunds.create)
    get = AsyncMade(refunds.get)
    of_number = AsyncMade(refunds.of_number)
    list = AsyncMade(refunds.listed)


class Events(Room):
    """What happened, for those who rather ask than be told."""

    get = Made(events.get)
    list = Made(events.listed)
    pages = Pages(events.listed)
    each = Each(events.listed)


class AsyncEvents(AsyncRoom):
    """What happened, for those who rather ask than be told."""

    get = AsyncMade(events.get)
    list = AsyncMade(events.listed)
    pages = AsyncPages(events.listed)
    each = AsyncEach(events.listed)


class Endpoints(Room):
    """Where the app is told."""

    create = Made(endpoints.create)
    get = Made(endpoints.get)
    list = Made(endpoints.listed)
    rotate = Made(endpoints.rotate)
    enable = Made(endpoints.enable)
    remove = Made(endpoints.remove)


class AsyncEndpoints(AsyncRoom):
    """Where the app is told."""

    create = AsyncMade(endpoints.create)
    get = AsyncMade(endpoints.get)
    list = AsyncMade(endpoints.listed)
    rotate = AsyncMade(endpoints.rotate)
    enable = AsyncMade(endpoints.enable)
    remove = AsyncMade(endpoints.remove)


class Deliveries(Room):
    """Events on their way to endpoints."""

    list = Made(deliveries.listed)
    each = Each(deliveries.listed)
    replay = Made(deliveries.replay)
    replay_one = Made(deliveries.replay_one)


class AsyncDeliveries(AsyncRoom):
    """Events on their way to endpoints."""

    list = AsyncMade(deliveries.listed)
    each = AsyncEach(deliveries.listed)
    replay = AsyncMade(deliveries.replay)
    replay_one = AsyncMade(deliveries.replay_one)


class Cases(Room):
    """What a person must look at."""

    get = Made(cases.get)
    list = Made(cases.listed)
    each = Each(cases.listed)
    resolve = Made(cases.resolve)


class AsyncCases(AsyncRoom):
    """What a person must look at."""

    get = AsyncMade(cases.get)
    list = AsyncMade(cases.listed)
    each = AsyncEach(cases.listed)
    resolve = AsyncMade(cases.resolve)
