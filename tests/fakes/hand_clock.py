"""HandClock: time that moves only when the test says so."""

from dataclasses import dataclass


@dataclass
class HandClock:
    """``sleep`` moves the time at once."""

    time: float = 1000.0

    def now(self) -> float:
        """Seconds since the Unix epoch, as the test has it."""
        return self.time

    def monotonic(self) -> float:
        """The same."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """No wait: the time moves."""
        self.time += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds
