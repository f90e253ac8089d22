"""What the script costs a page: bytes on the wire, and no layout at all. How long it takes is measured by `python -m benchmarks.script`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.script import Cost, cost_of
from gateway.assets.served import JAVASCRIPT, Served
from gateway.sdk import script_source

if TYPE_CHECKING:
    from playwright.async_api import Browser


async def test_the_script_costs_a_page_under_6_kb_and_no_layout(chromium: Browser):
    """Loaded from a gateway's own answer, up to the answer to its first page view: as much layout and style as without it."""
    served = Served(script_source(), JAVASCRIPT)
    without, with_it = [
        await cost_of(chromium, served, has_script=has_script) for has_script in (False, True)
    ]
    assert (with_it.layouts, with_it.styles) == (without.layouts, without.styles)
    assert 5_000 < with_it.bytes_on_the_wire < 6_000
    assert without.bytes_on_the_wire == 0
    assert isinstance(with_it, Cost)
    # A bound that a loaded machine holds too; the figure is about a twentieth of it.
    assert with_it.script_ms < 200
