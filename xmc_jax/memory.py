"""How much memory there is: sizes as people write them, and the limits of the machine and its control groups."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from xmc_jax.errors import InputError, RunError

_UNITS = {"": 1, **{p: 1000**i for i, p in enumerate("kMGT", 1)}}
_UNITS |= {f"{p}i": 1024**i for i, p in enumerate("kMGT", 1)}
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?i?)b?(?:ytes)?\s*", re.IGNORECASE)
_LEAST = 1_000_000
_LEAST_LEFT = 64_000_000
"""Bytes that a stage needs at least to work in."""
_SHARE = 0.95
"""Usable share of a budget; the rest is lost in the allocator's pools."""

LIBRARIES = 400_000_000
"""Bytes of Python and the libraries, measured on a CPU."""
PROGRAM = 660_000_000
"""The same with the programs that are compiled for the levels."""


def parse_size(text: str) -> int:
    """Returns the bytes of a size such as `8GB`, `1.5 GiB`, `500M`; a number alone is bytes.

    Args:
        text: the size; k, M, G, T are powers of 1000, Ki, Mi, Gi, Ti of 1024, in either case.

    Raises:
        InputError: it is not a size, or less than a megabyte.

    Example:
        >>> parse_size("1.5 GiB")
        1610612736
    """
    match = _SIZE.fullmatch(str(text))
    units = {unit.lower(): size for unit, size in _UNITS.items()}
    size = 0
    if match and match[2].lower() in units:
        size = round(float(match[1]) * units[match[2].lower()])
    if not _LEAST <= size < 2**63:
        raise InputError(f"memory={text!r:.40} given, a size of 1 MB or more needed, such as 8GB")
    return size


def find_memory(system: str | os.PathLike = "/") -> int:
    """Returns the bytes that this process may use: the machine's, or less where a control group (v1, v2) or
    `ulimit -v` says so.

    Args:
        system: where `proc` and `sys` are mounted.
    """
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([most, *_read_limits(Path(system)), *_read_address_space()])


def find_budget(memory: str) -> int:
    """Returns the bytes of a setting such as `8GB`; for `auto`, of what there is."""
    return find_memory() if memory == "auto" else parse_size(memory)


def leave(budget: int, held: int, stage: str) -> int:
    """Returns the bytes of a budget that remain after the program and what is held.

    Args:
        budget: bytes in all.
        held: bytes of data and model.
        stage: what needs the rest, for the error.

    Raises:
        RunError: fewer than 64 MB remain; says how much is needed.
    """
    left = round(_SHARE * budget) - PROGRAM - held
    if left < _LEAST_LEFT:
        need = (PROGRAM + held + _LEAST_LEFT) / _SHARE
        raise RunError(
            f"memory of {budget / 1e9:.3g} GB given, {stage} needs at least {need / 1e9:.3g} GB: "
            f"{held / 1e9:.3g} GB for data and model, the rest to work in; set a larger --memory or use fewer documents"
        )
    return left


def release_memory() -> None:
    """Returns freed memory to the system if the C library would keep it (glibc).

    Threads that lay out chunks of hundreds of megabytes leave as much in the allocator's pools: without this, a
    training on 17,000 documents held 1.5 GB more at its peak.
    """
    trim = _find_trim()
    if trim is not None:
        trim(0)


@cache
def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # another C library
        return None


def _read_limits(system: Path) -> list[int]:
    """Returns the limits of the control groups that the process is in and of all above them."""
    files = (
        folder / ("memory.max" if is_new else "memory.limit_in_bytes")
        for folder, is_new in list_groups(system, "memory")
    )
    return [limit for limit in map(_read_limit, files) if limit is not None]


def list_groups(system: Path, controller: str) -> list[tuple[Path, bool]]:
    """Returns the folders of the control groups that the process is in and of all above them, and whether they are of
    version 2."""
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []
    folders = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = system / "sys/fs/cgroup" / (controller if controllers else "")
        # In a container the group's own folder may be mounted as the root: folders that are not there are passed over.
        parts = [part for part in group.split("/") if part not in ("", "..")]
        folders += [(root.joinpath(*parts[:n]), not controllers) for n in range(len(parts) + 1)]
    return folders


def _read_address_space() -> list[int]:
    """Returns the bytes of address space that `ulimit -v` leaves."""
    try:
        import resource
    except ImportError:  # not POSIX
        return []
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [limit] if limit >= 0 else []


def _read_limit(file: Path) -> int | None:
    """Returns the number in a file; None without one, or where there is no file."""
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # `max`: no limit
        return None
