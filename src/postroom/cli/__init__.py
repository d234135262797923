"""The commands: ``postroom``, and ``sendmail`` where it is called by that name."""

import sys
from collections.abc import Sequence
from pathlib import PurePath


def main(arguments: Sequence[str] | None = None, called_as: str | None = None) -> int:
    """Run the command line; the exit code is 0 for done, 1 for failed, 2 for wrong use."""
    from postroom.cli.house import RealHouse
    from postroom.cli.output import complain
    from postroom.cli.program import make_program
    from postroom.cli.sendmail import run

    words = list(sys.argv[1:] if arguments is None else arguments)
    name = PurePath(sys.argv[0] if called_as is None else called_as).name
    try:
        if name == "sendmail":
            return run(RealHouse(), words)
        make_program()(args=words, prog_name="postroom", obj=RealHouse())
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except Exception as error:  # noqa: BLE001 - a bug: the person gets a sentence, not a stack
        complain(f"internal error: {type(error).__name__}: {error}", "please report it, with the command that you ran")
        return 1
    return 0
