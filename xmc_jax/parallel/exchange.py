"""Communication between the processes of a run on the host: agreeing on numbers, arrays of any shape, turns to write.

A run of one process uses the same functions, which then return what they are given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from xmc_jax.errors import InputError, RunError, XMCError

Arrays = Mapping[str, np.ndarray]
"""Named arrays, as processes send them to each other."""
Result = TypeVar("Result")

_BLOCK = 1 << 22
"""Bytes that two processes send each other at once."""

_acts_alone: ContextVar[bool] = ContextVar("acts_alone", default=False)
"""Set while the first process does what the others wait for, during which it must not wait for them."""


def is_first() -> bool:
    """Returns whether this is the process that writes the run's folder."""
    return count_processes() == 1 or jax.process_index() == 0


def count_processes() -> int:
    """Returns how many processes train together; a single one asks for no device, which would start JAX's back end."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_alone() -> bool:
    """Returns whether there is no other process, or the others are waiting for this one (`run_first`)."""
    return count_processes() == 1 or _acts_alone.get()


def wait(where: str) -> None:
    """Returns once all processes have arrived; `where` must be the same in all, so not a path, which may differ."""
    if not is_alone():
        multihost_utils.sync_global_devices(where)


def run_together(work: Callable[[], Result]) -> Result:
    """Returns what `work` returns in each process; an error in one of them is raised in all.

    Otherwise the others would wait for that process until its absence is noticed.

    Raises:
        InputError, RunError: in the other processes; a process where `work` fails raises its own error.
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
    # Paths in a message may not be valid text.
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
    """Lets the first process work, once all have arrived and before any continues; its error is raised in all.

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
    """Returns the smallest of the numbers that the processes give."""
    if is_alone():
        return number
    return int(_gather_numbers(np.int64(number)).min())


def agree_first(number: float) -> float:
    """Returns the number that the first process gives."""
    if is_alone():
        return number
    return float(_gather_numbers(np.float64(number))[0])


def list_share(n: int, process: int | None = None) -> list[int]:
    """Returns which of n pieces of work belong to a process (by default this one); pieces are dealt in turn."""
    return list(range(jax.process_index() if process is None else process, n, jax.process_count()))


def gather_shares(mine: Sequence[Arrays]) -> list[Arrays]:
    """Returns the outcomes of all pieces of work, in order; `mine` are those of `list_share`."""
    n_processes = jax.process_count()
    if n_processes == 1:
        return list(mine)
    shares = [_unpack_pieces(share) for share in _gather_bytes(_pack_pieces(mine))]
    total = sum(len(share) for share in shares)
    return [shares[i % n_processes][i // n_processes] for i in range(total)]


def gather_each(mine: Arrays) -> list[Arrays]:
    """Returns the named arrays that every process gives, in the order of the processes."""
    if is_alone():
        return [mine]
    return [_unpack(data) for data in _gather_bytes(_pack(mine))]


def gather_alike(mine: np.ndarray) -> np.ndarray:
    """Returns the arrays of all processes as [P, ...]; they have one shape and a type of at most 32 bits."""
    return mine[None] if is_alone() else np.asarray(multihost_utils.process_allgather(mine))


def trade(messages: Sequence[Arrays]) -> list[Arrays]:
    """Sends named arrays to every process (including this one) and returns what each sent here, in their order."""
    if is_alone():
        return list(messages)
    me, block_bytes = jax.process_index(), _BLOCK
    # A process's message to itself is not sent.
    own = messages[me]
    packed = [bytearray() if to == me else _pack(message) for to, message in enumerate(messages)]
    del messages  # large where rows move; nobody else holds them
    sizes = np.array([len(data) for data in packed], np.int64)
    expected = np.stack([sent["sizes"] for sent in gather_each({"sizes": sizes})])
    longest = int(expected.max())
    while block_bytes // 4 >= max(longest, 1024):  # few sizes, as each compiles a program
        block_bytes //= 4
    out = [bytearray(int(size)) for size in expected[:, me]]
    block = np.zeros((1, len(packed), block_bytes), np.uint8)
    for start in range(0, longest, block_bytes):
        for row, sent in zip(block[0], packed, strict=True):
            part = sent[start : start + block_bytes]
            row[: len(part)] = np.frombuffer(part, np.uint8)
        for data, row in zip(out, _swap(block), strict=True):
            n = max(0, min(block_bytes, len(data) - start))
            data[start : start + n] = row[:n].data
    return [own if of == me else _unpack(data) for of, data in enumerate(out)]


def add_up(mine: np.ndarray) -> np.ndarray:
    """Returns the sum of the arrays of one shape that all processes give; each process adds up a part."""
    if is_alone():
        return mine
    n = jax.process_count()
    parts = trade([{"x": part} for part in np.array_split(mine.reshape(-1), n)])
    total = sum(part["x"] for part in parts)
    every = gather_each({"x": np.asarray(total, mine.dtype)})
    return np.concatenate([part["x"] for part in every]).reshape(mine.shape)


def _swap(block: np.ndarray) -> np.ndarray:
    """Returns what the processes sent here [P, width], given what this one sends to each [1, P, width]."""
    mesh = line_up()
    spread = NamedSharding(mesh, PartitionSpec("process"))
    shape = (mesh.size, *block.shape[1:])
    put = jax.make_array_from_process_local_data(spread, block, shape)
    return np.asarray(_compile_exchange(mesh)(put).addressable_data(0))[0]


@lru_cache(maxsize=1)
def line_up() -> Mesh:
    """Returns a mesh of the first device of every process."""
    first: dict[int, jax.Device] = {}
    for device in jax.devices():
        first.setdefault(device.process_index, device)
    devices = [first[process] for process in sorted(first)]
    return jax.make_mesh((len(devices),), ("process",), (AxisType.Auto,), devices=devices)


@lru_cache(maxsize=8)
def _compile_exchange(mesh: Mesh) -> Callable[[jax.Array], jax.Array]:
    def step(x: jax.Array) -> jax.Array:
        return jax.lax.all_to_all(x, "process", split_axis=1, concat_axis=1, tiled=True)

    spec = PartitionSpec("process")
    return jax.jit(jax.shard_map(step, mesh=mesh, in_specs=spec, out_specs=spec))


def _pack(arrays: Arrays) -> bytearray:
    """Returns the bytes of arrays, each at a multiple of 8, after the length of a line of JSON and this line."""
    rows = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    head = [[name, a.dtype.str, np.shape(arrays[name])] for name, a in rows.items()]
    line = json.dumps(head).encode()
    starts = np.cumsum([_fill(8 + len(line)), *(_fill(a.nbytes) for a in rows.values())]).tolist()
    out = bytearray(starts[-1])
    out[: 8 + len(line)] = len(line).to_bytes(8, "little") + line
    for start, a in zip(starts, rows.values(), strict=False):
        out[start : start + a.nbytes] = a.tobytes()
    return out


def _fill(n_bytes: int) -> int:
    return -(-n_bytes // 8) * 8


def _unpack(data: bytearray) -> Arrays:
    """Returns the arrays of `_pack`, which lie in the memory of `data`."""
    end = 8 + int.from_bytes(data[:8], "little")
    arrays, start = {}, _fill(end)
    for name, kind, shape in json.loads(data[8:end]):
        dtype, n = np.dtype(kind), int(np.prod(shape))
        arrays[name] = np.frombuffer(data, dtype, n, start).reshape(shape)
        start += _fill(n * dtype.itemsize)
    return arrays


def _pack_pieces(pieces: Sequence[Arrays]) -> bytearray:
    named = {f"{i}/{name}": a for i, arrays in enumerate(pieces) for name, a in arrays.items()}
    return _pack({"n": np.asarray(len(pieces)), **named})


def _unpack_pieces(data: bytearray) -> list[Arrays]:
    arrays = _unpack(data)
    pieces: list[dict[str, np.ndarray]] = [{} for _ in range(int(arrays["n"]))]
    for key, array in arrays.items():
        place, _, name = key.partition("/")
        if name:
            pieces[int(place)][name] = array
    return list(pieces)


def _gather_numbers(number: np.int64 | np.float64) -> np.ndarray:
    """Returns the number of every process; sent as bytes, because a collective reduces 64 bits to 32."""
    every = multihost_utils.process_allgather(np.frombuffer(number.tobytes(), np.uint8))
    return np.ascontiguousarray(every).view(number.dtype)[:, 0]


def _gather_bytes(data: bytes | bytearray) -> list[bytearray]:
    """Returns the bytes of every process; collectives need one shape, so they are padded to the longest."""
    sizes = _gather_numbers(np.int64(len(data)))
    mine = np.zeros(int(sizes.max()), np.uint8)
    mine[: len(data)] = np.frombuffer(data, np.uint8)
    every = multihost_utils.process_allgather(mine)
    return [bytearray(row[:size]) for row, size in zip(every, sizes.tolist(), strict=True)]
