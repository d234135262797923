"""The times of retry by route: the usual ones of ``[queue]``, and those of each ``[[schedule]]``."""

from collections.abc import Sequence

from postroom.config.model import QueueSettings
from postroom.config.road import RouteSettings, ScheduleSettings


class Schedules:
    """``usual`` are the times where no schedule says otherwise."""

    def __init__(
        self,
        usual: QueueSettings,
        schedules: Sequence[ScheduleSettings] = (),
        routes: Sequence[RouteSettings] = (),
    ) -> None:
        self.usual = usual
        self._named = {schedule.name: _over(usual, schedule) for schedule in schedules}
        self._of_rule = {
            route.name or f"route {place}": self.named(route.schedule) for place, route in enumerate(routes, 1)
        }

    def named(self, name: str) -> QueueSettings:
        """The times of a schedule; the usual ones where there is none of that name (any more)."""
        return self._named.get(name, self.usual) if name else self.usual

    def at(self, destination: str) -> QueueSettings:
        """The times of what waits under a destination, which names the rule that it goes by (docs/adr/0013).

        After the rule's name may stand which of its hosts comes first, and the rule for a domain of ours.
        """
        choice = destination.partition(" ")[2].partition("|")[0]
        if not choice:
            return self.usual
        return self._of_rule.get(choice) or self._of_rule.get(choice.rpartition("/")[0], self.usual)


def _over(usual: QueueSettings, schedule: ScheduleSettings) -> QueueSettings:
    given = {name: value for name, value in schedule if name != "name" and value is not None}
    return usual.model_copy(update=given)
