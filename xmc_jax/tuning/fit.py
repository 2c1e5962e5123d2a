"""What an update takes of a device's memory, and the batch, its parts and the recomputing that fit.

With P numbers of encoder and head, n devices that share state and batch, a part of b texts on a device, bytes are:

    one device        12·P of parameters and moments, 4·P of gradients, 4·P of their sum where there are parts
    n devices         the same, of which state and sum are cut: 12·P / n, 8·P of parameters and gradients laid together
    activations       `encoder/cost.py`
    head              8·b·nodes of logits and their gradients, or 12·b·candidates·H where rows are gathered
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

import jax

from xmc_jax.encoder import Encoder, count_activations
from xmc_jax.encoder.architecture import Architecture
from xmc_jax.model import gathers_rows
from xmc_jax.parallel import Target

Auto = Literal["auto"]

MARGIN = 0.85
"""Of a device's memory that an update may take: the rest is the program's own, and what the formula does not know."""
_HOST_SHARE = 0.6
"""Of the host's memory: texts, features and labels lie beside the update there."""
_MOST, _FEW, _USUAL = 64, 8, 32
"""Texts on a device that `auto` begins with and would rather recompute for; batch on a CPU."""
_TOKENS = 4096
"""A part of so many tokens keeps an accelerator busy: cutting a batch is cheaper than recomputing until then."""


@dataclass(frozen=True)
class UpdateSize:
    """What the memory of an update depends on, beside its batch.

    Attributes:
        parameters: of the encoder.
        architecture: of the encoder; None: one's own, whose activations nobody knows.
        length: tokens of the longest text.
        dtype: of the encoder's products.
        nodes: of the largest level, each a row of the head.
        candidates: of a text; None: all nodes.
        hidden: H.
    """

    parameters: int
    architecture: Architecture | None
    length: int
    dtype: str
    nodes: int
    candidates: int | None
    hidden: int

    @classmethod
    def of(cls, encoder: Encoder, length: int, nodes: int, candidates: int | None) -> UpdateSize:
        """Returns the sizes of an encoder's updates."""
        parameters = sum(prod(x.shape) for x in jax.tree.leaves(encoder.params))
        dtype = "float32" if encoder.config is None else encoder.config.dtype
        return cls(
            parameters, encoder.architecture, length, dtype, nodes, candidates, encoder.hidden
        )


@dataclass(frozen=True)
class Fit:
    """How an update is made to fit.

    Attributes:
        batch_size: texts of an update.
        accumulate: parts that they are cut into.
        remat: whether layers are computed again for the gradient.
        memory: bytes of a device, estimated.
        fits: whether those are in the budget.
    """

    batch_size: int
    accumulate: int
    remat: bool
    memory: int
    fits: bool


def weigh_update(size: UpdateSize, texts: int, n_parts: int, remat: bool, n_devices: int) -> int:
    """Returns about how many bytes of a device an update takes; the formulas stand at the top of this file.

    Args:
        size: of the update.
        texts: of a part, on one device.
        n_parts: of the batch.
        remat: layers are computed again.
        n_devices: that share state and batch.
    """
    numbers = size.parameters + (size.nodes + 1) * size.hidden
    together = 4 * numbers * (1 if n_devices == 1 else 2)
    cut = numbers * (16 if n_parts > 1 else 12) // n_devices
    head = 8 * texts * size.nodes
    if size.candidates is not None and gathers_rows(size.nodes, size.candidates):
        head = 12 * texts * size.candidates * size.hidden
    activations = 0
    if size.architecture is not None:
        activations = count_activations(size.architecture, texts, size.length, size.dtype, remat)
    return together + cut + head + activations


def find_budget(target: Target, host: int) -> int:
    """Returns the bytes of a device that an update may take; `host` is what there is of host memory."""
    return int(host * _HOST_SHARE / target.n_devices if target.is_cpu else target.memory * MARGIN)


def choose_fit(
    size: UpdateSize,
    target: Target,
    budget: int,
    batch_size: int | Auto = "auto",
    accumulate: int | Auto = "auto",
    remat: bool | Auto = "auto",
) -> Fit:
    """Returns the batch, and the parts and the recomputing that make it fit; settings that are no `auto` are kept.

    On one device a batch is cut into parts first, as long as they keep it busy, as recomputing takes a third more work.
    On several layers are computed again first, as the devices add up the gradients of every part.

    Args:
        size: of the update.
        target: where it is made; its devices share state and batch.
        budget: bytes of a device.
        batch_size, accumulate, remat: settings.
    """
    n = target.n_devices
    if batch_size == "auto":
        batch_size = _choose_batch(size, target, budget, remat)
    last = None
    for parts, again in _list_options(size, batch_size, n, accumulate, remat):
        texts = -(-batch_size // (n * parts))
        memory = weigh_update(size, texts, parts, again, n)
        last = Fit(batch_size, parts, again, memory, memory <= budget)
        if last.fits:
            return last
    assert last is not None
    return last


def _choose_batch(size: UpdateSize, target: Target, budget: int, remat: bool | Auto) -> int:
    """Returns as many texts as fit uncut, without recomputing if those are not few."""
    n, texts = target.n_devices, _MOST
    if target.is_cpu:
        return -(-_USUAL // n) * n
    for again, least in ((False, _FEW), (True, 1)):
        if remat in ("auto", again):
            texts = _MOST
            while texts >= least:
                if weigh_update(size, texts, 1, again, n) <= budget:
                    return texts * n
                texts //= 2
    return n


def _list_options(
    size: UpdateSize, batch_size: int, n: int, accumulate: int | Auto, remat: bool | Auto
) -> Iterator[tuple[int, bool]]:
    """Yields parts and recomputing, the cheapest first."""
    known = size.architecture is not None
    choices = (False, True) if remat == "auto" and known else (remat is True,)
    if accumulate != "auto":
        yield from ((accumulate, again) for again in choices)
        return
    parts = [p for p in range(1, batch_size + 1) if batch_size % (p * n) == 0 and not p & (p - 1)]
    parts = parts if known and parts else [1]
    large = [p for p in parts if p == 1 or batch_size * size.length >= p * _TOKENS]
    if n > 1 and True in choices:
        large = [1]
    for again in choices:
        yield from ((p, again) for p in (large if again != choices[-1] else parts))
