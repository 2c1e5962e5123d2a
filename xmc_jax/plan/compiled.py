"""A jitted program compiled for an absent machine, and the compiler's figures for it.

The figures are read from the compiled program: memory from the compiler's own count, the rest from its text. `cycles`
are XLA's estimates for TPU operations, which nobody measured. Loops whose length depends on the data (a solver's steps)
count as one trip.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import jax

LARGE_COPY = 2**20
"""Bytes from which a copy in a loop, or of an argument, should be avoided."""

_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_SILENT = frozenset(
    [
        "parameter",
        "tuple",
        "get-tuple-element",
        "bitcast",
        "constant",
        "after-all",
        "partition-id",
        "replica-id",
        "while",
        "copy-done",
        "add-dependency",
        "optimization-barrier",
        "opt-barrier",
    ]
)
"""Operations that start no kernel."""
_WIDTH = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "s16": 2,
    "u16": 2,
    "bf16": 2,
    "f16": 2,
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+)\[([\d,]*)\]")


class Call(NamedTuple):
    """A jitted function and its arguments, which are placed on the target's devices."""

    function: Any
    arguments: tuple
    options: dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """The compiler's figures for a program on one device.

    Attributes:
        memory: the bytes of arguments, results and temporaries together.
        temporary: the bytes of temporaries alone.
        kernels: the operations that one run of the program starts; the body of a loop counts for each of its trips if
            their number is known, otherwise once.
        loop_kernels: the operations in the body of each loop whose length depends on the data, without inner loops.
        collectives: the number of each kind, counted likewise.
        collective_bytes: the bytes of their results, likewise.
        large_copies: the bytes of copies of more than 1 MiB inside loops or of arguments; ideally 0.
        cycles: the compiler's estimate, counted likewise; None if it gives none.
    """

    memory: int
    temporary: int
    kernels: int
    loop_kernels: tuple[int, ...]
    collectives: dict[str, int]
    collective_bytes: int
    large_copies: int
    cycles: int | None


@dataclass
class _Operation:
    name: str
    kind: str
    size: int
    text: str


@dataclass
class _Totals:
    kernels: int = 0
    cycles: int = 0
    copies: int = 0
    moved: int = 0
    collectives: Counter = field(default_factory=Counter)
    loops: list[int] = field(default_factory=list)

    def add(self, other: _Totals, times: int = 1) -> None:
        self.kernels += times * other.kernels
        self.cycles += times * other.cycles
        self.copies += other.copies
        self.moved += times * other.moved
        self.collectives.update({k: times * n for k, n in other.collectives.items()})
        self.loops += other.loops


def compile_program(function: Any, *arguments: Any, **options: Any) -> Figures:
    """Compiles a jitted function for the devices that its arguments lie on, and returns the figures.

    Args:
        function: a function of `jax.jit`.
        arguments: arrays or `jax.ShapeDtypeStruct` with a sharding on the devices.
        options: static arguments by name.

    Raises:
        jax.errors.JaxRuntimeError: the program does not fit a TPU's memory, or cannot be compiled.
    """
    return read_figures(function.lower(*arguments, **options).compile())


def read_figures(compiled: Any) -> Figures:
    """Returns the figures of a compiled program (`jax.stages.Compiled`)."""
    memory = compiled.memory_analysis()
    computations, entry = _parse(compiled.as_text())
    totals = _count(computations, entry, in_loop=False)
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return Figures(
        memory=held + memory.temp_size_in_bytes,
        temporary=memory.temp_size_in_bytes,
        kernels=totals.kernels,
        loop_kernels=tuple(totals.loops),
        collectives=dict(totals.collectives),
        collective_bytes=totals.moved,
        large_copies=totals.copies,
        cycles=totals.cycles or None,
    )


def find_excess(found: Figures, recorded: Figures, share: float = 0.1) -> list[str]:
    """Returns one line for each figure of a program that has grown too much; empty if none has.

    Args:
        found, recorded: figures of the same program for the same target.
        share: the share by which memory, kernels, cycles and bytes may grow.
    """
    lines = []
    for name in ("memory", "kernels", "cycles", "collective_bytes", "large_copies"):
        now, before = getattr(found, name) or 0, getattr(recorded, name) or 0
        if now > before * (1 + share):
            lines.append(f"{name}: {before:,} -> {now:,}")
    for kind, n in found.collectives.items():
        if n > recorded.collectives.get(kind, 0):
            lines.append(f"{kind}: {recorded.collectives.get(kind, 0)} -> {n}")
    return lines


