"""What holds for the whole suite."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Ctrl-C counts, here and in every process that tests start: a shell's background job begins with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
