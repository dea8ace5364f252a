"""A loop in a thread of its own, which has its work done in the caller's thread: what knows asyncio is there, and what
writes into the app's database is here, where Django and any other code for threads expects to be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

R = TypeVar("R")


class Caller:
    """For one run."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None

    async def do(self, call: Callable[..., R], *arguments: Any) -> R:
        """Called in the loop: what the call gives or raises in the caller's thread."""
        future: Future[R] = Future()

        def job() -> None:
            try:
                future.set_result(call(*arguments))
            except Exception as error:
                future.set_exception(error)

        self._jobs.put(job)
        return await asyncio.wrap_future(future)

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Called in the caller's thread: until the work ends, and what it raises. An interrupt ends both."""
        thread = threading.Thread(target=self._run, args=(work,), name="oncepay-consumer", daemon=True)
        thread.start()
        try:
            while (job := self._jobs.get()) is not None:
                job()
        except BaseException:
            self._cancel()
            raise
        finally:
            thread.join()
        if self._error is not None:
            raise self._error

    def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            asyncio.run(self._main(work))
        except BaseException as error:  # the caller's thread raises it
            self._error = error
        finally:
            self._jobs.put(None)

    async def _main(self, work: Callable[[], Awaitable[None]]) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        await work()

    def _cancel(self) -> None:
        """The thread has a loop and a task by the time that it asks for anything; before that, it ends with us."""
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
