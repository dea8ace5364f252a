"""A sandbox on a free port, with generated keys kept for the whole run (RSA keys are slow)."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.wechat.keys import KeyFile
from tests.sandbox import alipay_vectors
from tests.sandbox.alipay_merchant import AliMerchant
from tests.sandbox.merchant import Merchant, Receiver
from tests.sandbox.vectors import vector_keys


@pytest.fixture
def keys() -> KeyFile:
    return vector_keys()


@pytest.fixture
async def sandbox(keys: KeyFile) -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1, keys=keys, alipay_keys=alipay_vectors.vector_keys()) as sandbox:
        yield sandbox


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def merchant(sandbox: Sandbox, session: aiohttp.ClientSession) -> Merchant:
    return Merchant(sandbox.config["wechat"], session, clock=sandbox.clock.now)


@pytest.fixture
def ali(sandbox: Sandbox, session: aiohttp.ClientSession) -> AliMerchant:
    return AliMerchant(sandbox.config["alipay"], session, clock=sandbox.clock.now)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver
