"""What holds for every test: processes that tests start can be interrupted."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Let Ctrl-C mean something again where the tests run in the background of a shell.

    A shell starts what it puts there with SIGINT ignored, and so would be all that the tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
