"""Errors of one line each: what was given, what is needed, what to do next."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable


class XMCError(Exception):
    """Any failure that the library foresees. The command line prints it as one line and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


class InputError(XMCError, ValueError):
    """Wrong usage or bad input: the caller must change a file, an option or an argument.

    >>> from xmc_jax import XRLinear
    >>> try:
    ...     XRLinear(bem=20)
    ... except InputError as error:
    ...     print(error)
    unknown setting 'bem'; did you mean 'beam'?
    """

    exit_code = 2


class RunError(XMCError, RuntimeError):
    """The input was good, but the work could not be finished (disk full, out of memory, interrupted)."""


class Note(UserWarning):
    """Reports, in one line, that something ambiguous was read one way or that something was left out.

    In Python it is a warning; the command line prints `note: ...` on standard error.
    """


def tell(message: str) -> None:
    """Warns with a `Note` that points at the caller's first line outside this package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(" ".join(message.split()), Note, stacklevel=level)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]


def suggest(name: str, known: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` for the known name nearest to `name`, or the list of all known names."""
    known = [str(k) for k in known]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"
