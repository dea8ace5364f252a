"""A centre and the sandbox beside a test, in its process: what the test holds.

The handle is synchronous, for tests with and without asyncio. Each of its verbs returns when everything that is due
was done, in the order in which it fell due; between two verbs the centre only answers the app's own calls. So a test
neither sleeps nor waits.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from oncepay.client import AsyncClient, Client, Event
from oncepay.testing.ground import Ground
from oncepay.testing.inside import Inside, Unpayable, Which, open_inside
from oncepay.testing.receiver import Handler, Visit, WrongThread, running

__all__ = ["Oncepay", "Unpayable", "WrongThread", "open_oncepay"]

T = TypeVar("T")


class Oncepay:
    """A centre with one app, and the sandbox that plays its channels.

    ``base_url``, ``api_key``: what the app is configured with. ``webhook_secret``: of the endpoint at which the test
    itself is told; ``endpoint`` and ``forward`` return those of the app. ``sandbox_url``: cashiers to look at, and more
    controls under ``/sandbox/``. ``database``: the centre's, a SQLite file.

    A payment is named by what the client returned, by its id (``pay_...``), or by its order number.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._turn = threading.Lock()
        self._holder: int | None = None
        self._stack = AsyncExitStack()
        self._client: Client | None = None
        home = ground.home()
        self.database = home / "oncepay.db"
        self._inside: Inside = ground.do(self._stack.enter_async_context(open_inside(home)))
        self.base_url = self._inside.engine.settings.public_url
        self.api_key = self._inside.key
        self.webhook_secret = self._inside.receiver.secret
        self.sandbox_url = self._inside.sandbox.base_url

    # -- the app -----------------------------------------------------------------------------------------------------

    def client(self) -> Client:
        """The SDK's client of this centre, always the same; it is closed at the end of the test."""
        if self._client is None:
            self._client = Client(self.base_url, self.api_key)
        return self._client

    def async_client(self) -> AsyncClient:
        """A new one for asyncio, which is yours to close: ``async with oncepay.async_client() as client``."""
        return AsyncClient(self.base_url, self.api_key)

    def forward(self, handler: Handler) -> str:
        """Tell the app by a call: ``handler(headers, body)`` returns the status that it answers. The endpoint's secret.

        It is called while a verb (``pay``, ``advance``, ``settle`` ...) runs, in the thread that called the verb, and
        what it raises, that verb raises in the end. It may be a coroutine of the running loop; then the verbs are
        called as ``await asyncio.to_thread(oncepay.pay, payment)``.
        """
        return self.endpoint(self.base_url + self._inside.receiver.add(handler, running()))

    def endpoint(self, url: str) -> str:
        """Tell the app at this address, on loopback or public: a server that runs beside the test. The secret."""
        return self._do(self._inside.endpoint(url))

    def policies(
        self, *, late: Literal["refund", "accept"] | None = None, unclosable: Literal["switch", "wait"] | None = None
    ) -> None:
        """The app's policies, for payments that are made from now on."""
        self._do(self._inside.policies(late, unclosable))

    # -- the payer and the channels ----------------------------------------------------------------------------------

    def pay(self, payment: Which, *, channel: str = "", method: str = "", **how: str) -> None:
        """Somebody scans or opens what the app showed, and pays; then everything is done that follows from it.

        The newest attempt that can be paid is meant, or the newest by this ``channel`` and ``method``: so a payer pays
        on the second phone too. ``how``: more of ``POST /sandbox/pay``, as ``payer``. Raises Unpayable.
        """
        self._do(self._inside.pay(payment, channel, method, how))

    def kept(self, payment: Which) -> int:
        """What the channels hold for this payment by their own books, in minor units: paid less given back."""
        return self._do(self._inside.kept_of(payment))

    def fault(self, fault: str, *, times: int = 1, always: bool = False, rate: float | None = None, **how: Any) -> None:
        """Let something go wrong: the next so many ``times``, ``always``, or at a ``rate``.

        ``how``: ``channel``, ``call``, ``seconds`` ... Faults and what they take: docs/sandbox.md, or
        ``GET /sandbox/faults``. Raises FaultInvalid, which names what there is.
        """
        wanted: dict[str, Any] = {"once": [{"fault": fault, "times": times, **how}]}
        if rate is not None:
            wanted = {"rates": {fault: {"rate": rate, **how}}}
        elif always:
            wanted = {"on": {fault: how}}
        self._do(self._inside.call(self._inside.sandbox.faults.add, wanted))

    def no_faults(self) -> None:
        """From now on nothing goes wrong."""
        self._do(self._inside.call(self._inside.sandbox.faults.clear))

    def struck(self, fault: str) -> int:
        """How often a fault has struck."""
        return self._do(self._inside.struck(fault))

    # -- time --------------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The time, in seconds since 1970: for the app, when it looks at the times of messages. It stands still but for
        ``advance``, and for pauses that the centre makes inside a request."""
        return self.now_ms() / 1000

    def now_ms(self) -> int:
        """The time, in milliseconds since 1970."""
        return self._inside.now_ms

    def advance(self, seconds: float) -> None:
        """Let time pass. Everything that falls due in it, at the channels, in the centre, at the app's endpoints, is
        done at its moment, and is done when this returns."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        self._do(self._inside.passes(seconds))

    def settle(self) -> None:
        """Do everything that is due now: after calls of the app that have consequences. ``told`` and ``expect`` do so
        themselves."""
        self._do(self._inside.settle())

    # -- what the app was told ---------------------------------------------------------------------------------------

    def told(self, payment: Which) -> list[str]:
        """What the app was told of a payment, in the order of its versions: ``["paid", "surplus.refunded"]``."""
        return [change for event in self.events(payment) for change in event.changes]

    def events(self, payment: Which) -> list[Event]:
        """The events behind ``told``, each version once, signatures verified."""
        return self._do(self._inside.events(payment))

    def story(self, payment: Which) -> str:
        """A payment from all sides, for people: what stands below a failed ``expect``."""
        return self._do(self._inside.story(payment))

    def expect(self, payment: Which, *changes: str, **fields: Any) -> None:
        """Assert that the app was told exactly these changes of a payment, in this order; and of the last event's
        payment, that these fields are so: ``status="paid", kept_minor=8800``."""
        __tracebackhide__ = True
        events = self.events(payment)
        told = [change for event in events for change in event.changes]
        complaints = []
        if told != list(changes):
            complaints.append(f"told: {', '.join(told) or 'nothing'}\nexpected: {', '.join(changes) or 'nothing'}")
        for name, wanted in fields.items():
            found = getattr(events[-1].payment, name) if events else "not told"
            if found != wanted:
                complaints.append(f"{name}: {found!r}\nexpected: {wanted!r}")
        if complaints:
            raise AssertionError("\n".join([*complaints, "", self.story(payment)]))

    # -- opening and closing -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop all of it. That goes on in the thread, and the next test need not wait; the ground's ``close`` does."""
        if self._client is not None:
            self._client.close()
        self._ground.later(self._stack.aclose())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have a verb done in the centre's thread, and meanwhile call the app's handlers in this one."""
        if self._holder == threading.get_ident():
            work.close()
            raise WrongThread("a handler cannot use the verbs: the one that called it has not returned yet")
        with self._turn:
            self._holder = threading.get_ident()
            try:
                return self._done(work)
            finally:
                self._holder = None

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        visits = self._inside.receiver.visits
        raised: list[BaseException] = []
        done = self._ground.begin(work)
        done.add_done_callback(visits.put)
        while (visit := visits.get()) is not done:
            if isinstance(visit, Visit):  # and not the end of a verb that was interrupted
                visit.make()
                if visit.raised is not None:
                    raised.append(visit.raised)
        if raised:
            raise raised[0]
        return done.result()


@contextmanager
def open_oncepay(folder: Path | None = None) -> Iterator[Oncepay]:
    """A centre and the sandbox for a wider scope than a test, or without pytest. ``folder``: an empty one for keys and
    databases; without it they are nobody's to look at."""
    with tempfile.TemporaryDirectory(prefix="oncepay-") as temporary:
        ground = Ground(folder or Path(temporary))
        try:
            handle = Oncepay(ground)
            try:
                yield handle
            finally:
                handle.close()
        finally:
            ground.close()
