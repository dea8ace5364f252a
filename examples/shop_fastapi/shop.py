"""A shop on FastAPI and SQLAlchemy, on PostgreSQL: it takes orders, has them paid, and does once what follows.

    python shop.py      makes the tables
    uvicorn shop:app    serves, takes news from the queue if there is one, asks the centre for what never came

README.md says with which settings.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from oncepay.client import AsyncClient, Attempt, CallFailed, ChannelRefused, Conflict, EventRefused, verify
from oncepay.client.guards import AsyncInbox, AsyncSubmissionGuard, AsyncWatch, Milestone, async_link_of
from oncepay.client.queues import AsyncConsumer

PRICES: Final = {"tea": 8800, "cup": 4200}  # in minor units, and ours: never the browser's
WAY: Final = Attempt(channel="wechat", method="native")  # a code to scan


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


engine = create_async_engine(os.environ["SHOP_DATABASE_URL"], pool_pre_ping=True)
begin = async_sessionmaker(engine, expire_on_commit=False).begin


async def make_tables() -> None:
    """Ours and the guards'. Yours stand in your migrations."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await async_link_of(connection).make_tables()


client = AsyncClient(os.environ["SHOP_CENTRE_URL"], os.environ["SHOP_CENTRE_KEY"])
SECRETS: Final = os.environ["SHOP_WEBHOOK_SECRET"].split()  # two of them while one is being rotated
QUEUE_URL: Final = os.environ.get("SHOP_QUEUE_URL")  # where the centre puts the news, if it is not told by webhook
guard = AsyncSubmissionGuard(begin)
inbox = AsyncInbox(begin)


async def enter(session: AsyncSession, order_no: str, status: str, what: str, minor: int = 0) -> None:
    """Raises when we have no such order: then the news come again, and stand in ``inbox.poisoned()``."""
    order = await session.get_one(Order, order_no)
    order.status = status
    session.add(Entry(order_no=order_no, what=what, minor=minor))


# Each is run once for each payment or refund, in the transaction that remembers it.
@inbox.on("paid")
async def ship(session: AsyncSession, milestone: Milestone) -> None:
    await enter(session, milestone.payment.order_no, "paid", "ship", milestone.payment.minor)


@inbox.on("closed")
async def cancel(session: AsyncSession, milestone: Milestone) -> None:
    await enter(session, milestone.payment.order_no, "closed", "cancel")


@inbox.on("refund.done", "refund.outside")
async def book_refund(session: AsyncSession, milestone: Milestone) -> None:
    payment, refund = milestone.payment, milestone.refund
    assert refund is not None
    await enter(session, payment.order_no, payment.status, f"refund {refund.refund_no}", -refund.minor)


inbox.ignore("refund.failed", "surplus.refunded")  # the money stayed; the money never was ours
inbox.check()


async def never_asked(session: AsyncSession, order_no: str) -> None:
    """The centre has not heard of it in ten minutes: the buyer left before paying, or we died."""
    await enter(session, order_no, "closed", "cancel")


watch = AsyncWatch(client, inbox, absent=never_asked)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Every process may watch and consume: they share the work."""
    running = [asyncio.create_task(watch.run())]
    if QUEUE_URL:
        running.append(asyncio.create_task(AsyncConsumer(QUEUE_URL, SECRETS, inbox).run()))
    yield
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
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
        if order is None or order.status != "open":
            raise HTTPException(404, "no such order is open")
    # Outside the transaction: no lock is held while the network is waited for.
    payment = await client.payments.create(
        order_no=order_no, minor=order.minor, currency="CNY", subject=f"{order.quantity} {order.item}", attempt=WAY
    )
    credential = payment.attempt.credential if payment.attempt else None
    return {"status": payment.status, "code_url": credential["code_url"] if credential else None}


@app.exception_handler(CallFailed)
async def no_answer(_: Request, error: CallFailed) -> Response:
    """Of most failures nobody knows yet what they mean, which is no failure: the buyer asks again."""
    if isinstance(error, ChannelRefused | Conflict):  # another way has to be found, or it is paid or closed already
        return JSONResponse({"code": error.code}, 409)
    return JSONResponse({"code": "one_moment"}, 503)


@app.get("/orders/{order_no}")
async def show(order_no: str) -> dict[str, str]:
    """How it stands."""
    async with begin() as session:
        order = await session.get(Order, order_no)
    if order is None:
        raise HTTPException(404, "no such order")
    return {"status": order.status}


@app.post("/webhook", status_code=204)
async def webhook(request: Request) -> None:
    """What the centre tells. Answered after the commit; whatever is raised is a 500, and the centre tells again."""
    try:
        event = verify(SECRETS, request.headers, await request.body(), time.time())
    except EventRefused as error:
        raise HTTPException(400, str(error)) from None
    await inbox.take(event)


if __name__ == "__main__":
    asyncio.run(make_tables())
