"""Wait with a time limit that does not count the time in which this process was suspended."""

from collections.abc import Callable

_SLICE_SECONDS = 1.0


def wait_awake(wait: Callable[[float], object], seconds: float) -> bool:
    """Call `wait(seconds)` for at most 1 s at a time until it returns a true value; return False after `seconds`."""
    while seconds > 0:
        if wait(min(seconds, _SLICE_SECONDS)):
            return True
        seconds -= _SLICE_SECONDS
    return False
