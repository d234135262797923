"""Of a certificate that ends soon the operator hears once a day, until it is renewed."""

from pathlib import Path

from postroom.net.certificates import Certificate, self_signed
from postroom.net.expiry import DAY, ExpiryWatch

NOW = 1_800_000_000.0


def ending_in(days: int, path: str) -> Certificate:
    made = self_signed("mx.example.org", NOW, days)
    return Certificate(Path(path), made.chain, made.key)


def test_once_a_day_from_the_warning_on() -> None:
    soon, later = ending_in(10, "a.pem"), ending_in(100, "b.pem")
    watch = ExpiryWatch(14 * DAY)
    assert watch.due([soon, later], NOW) == [soon]
    assert watch.due([soon, later], NOW + 60) == []
    assert watch.due([soon, later], NOW + DAY) == [soon]
    assert watch.due([soon, later], NOW + 86 * DAY) == [soon, later]  # the first has ended, and is still in use


def test_a_renewed_one_is_another() -> None:
    watch = ExpiryWatch(14 * DAY)
    assert watch.due([ending_in(10, "a.pem")], NOW)
    assert not watch.due([ending_in(90, "a.pem")], NOW + 60)
    assert watch.due([ending_in(5, "a.pem")], NOW + 120)


def test_what_stands_in_is_not_spoken_of() -> None:
    assert ExpiryWatch(14 * DAY).due([self_signed("mx.example.org", NOW, 1)], NOW) == []
