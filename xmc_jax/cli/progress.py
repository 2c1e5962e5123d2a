"""Progress of a command: it looks for interrupts first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from xmc_jax import progress
from xmc_jax.cli.interrupts import watch

if TYPE_CHECKING:
    from xmc_jax.types import Progress


@contextlib.contextmanager
def open_progress(tells: bool = True) -> Iterator[Progress]:
    """Gives what standard error can show, and clears it away at the end; or what is silent."""
    with progress.open_progress(tells) as told:
        yield watch(told)
