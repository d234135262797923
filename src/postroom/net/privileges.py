"""Gives up root once the low ports are bound: least privilege for everything that reads what peers send."""

import os
import pwd
from pathlib import Path

STANDARD_USER = "postroom"


class PrivilegeError(Exception):
    """Root cannot be given up. The text names the remedy."""


def choose_user(configured: str) -> str:
    """The user to become: the configured one, else ``postroom`` where it exists, else ``""`` (stay who we are)."""
    if os.geteuid() != 0:
        return ""
    if configured:
        return configured
    try:
        return pwd.getpwnam(STANDARD_USER).pw_name
    except KeyError:
        return ""


def hand_over(folder: Path, user: str) -> None:
    """Make the folder and all in it the user's. Links are not followed. PrivilegeError if there is no such user."""
    entry = _entry(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(path, name), entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def become(user: str) -> None:
    """Become the user, for good: groups first, then group, then user, and no way back. PrivilegeError if that fails."""
    entry = _entry(user)
    try:
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except OSError as error:
        raise PrivilegeError(f"cannot become the user {user!r}: {error}; start as root or without user") from error


def _entry(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise PrivilegeError(
            f"there is no user {user!r}: make it (useradd --system {user}) or change user in the settings"
        ) from None
