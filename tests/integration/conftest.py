"""What several of the integration tests need."""

from __future__ import annotations

import pytest

from tests.vendor_host import FakeVendor


@pytest.fixture
async def vendor():
    """Give a stand-in for the vendor's script host, while the test runs."""
    async with FakeVendor.running() as running:
        yield running
