"""Our side of a conversation with the sandbox: a channel drafts once, signs, sends over loopback, and reads."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
from yarl import URL

from oncepay.domain.attempt import Attempt, Call
from oncepay.domain.change import Evidence
from oncepay.ports import Account, Answer, Answered, Channel, Draft, Notice, Read, Refused, Request, Unknown
from oncepay.sandbox.main import Sandbox
from tests.sandbox.merchant import Receiver

NONCE = "5f4dcc3b5aa765d61d8327deb882cf99"


class Talk:
    """``payers``: what each method must know of the payer; ``paying``: the payment that a refund reverses."""

    def __init__(
        self,
        sandbox: Sandbox,
        session: aiohttp.ClientSession,
        receiver: Receiver,
        channel: Channel,
        account: Account,
        *,
        payers: Mapping[str, Mapping[str, str]] | None = None,
        paying: Attempt | None = None,
    ) -> None:
        self.sandbox, self.session, self.receiver = sandbox, session, receiver
        self.channel, self.account = channel, account
        self.payers, self.paying = payers or {}, paying
        self.bodies: dict[str, bytes] = {}

    @property
    def now_ms(self) -> int:
        return int(self.sandbox.clock.now() * 1000)

    async def send(self, request: Request) -> Answer:
        try:
            async with self.session.request(
                request.method, URL(request.url, encoded=True), data=request.body or None, headers=request.headers
            ) as got:
                told = {name.lower(): value for name, value in got.headers.items()}
                return Answered(status=got.status, headers=told, body=await got.read())
        except aiohttp.ClientError as error:
            return Unknown(why=str(error))

    def body(self, attempt: Attempt) -> bytes:
        """The first body: drafted once for a number, whatever comes after."""
        if attempt.no not in self.bodies:
            draft = Draft(
                attempt=attempt,
                subject="测试商品-茶杯",
                app="pc",
                order_no="7",
                notify_url=self.receiver.url,
                return_url="http://127.0.0.1:1/return",
                payer=self.payers.get(attempt.method, {}),
                paying=None if attempt.incoming else self.paying,
                note="" if attempt.incoming else "测试退款",
            )
            self.bodies[attempt.no] = self.channel.draft(draft, self.account)
        return self.bodies[attempt.no]

    async def read(self, call: Call, attempt: Attempt) -> Read:
        body = self.body(attempt) if call in {Call.PREPAY, Call.REFUND} else b""
        request = self.channel.build(call, attempt, self.account, body=body, now_ms=self.now_ms, nonce=NONCE, host=0)
        answer = await self.send(request)
        return self.channel.read(call, answer, attempt, self.account, now_ms=self.now_ms, nonce=NONCE)

    async def ask(self, call: Call, attempt: Attempt) -> Evidence:
        (evidence,) = (await self.read(call, attempt)).evidence
        assert evidence.wrong == ""
        return evidence

    def heard(self, index: int) -> Notice | Refused:
        """What the channel makes of a notification that was received."""
        got = self.receiver.got[index]
        told = {name.lower(): value for name, value in got.headers.items()}
        return self.channel.read_notification(told, got.body, self.account, now_ms=self.now_ms)