def place_on(tree: Any, sharding: Any) -> Any:
    """Returns the shapes of a pytree of arrays with this placement on devices; other leaves stay."""

    def place(x: Any) -> Any:
        if not hasattr(x, "shape"):
            return x
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(place, tree)


def _parse(text: str) -> tuple[dict[str, list[_Operation]], str]:
    """Returns the operations of each computation, and the name of the first one."""
    computations: dict[str, list[_Operation]] = {}
    entry, name = "", None
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head and not line[0].isspace():
            name = head[2]
            computations[name] = []
            entry = name if head[1] else entry
        elif line.startswith("}"):
            name = None
        elif name is not None and (found := _LINE.match(line)):
            computations[name].append(_Operation(found[1], found[3], _measure(found[2]), line))
    return computations, entry


def _measure(shapes: str) -> int:
    """Returns the bytes of the arrays of a type."""
    return sum(
        _WIDTH.get(kind, 4) * prod(int(n) for n in sizes.split(",") if n)
        for kind, sizes in _ARRAY.findall(shapes)
    )


def _count(computations: dict[str, list[_Operation]], name: str, *, in_loop: bool) -> _Totals:
    """Returns the totals of a computation and of those that it calls."""
    totals = _Totals()
    arguments = {o.name for o in computations[name] if o.kind == "parameter"}
    for operation in computations[name]:
        if operation.kind == "while":
            body = _count(computations, _find(operation, "body"), in_loop=True)
            trips = _count_trips(computations, operation)
            totals.add(body, trips or 1)
            if trips is None:
                totals.loops.append(body.kernels)
            continue
        for called in _list_called(operation):
            if called in computations:
                totals.add(_count(computations, called, in_loop=in_loop))
        if operation.kind in _SILENT or operation.kind in ("call", "conditional"):
            continue
        kind = operation.kind.removesuffix("-start")
        totals.kernels += not operation.kind.endswith("-done")
        if kind in _COLLECTIVES:
            totals.collectives[kind] += 1
            totals.moved += operation.size
        totals.cycles += int((re.search(r'estimated_cycles":"(\d+)"', operation.text) or [0, 0])[1])
        of_argument = not in_loop and any(f"%{a})" in operation.text for a in arguments)
        # An asynchronous copy moves between memories; this one changes the layout of an array.
        if operation.kind == "copy" and operation.size > LARGE_COPY and (in_loop or of_argument):
            totals.copies += operation.size
    return totals


def _count_trips(computations: dict[str, list[_Operation]], loop: _Operation) -> int | None:
    """Returns how often a loop runs if its condition shows it: a counter below a constant, and nothing else."""
    known = re.search(r"known_trip_count\D*(\d+)", loop.text)
    if known:
        return int(known[1])
    condition = [o for o in computations[_find(loop, "condition")] if o.kind not in _SILENT]
    numbers = re.findall(
        r"constant\((\d+)\)", " ".join(o.text for o in computations[_find(loop, "condition")])
    )
    counts = len(condition) == 1 and "direction=LT" in condition[0].text and len(numbers) == 1
    return int(numbers[0]) if counts else None


def _find(operation: _Operation, role: str) -> str:
    found = re.search(rf"{role}=%?([\w.\-]+)", operation.text)
    assert found is not None, operation.text
    return found[1]


def _list_called(operation: _Operation) -> Iterator[str]:
    """Yields the computations that run as part of this operation, except those fused into one kernel."""
    if operation.kind == "call":
        yield _find(operation, "to_apply")
    elif operation.kind in ("async-start",):
        yield from re.findall(r"calls=%?([\w.\-]+)", operation.text)
    elif operation.kind == "conditional":
        branches = r"(?:branch_computations=\{([^}]*)\}|(?:true|false)_computation=(%?[\w.\-]+))"
        for names in re.findall(branches, operation.text):
            yield from re.findall(r"%?([\w.\-]+)", " ".join(names))
