"""How much one session may do: messages, and failures such as guessed recipients or passwords."""

from postroom.mail.reply import Reply

MOST_DEFERRED = 10_000
"""Refusals between two messages that are no fault of a client: one that pipelines all recipients of a list, more than
one message or its rate may have, or goes on after a refused MAIL, hears one for each command (RFC 5321 §4.5.3.1.10,
RFC 2920 §3.1).
"""

_TOO_MANY_FAILURES = Reply.of(421, "4.7.0", "Too many errors, closing the connection")
_TOO_MANY_MESSAGES = Reply.of(421, "4.7.0", "Enough messages for one session, please connect again")


class SessionLimits:
    """Counts for one session. The engine counts the commands that it refuses; here count the shell's refusals."""

    __slots__ = ("_deferred", "_failures", "_max_failures", "_max_messages", "_messages")

    def __init__(self, max_failures: int, max_messages: int) -> None:
        self._max_failures = max_failures
        self._max_messages = max_messages  # 0: no limit
        self._deferred = 0
        self._failures = 0
        self._messages = 0

    def count_failure(self) -> Reply | None:
        """A recipient or a login was refused; the 421 that ends the session when it is one too many."""
        self._failures += 1
        return _TOO_MANY_FAILURES if self._failures >= self._max_failures else None

    def count_deferral(self) -> Reply | None:
        """Something was refused for now; the 421 that ends the session when it is one too many since a message."""
        self._deferred += 1
        return _TOO_MANY_FAILURES if self._deferred > MOST_DEFERRED else None

    def count_message(self) -> None:
        """A message was taken in."""
        self._messages += 1
        self._deferred = 0

    def before_mail(self) -> Reply | None:
        """The 421 that ends the session instead of another transaction."""
        if self._max_messages and self._messages >= self._max_messages:
            return _TOO_MANY_MESSAGES
        return None

    @property
    def messages(self) -> int:
        """Messages taken in."""
        return self._messages
