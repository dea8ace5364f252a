"""Every test that speaks to something does so on both event loops, as the tests of the wire do."""

from tests.wire.conftest import certificates, pytest_asyncio_loop_factories

__all__ = ["certificates", "pytest_asyncio_loop_factories"]
