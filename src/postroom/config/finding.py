"""What a look at well-formed settings found: something that does not fit to something else."""

from dataclasses import dataclass

from postroom.config.lines import KeyPath


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit; a warning if not ``is_error``."""

    path: KeyPath
    what: str
    remedy: str
    is_error: bool = True
