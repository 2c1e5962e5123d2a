"""What the processes of a run tell each other on the host: numbers to agree on, arrays of any shape, turns to write.

A run of one process goes through the same functions, which then return what they are given.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from xmc_jax.errors import InputError, RunError, XMCError

Arrays = Mapping[str, np.ndarray]
Result = TypeVar("Result")

_acts_alone: ContextVar[bool] = ContextVar("acts_alone", default=False)
"""Set while the first process does what the others wait for: nothing in it may wait for them."""


def is_first() -> bool:
    """Tells whether this is the process that writes the run's folder."""
    return count_processes() == 1 or jax.process_index() == 0


def count_processes() -> int:
    """Returns how many processes train together; of one it asks no device, which would start JAX's back end."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_alone() -> bool:
    """Tells whether there is no other process, or the others wait for what this one does (`run_first`)."""
    return count_processes() == 1 or _acts_alone.get()


def wait(where: str) -> None:
    """Returns when all processes are here; `where` is the same in all, so no path: they may see a folder elsewhere."""
    if not is_alone():
        multihost_utils.sync_global_devices(where)


def run_together(work: Callable[[], Result]) -> Result:
    """Returns what `work` returns in each process; an error in one of them is raised in all.

    Else the others would wait for that one, until its absence is noticed.

    Raises:
        InputError, RunError: in the other processes; what `work` raised in its own.
    """
    if is_alone():
        return work()
    error: Exception | None = None
    text = ""
    try:
        result = work()
    except XMCError as e:
        kind = InputError if isinstance(e, InputError) else RunError
        error, text = e, f"{kind.__name__}:{e}"
    except Exception as e:
        error, text = e, f"{RunError.__name__}:{type(e).__name__}: {e}"
    # Paths in a message may be no valid text.
    sent = text.encode(errors="backslashreplace")
    told = [message.decode() for message in _gather_bytes(sent)]
    if error is not None:
        raise error
    for process, message in enumerate(told):
        if message:
            name, _, line = message.partition(":")
            kind = InputError if name == InputError.__name__ else RunError
            raise kind(f"process {process}: {line}")
    return result


def run_first(work: Callable[[], object]) -> None:
    """Lets the first process work, when all are here and before any goes on; its error is raised in all.

    The work sees a run of one process.
    """
    if is_alone():
        work()
        return
    wait("before the work of the first process")

    def run_alone() -> None:
        if is_first():
            token = _acts_alone.set(True)
            try:
                work()
            finally:
                _acts_alone.reset(token)

    run_together(run_alone)


def agree_least(number: int) -> int:
    """Returns the least of the numbers that the processes give."""
    if is_alone():
        return number
    return int(_gather_numbers(np.int64(number)).min())


def agree_first(number: float) -> float:
    """Returns the number that the first process gives."""
    if is_alone():
        return number
    return float(_gather_numbers(np.float64(number))[0])


def list_share(n: int) -> list[int]:
    """Returns which of n pieces of work are this process's: dealt out in turn."""
    return list(range(jax.process_index(), n, jax.process_count()))


def gather_shares(mine: Sequence[Arrays]) -> list[Arrays]:
    """Returns the outcomes of all pieces of work, in order; `mine` are those of `list_share`."""
    n_processes = jax.process_count()
    if n_processes == 1:
        return list(mine)
    shares = [_unpack(share) for share in _gather_bytes(_pack(mine))]
    total = sum(len(share) for share in shares)
    return [shares[i % n_processes][i // n_processes] for i in range(total)]


def _pack(pieces: Sequence[Arrays]) -> bytes:
    file = io.BytesIO()
    named = {f"{i}/{name}": a for i, arrays in enumerate(pieces) for name, a in arrays.items()}
    np.savez(file, allow_pickle=False, n=np.asarray(len(pieces)), **named)
    return file.getvalue()


def _unpack(data: bytes) -> list[Arrays]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        pieces: list[dict[str, np.ndarray]] = [{} for _ in range(int(file["n"]))]
        for key in file.files:
            place, _, name = key.partition("/")
            if name:
                pieces[int(place)][name] = file[key]
    return list(pieces)


def _gather_numbers(number: np.int64 | np.float64) -> np.ndarray:
    """Returns the number of every process; as bytes, as a collective makes 32 bits of 64."""
    every = multihost_utils.process_allgather(np.frombuffer(number.tobytes(), np.uint8))
    return np.ascontiguousarray(every).view(number.dtype)[:, 0]


def _gather_bytes(data: bytes) -> list[bytes]:
    """Returns the bytes of every process; collectives want one shape, so they are padded to the longest."""
    sizes = _gather_numbers(np.int64(len(data)))
    mine = np.zeros(int(sizes.max()), np.uint8)
    mine[: len(data)] = np.frombuffer(data, np.uint8)
    every = multihost_utils.process_allgather(mine)
    return [row[:size].tobytes() for row, size in zip(every, sizes.tolist(), strict=True)]
