"""How fast and how often a service is asked: not faster than it allows, and again where it was busy."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pellucid.core.errors import UsageError

_FIRST_WAIT = 0.5
LONGEST_WAIT = 300.0


class Pace:
    """Turns that come at most ``rate`` times a second (None: at once), and waits that double from retry to retry."""

    def __init__(
        self,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate is not None and not rate > 0:
            raise UsageError(f"rate={rate}: the most requests a second must be above 0, such as 0.5 or 10")
        self._interval = 0.0 if rate is None else 1 / rate
        self._clock, self._sleep, self._next = clock, sleep, float("-inf")

    def turn(self) -> None:
        """Wait until the next request may be sent."""
        early = self._next - self._clock()
        if early > 0:
            self._sleep(early)
        self._next = self._clock() + self._interval

    def wait(self, attempt: int, asked_for: float | None = None) -> None:
        """Wait after failure number ``attempt`` (from 0): as long as the service asked for, or ½, 1, 2, 4 … seconds."""
        self._sleep(min(LONGEST_WAIT, _FIRST_WAIT * 2**attempt if asked_for is None else max(asked_for, 0.0)))


def seconds_of(retry_after: str | None) -> float | None:
    """What a ``Retry-After`` header asks for: a number of seconds or a date; None where it says nothing."""
    if retry_after is None:
        return None
    try:
        return float(int(retry_after))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()
