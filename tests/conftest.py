"""What holds for every test: processes that tests start can be interrupted, and a night's run tries more examples.

`TRACKING_GATEWAY_EXAMPLES_FACTOR` says how many times as many examples Hypothesis tries as each test asks for.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest


def pytest_configure() -> None:
    """Let Ctrl-C mean something again where the tests run in the background of a shell.

    A shell starts what it puts there with SIGINT ignored, and so would be all that the tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every test by Hypothesis try so many times as many examples: also those that name a number, which a profile can't change."""
    factor = float(os.environ.get("TRACKING_GATEWAY_EXAMPLES_FACTOR", "1"))
    owners = {
        id(owner): (owner, name) for owner, name in map(_holder_of_settings, items) if owner is not None
    }
    for owner, name in owners.values() if factor != 1.0 else ():
        asked = getattr(owner, name)
        setattr(owner, name, settings(asked, max_examples=max(1, int(asked.max_examples * factor))))


def _holder_of_settings(item: pytest.Item) -> tuple[object | None, str]:
    """Give where Hypothesis keeps a test's settings: on its function, or on the class of a state machine's test."""
    if isinstance(getattr(getattr(item, "cls", None), "settings", None), settings):
        return item.cls, "settings"
    function = getattr(item, "obj", None)
    name = "_hypothesis_internal_use_settings"
    return (
        (function, name)
        if getattr(function, "is_hypothesis_test", False) and hasattr(function, name)
        else (None, name)
    )
