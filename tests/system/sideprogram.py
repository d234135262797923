"""A program beside the test with its own processor time and files: takes a plan, says how far it is, ends when told to.

The program is a module that calls ``run``; ``SideProgram`` starts it.
"""

import asyncio
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, cast

import uvloop

ROOT = Path(__file__).parents[2]

Job = Callable[[Mapping[str, Any], asyncio.Event], Awaitable[Mapping[str, Any]]]
"""What a side program does with its plan until the event is set, and what came of it."""


class SideProgram:
    """``python -m MODULE``, perhaps behind a ``prefix`` such as `ip netns exec NAME`.

    A module without a dot is one of this package.
    """

    def __init__(self, module: str, plan: Mapping[str, Any], prefix: Sequence[str] = ()) -> None:
        module = module if "." in module else f"tests.system.{module}"
        command = [*prefix, sys.executable, "-m", module]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._said: SimpleQueue[bytes] = SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(plan).encode() + b"\n")
        self._process.stdin.flush()

    def __enter__(self) -> "SideProgram":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def hear(self, seconds: float = 60.0) -> dict[str, Any]:
        """The next thing that it says."""
        try:
            line = self._said.get(timeout=seconds)
        except Empty:
            raise AssertionError(f"nothing was heard for {seconds} s") from None
        assert line, f"it ended without a word, exit code {self._process.wait()}"
        return cast(dict[str, Any], json.loads(line))

    def finish(self, seconds: float = 60.0) -> dict[str, Any]:
        """Tell it to end; what it says last."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        last = self.hear(seconds)
        while "result" not in last:
            last = self.hear(seconds)
        return cast(dict[str, Any], last["result"])

    def result(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until it is through with its plan; what it says last."""
        said = self.hear(seconds)
        while "result" not in said:
            said = self.hear(seconds)
        return cast(dict[str, Any], said["result"])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line)
        self._said.put(b"")


def say(**what: Any) -> None:
    """Tell the test how far it is."""
    print(json.dumps(what), flush=True)


def allow_files() -> int:
    """As many open files as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def run(job: Job) -> None:
    """The main of a side program: the plan is the first line of standard input, its end is the word to stop."""
    plan = json.loads(sys.stdin.buffer.readline())
    allow_files()

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, stop.set)
        say(result=await job(plan, stop))

    uvloop.run(main())
