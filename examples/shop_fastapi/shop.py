"""A shop on FastAPI and SQLAlchemy, on PostgreSQL: it takes orders, has them paid, and does once what follows from that.

    python shop.py          makes the tables
    uvicorn shop:app        serves, and asks the centre for what it was not told

What the settings are stands in README.md.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Final, Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from oncepay.client import AsyncClient, Attempt, CallFailed, ChannelRefused, Conflict, EventRefused, verify
from oncepay.client.guards import AsyncInbox, AsyncSubmissionGuard, AsyncWatch, Milestone, async_link_of

PRICES: Final = {"tea": 8800, "cup": 4200}  # in minor units, and ours: never the browser's
WAY: Final = Attempt(channel="wechat", method="native")  # a code to scan

# -- the shop's own database ---------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    """Our tables."""


class Order(Base):
    """What somebody wants. ``status``: open, paid or closed, as its payment."""

    __tablename__ = "orders"
    order_no: Mapped[str] = mapped_column(primary_key=True)
    buyer: Mapped[int]
    item: Mapped[str]
    quantity: Mapped[int]
    minor: Mapped[int]
    status: Mapped[str] = mapped_column(default="open")


class Entry(Base):
    """What followed from a payment, once each. The packers ship what stands here, the accountants add up ``minor``."""

    __tablename__ = "journal"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_no: Mapped[str] = mapped_column(ForeignKey("orders.order_no"), index=True)
    what: Mapped[str]
    minor: Mapped[int]


engine = create_async_engine(os.environ["SHOP_DATABASE_URL"])
begin = async_sessionmaker(engine, expire_on_commit=False).begin


async def make_tables() -> None:
    """Ours and the guards'. Yours stand in your migrations."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await async_link_of(connection).make_tables()


# -- what follows from a payment -----------------------------------------------------------------------------------

client = AsyncClient(os.environ["SHOP_CENTRE_URL"], os.environ["SHOP_CENTRE_KEY"])
guard = AsyncSubmissionGuard(begin)
inbox = AsyncInbox(begin)


async def enter(session: AsyncSession, order_no: str, status: str, what: str, minor: int = 0) -> None:
    """Raises when we have no such order: then the news come again, and stand in ``inbox.poisoned()``."""
    order = await session.get_one(Order, order_no)
    order.status = status
    session.add(Entry(order_no=order_no, what=what, minor=minor))


# Each is run once for each payment or refund, in the transaction that remembers it. The status is that of the payment
# now: an order that was closed and then paid after all shows both milestones.
@inbox.on("paid")
async def ship(session: AsyncSession, milestone: Milestone) -> None:
    payment = milestone.payment
    assert payment.paid is not None
    await enter(session, payment.order_no, payment.status, "ship", payment.paid.minor)


@inbox.on("closed")
async def cancel(session: AsyncSession, milestone: Milestone) -> None:
    await enter(session, milestone.payment.order_no, milestone.payment.status, "cancel")


@inbox.on("refund.done", "refund.outside")
async def book_refund(session: AsyncSession, milestone: Milestone) -> None:
    payment, refund = milestone.payment, milestone.refund
    assert refund is not None
    await enter(session, payment.order_no, payment.status, f"refund {refund.refund_no}", -refund.minor)


inbox.ignore("refund.failed", "surplus.refunded")  # the money stayed; the money never was ours
inbox.check()


async def never_asked(session: AsyncSession, order_no: str) -> None:
    """Ten minutes later the centre has not heard of it: the buyer left before paying, or we died."""
    await enter(session, order_no, "closed", "cancel")


watch = AsyncWatch(client, inbox, absent=never_asked)

# -- what it serves ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Every process may watch: they share the work."""
    watching = asyncio.create_task(watch.run())
    yield
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await client.close()
    await engine.dispose()


app = FastAPI(title="A shop", lifespan=lifespan)


class Wish(BaseModel):
    """What the buyer sends."""

    buyer: int  # in earnest: from the session
    item: Literal["tea", "cup"]
    quantity: Annotated[int, Field(ge=1, le=10)] = 1


@app.post("/orders")
async def submit(wish: Wish) -> dict[str, str | None]:
    """Take an order. Twice the same within ten minutes, by whatever road, is a double click: one order."""
    order_no = f"F-{secrets.token_hex(8)}"

    async def create(session: AsyncSession) -> None:
        minor = PRICES[wish.item] * wish.quantity
        session.add(Order(order_no=order_no, minor=minor, **wish.model_dump()))
        await watch.register(session, order_no)  # it comes to an end even if nobody ever pays

    submission = await guard.once(wish.model_dump(), order_no, create)
    return {"order_no": submission.order_no}


@app.post("/orders/{order_no}/pay")
async def pay(order_no: str) -> dict[str, str | None]:
    """What the buyer scans. Safe to repeat: it is the same payment, and a code that works."""
    async with begin() as session:
        # Registered before it is read: if the watch is giving the order up at this moment, we wait for that here.
        await watch.register(session, order_no)
        order = await session.get(Order, order_no)
        if order is None:
            raise HTTPException(404, "no such order")
        if order.status != "open":
            raise HTTPException(409, f"the order is {order.status}")
    # Outside the transaction: no lock is held while the network is waited for.
    payment = await client.payments.create(
        order_no=order_no, minor=order.minor, currency="CNY", subject=f"{order.quantity} {order.item}", attempt=WAY
    )
    credential = payment.attempt.credential if payment.attempt else None
    return {"status": payment.status, "code_url": credential["code_url"] if credential else None}


@app.exception_handler(CallFailed)
async def no_answer(_: Request, error: CallFailed) -> Response:
    """Only the channel's own refusal is a failure. Of everything else nobody knows yet: the buyer asks again."""
    if isinstance(error, ChannelRefused):
        return JSONResponse({"detail": "please choose another way to pay"}, 409)
    if isinstance(error, Conflict):  # paid or closed a moment ago: the news are on their way
        return JSONResponse({"detail": error.code}, 409)
    return JSONResponse({"detail": "one moment, please"}, 503, headers={"Retry-After": "2"})


@app.get("/orders/{order_no}")
async def show(order_no: str) -> dict[str, object]:
    """How it stands, and what was done."""
    async with begin() as session:
        order = await session.get(Order, order_no)
        if order is None:
            raise HTTPException(404, "no such order")
        journal = await session.scalars(select(Entry).filter_by(order_no=order_no).order_by(Entry.id))
        return {"status": order.status, "minor": order.minor, "journal": [entry.what for entry in journal]}


@app.post("/webhook", status_code=204)
async def webhook(request: Request) -> None:
    """What the centre tells. Answered after the commit; whatever is raised is a 500, and the centre tells again."""
    secrets_known = os.environ["SHOP_WEBHOOK_SECRET"].split()  # two of them while one is being rotated
    try:
        event = verify(secrets_known, request.headers, await request.body(), time.time())
    except EventRefused as error:
        raise HTTPException(400, str(error)) from None
    await inbox.take(event)


if __name__ == "__main__":
    asyncio.run(make_tables())
