"""The source ``callable``: a function of the operator's own. It gets address and password; True, False or None it says.

A plain function runs in a thread of its own few; an ``async`` one runs in the server's loop and must not block it.
"""

import asyncio
import importlib
import inspect
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from postroom.directory.sources.source import Claim, SourceUnavailable
from postroom.report.events import InternalError
from postroom.report.reporter import Reporter

LONGEST = 30.0
"""Seconds after which an answer is not waited for any more."""

_THREADS = 8

Function = Callable[[str, str], bool | Awaitable[bool | None] | None]


def load_function(name: str) -> Function:
    """The function that ``package.module:function`` names. ValueError, with the remedy, if there is none."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ValueError(f'auth.callable is {name!r}: write "package.module:function"')
    try:
        found: object = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        remedy = "install the module beside Postroom, or put its folder into PYTHONPATH"
        raise ValueError(f"auth.callable {name!r} cannot be imported ({error!r}): {remedy}") from error
    if not callable(found):
        raise ValueError(f"auth.callable {name!r} is no function: name one that takes address and password")
    return found


class FunctionSource:
    """The function."""

    name = "callable"

    def __init__(self, function: Function, reporter: Reporter, *, longest: float = LONGEST) -> None:
        self._function = function
        self._reporter = reporter
        self._longest = longest
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
        )
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="callable")

    async def mark(self, claim: Claim) -> None:
        """Nobody knows what its answer hangs on."""

    async def verify(self, claim: Claim) -> bool | None:
        """What it says. What it raises is a bug of its own, and no refusal."""
        try:
            async with asyncio.timeout(self._longest):
                answer = await self._call(str(claim.address), claim.password.text)
        except TimeoutError as error:
            raise SourceUnavailable(f"auth.callable did not answer within {self._longest:g} seconds") from error
        except Exception as error:
            self._tell(error)
            raise SourceUnavailable(f"auth.callable raised {type(error).__name__}") from error
        if answer is not None and not isinstance(answer, bool):
            raise SourceUnavailable(f"auth.callable answered {type(answer).__name__}, not True, False or None")
        return answer

    async def imitate(self, claim: Claim) -> None:
        """It is asked all the same: nobody else knows how long it takes."""
        await self.verify(claim)

    async def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, address: str, password: str) -> object:
        if self._is_async:
            answer = self._function(address, password)
        else:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, self._function, address, password)
        return await answer if inspect.isawaitable(answer) else answer

    def _tell(self, error: Exception) -> None:
        """Where it happened, without the message: that may quote the password."""
        trace = "".join(traceback.format_tb(error.__traceback__))
        self._reporter.tell(InternalError("auth.callable", type(error).__name__, trace))
