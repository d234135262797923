"""Logs reports: one JSON line each, or a readable line on a terminal.

A JSON line begins with ``time``, ``level``, ``event``, and for reports about a client ``address`` follows, so that a
fail2ban filter is ``^{"time":"[^"]+","level":"warning","event":"login_failed","address":"<HOST>",``. JSON lines are
ASCII and console lines escaped: whatever a peer sent, no control character gets out and no line can be forged.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TextIO

import orjson
import structlog

from postroom.report.events import Report
from postroom.report.line import DEBUG, ERROR, LEVELS, LONGEST_TRACE, WARNING, Told, cut
from postroom.report.told import QUIET, tell
from postroom.report.writer import LineGatherer, LineSender, LineWriter, Sink, file_sink

Renderer = Callable[[dict[str, Any]], str]

_LEVEL_NAMES = {level: name for name, level in LEVELS.items()}
_MILLISECONDS = tuple(f".{each:03d}Z" for each in range(1000))
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class LogForm:
    """How lines look, and which are shown: what a process is told whose lines another one writes.

    ``level`` is the lowest that is shown; ``console``: readable lines, else JSON; ``colors``: for a terminal.
    """

    level: str = "info"
    console: bool = False
    colors: bool = False

    def renderer(self) -> Renderer:
        """What makes such lines."""
        return console_renderer(colors=self.colors) if self.console else render_json


def open_log(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> "Log":
    """The log of this process, to ``stream`` (standard output if None); ``form`` is auto, json or console."""
    stream = sys.stdout if stream is None else stream
    is_terminal = stream.isatty()
    console = form == "console" or (form == "auto" and is_terminal)
    return Log(LogForm(level, console, is_terminal), file_sink(stream.fileno()))


def open_log_to(form: LogForm, sink: Sink) -> "Log":
    """The log of a process whose lines another one writes (``Log.pass_on``). Call it in the loop.

    ``sink`` takes whole lines, in the loop's thread alone, and must not block. When ``flush`` and ``close`` return, it
    has everything.
    """
    return Log(form, sink, through=LineSender)


class Log:
    """Listens to a Reporter (``tell``). ``close`` it at the end."""

    def __init__(
        self,
        form: LogForm,
        sink: Sink,
        now: Callable[[], float] = time.time,
        *,
        through: Callable[[Sink, Callable[[int], str]], LineGatherer] = LineWriter,
    ) -> None:
        self._form = form
        self._level = LEVELS[form.level]
        self._render = form.renderer()
        self._now = now
        self._second = -1
        self._stamp = ""
        self._writer = through(sink, self._lost)

    @property
    def form(self) -> LogForm:
        """How its lines look, with the level as it is now."""
        return replace(self._form, level=_LEVEL_NAMES[self._level])

    def tell(self, report: Report) -> None:
        """Log one report, if its level is shown."""
        if self._level > DEBUG and type(report) in QUIET:
            return
        told = tell(report)
        if told.level >= self._level:
            self.write(told)

    def write(self, told: Told) -> None:
        """Log one line whatever its level; errors are written at once."""
        ambiguous = told.event == "lease_lost" or "ambiguous" in told.fields  # what explains a second copy is not lost
        at_once = told.level >= ERROR or told.event == "server_ready" or ambiguous
        self._writer.write(self._line(told), at_once=at_once)

    def pass_on(self, lines: bytes) -> None:
        """Write lines that another process made, as they are, after those that were told here before."""
        self._writer.pass_on(lines)

    def set_level(self, level: str) -> None:
        """Change the lowest level that is shown (after a reload of the settings)."""
        self._level = LEVELS[level]

    def flush(self) -> None:
        """Hand over what was gathered."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _line(self, told: Told) -> str:
        fields = {"time": self._time(), "level": _LEVEL_NAMES[told.level], "event": told.event, **told.fields}
        return self._render(fields)

    def _time(self) -> str:
        """RFC 3339, UTC, milliseconds; the part down to the second is made once a second."""
        now = self._now()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return self._stamp + _MILLISECONDS[int((now - second) * 1000)]

    def _lost(self, count: int) -> str:
        return self._line(Told(WARNING, "log_lines_lost", {"count": count}))


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, check_circular=False).encode


def render_json(fields: dict[str, Any]) -> str:
    """One line of JSON in ASCII."""
    try:
        line = orjson.dumps(fields)
    except TypeError:  # a text with lone surrogates: only the slow encoder can show it
        return _encode(fields)
    return line.decode("ascii") if line.isascii() else _encode(fields)


def console_renderer(*, colors: bool) -> Renderer:
    """Lines for people: aligned, coloured where the terminal can, control characters shown as escapes."""
    renderer = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, timestamp_key="time", pad_event_to=20)

    def render(fields: dict[str, Any]) -> str:
        trace = fields.pop("trace", "")
        line = renderer(None, "", {key: _readable(value) for key, value in fields.items()})
        if trace:
            line += "\n" + "\n".join(escape(text) for text in trace.splitlines())
        return line

    return render


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return escape(", ".join(value))
    return value


def escape(text: str) -> str:
    """The text with control characters and direction changes shown as escapes."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


class LibraryHandler(logging.Handler):
    """Brings what libraries say through ``logging`` (uvicorn, asyncio) into the same log as event ``library``."""

    def __init__(self, log: Log, level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        level = next(
            (ours for ours in sorted(LEVELS.values(), reverse=True) if ours <= record.levelno), LEVELS["debug"]
        )
        fields = {"library": record.name, "text": cut(record.getMessage(), LONGEST_TRACE)}
        if record.exc_info:
            fields["trace"] = logging.Formatter().formatException(record.exc_info)[-LONGEST_TRACE:]
        self._log.write(Told(level, "library", fields))
