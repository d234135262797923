"""Which tags messages get as they come in: those that the rules of routing ask for."""

from collections.abc import Iterable

from postroom.config.road import RouteSettings
from postroom.mail.tags import UNTAGGED, Tagger


def tagger_for(routes: Iterable[RouteSettings]) -> Tagger:
    """The tagger for the rules of the settings."""
    routes = tuple(routes)
    conditions = [pair for route in routes for pair in route.headers.items()]
    own = any(route.tags for route in routes)
    return Tagger(conditions, own=own) if conditions or own else UNTAGGED
