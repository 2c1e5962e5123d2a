"""What can go wrong, in one line each: what was given, what is needed, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class XMCError(Exception):
    """Any failure the library foresees. The command line prints it as one line and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


class InputError(XMCError, ValueError):
    """Wrong usage or bad input: a file, an option or an argument must be changed by the caller."""

    exit_code = 2


class RunError(XMCError, RuntimeError):
    """The input was good but the work could not be finished (disk full, out of memory, interrupted)."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` for the known name nearest to `name`, or the list of all known names."""
    known = [str(k) for k in known]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"
