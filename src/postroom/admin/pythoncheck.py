"""Which Python the server runs on, and whether that was built with optimisations: such a one relays 12 to 20 % more.

``tools/choose-python`` runs it with each Python that it considers: it imports what comes with Python, and findings.
"""

import platform
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from postroom.admin.finding import Finding, Level

AREA = "python"


def is_optimised(variable: Callable[[str], object] = sysconfig.get_config_var) -> bool:
    """Whether this Python was compiled by what profiling it told (PGO); by default Python is not.

    ``variable`` tells how it was built. ``PGO_PROF_USE_FLAG`` and ``PROFILE_TASK`` say nothing: every build has them.
    """
    # Debian and Ubuntu keep the variables of another build of theirs, which was not optimised. Only the archiver for
    # link-time optimisation, which they do wherever they do the other, is in both.
    return "--enable-optimizations" in str(variable("CONFIG_ARGS")) or str(variable("AR")).endswith("-gcc-ar")


def check_python(variable: Callable[[str], object] = sysconfig.get_config_var) -> Finding:
    """Which Python this is. One that could be faster is worth a note, no warning."""
    what = f"{platform.python_version()}, {Path(sys.executable).resolve()}"
    if is_optimised(variable):
        return Finding(Level.OK, AREA, f"{what}, built with optimisations")
    remedy = "make the virtual environment with another, such as the distribution's"
    return Finding(
        Level.NOTE, AREA, f"{what}, built without optimisations: with them it relays 12 to 20 % more", remedy
    )


if __name__ == "__main__":
    sys.exit(0 if is_optimised() else 1)
