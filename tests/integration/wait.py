"""Waiting for what a test expects: always for an event or a counter, never for time to pass."""
import threading
import time

TIMEOUT = 10.0


class Timeout(AssertionError):
    """What the test waited for did not come."""


def until(condition, what, timeout=TIMEOUT):
    """Asks condition() until it is true and returns what it gave; the pause only keeps the processor free."""
    pause = threading.Event()
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"waited {timeout} s for: {what}; last: {value!r}")
        pause.wait(0.004)
