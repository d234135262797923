"""Where every command begins: reads the settings, opens the store, and says what went wrong without a traceback."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from postroom.admin.refusal import Refused
from postroom.cli.house import House, OpenStore
from postroom.cli.output import complain, say
from postroom.config.load import examine, find
from postroom.config.model import Settings
from postroom.config.problems import Problem, SettingsError
from postroom.directory.model import DirectoryError
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.keys.sealing import SealError

Result = TypeVar("Result")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c", "--config", metavar="FILE", help="Settings file [./postroom.toml, /etc/postroom/postroom.toml]."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PasswordStdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input (its first line).")
]


class Desk:
    """The house and the settings, for one command."""

    def __init__(self, house: House) -> None:
        self.house = house

    @classmethod
    def of(cls, context: typer.Context) -> "Desk":
        """The desk of the running command; the house comes from ``main`` or from a test."""
        house: House = context.find_root().obj
        return cls(house)

    def settings(self, config: Path | None) -> tuple[Settings, Path]:
        """The settings and their file; warnings are told."""
        path = find(config)
        examined = examine(path)
        if examined.settings is None:
            raise SettingsError(examined.problems)
        return examined.settings, path

    def work(self, config: Path | None, job: Callable[[OpenStore, Settings], Awaitable[Result]]) -> Result:
        """Do ``job`` with the open store, and say what went wrong: then the command ends with exit code 1."""
        with telling_troubles():
            settings, _ = self.settings(config)
            return self.work_in(settings, job)

    def work_in(self, settings: Settings, job: Callable[[OpenStore, Settings], Awaitable[Result]]) -> Result:
        """The same with settings at hand, and troubles raised."""
        opening = self.house.open_store(settings)  # first: the owner may not be able to read our own files
        act_as_owner(settings.store.file)

        async def run() -> Result:
            async with opening as store:
                return await job(store, settings)

        return asyncio.run(run())


def act_as_owner(file: Path) -> None:
    """Root becomes the owner of the store, for good: files that root made beside it would lock the server out."""
    if os.geteuid() != 0:
        return
    try:
        owner = file.stat()
    except FileNotFoundError:
        return
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


@contextmanager
def telling_troubles() -> Iterator[None]:
    """Troubles that a person can mend end the command with exit code 1, a line on standard error and a remedy."""
    try:
        yield
    except SettingsError as error:
        tell_problems(error.problems)
        raise typer.Exit(1) from error
    except Refused as error:
        complain(error.what, error.remedy)
        raise typer.Exit(1) from error
    except SealError as error:
        complain(error.what, error.remedy)
        raise typer.Exit(1) from error
    except DirectoryError as error:
        complain(str(error))
        raise typer.Exit(1) from error
    except ValueError as error:  # a password that cannot be one
        complain(str(error))
        raise typer.Exit(1) from error
    except StoreUnavailable as error:
        remedy = "free space on the disk" if error.full else "postroom check looks at the store"
        complain(f"the store cannot be used: {error}", remedy)
        raise typer.Exit(1) from error
    except BrokenPipeError as error:  # whoever read our output has seen enough
        raise typer.Exit(1) from error
    except OSError as error:
        complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        raise typer.Exit(1) from error


def tell_problems(problems: tuple[Problem, ...]) -> None:
    """Problems of the settings, as editors and people read them."""
    for problem in problems:
        key = f"{problem.key}: " if problem.key else ""
        complain(f"{problem.place}: {key}{problem.what}", problem.remedy)


def done(text: str) -> None:
    """Say that it is done."""
    say(text)
