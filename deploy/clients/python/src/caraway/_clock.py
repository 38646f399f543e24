"""The clock by which leases end: it goes on while the machine sleeps, as the server's does."""

import time

_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds, never set back."""
    return time.clock_gettime(_CLOCK)
