"""Waits with a limit, counted while this process runs: time in which it was suspended does not count."""

from collections.abc import Callable

_SLICE_SECONDS = 1.0


def wait_awake(wait: Callable[[float], object], seconds: float) -> bool:
    """Calls `wait(seconds)` in slices of at most one second until it returns something true; False after `seconds`."""
    while seconds > 0:
        if wait(min(seconds, _SLICE_SECONDS)):
            return True
        seconds -= _SLICE_SECONDS
    return False
