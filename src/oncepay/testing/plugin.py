"""The pytest plugin: fixtures that start a centre and the sandbox beside a test.

pytest loads this module in every project where oncepay is installed, so it imports nothing until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oncepay.testing.ground import Ground
    from oncepay.testing.handle import Oncepay


@pytest.fixture(scope="session")
def oncepay_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The thread in which the centres of a session run, and the keys that they share."""
    try:
        from oncepay.testing.ground import Ground
    except ModuleNotFoundError as error:
        pytest.fail(f"oncepay's fixtures need {error.name}; cure: pip install 'oncepay[testing]'", pytrace=False)

    ground = Ground(tmp_path_factory.mktemp("oncepay"))
    yield ground
    ground.close()


@pytest.fixture
def oncepay(oncepay_ground: Ground) -> Iterator[Oncepay]:
    """A centre with one app and the sandbox that plays its channels, new for this test: ``oncepay.testing.Oncepay``."""
    from oncepay.testing.handle import Oncepay

    centre = Oncepay(oncepay_ground)
    yield centre
    centre.close()
