"""The memory that an update takes on a device, and the batch, its parts and the rematerialisation that fit.

With P parameters of encoder and head, n devices that share state and batch, and b texts per part and device, bytes are:

    one device        12·P of parameters and moments, 4·P of gradients, 4·P of their sum where there are parts
    n devices         the same with state and sum split: 12·P / n, and 8·P of gathered parameters and gradients
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
"""Share of a device's memory that an update may take; the rest is for the program itself and what the formula omits."""
_HOST_SHARE = 0.6
"""Share of the host's memory, which also holds texts, features and labels."""
_MOST, _FEW, _USUAL = 64, 8, 32
"""Texts per device that `auto` starts with, and for which it would rather recompute; the batch on a CPU."""
_TOKENS = 4096
"""A part of this many tokens keeps an accelerator busy; down to this, splitting a batch is cheaper than recomputing."""


@dataclass(frozen=True)
class UpdateSize:
    """What the memory of an update depends on besides its batch.

    Attributes:
        parameters: the number of parameters of the encoder.
        architecture: the architecture of the encoder; None: a user's own encoder, whose activations are unknown.
        length: the number of tokens of the longest text.
        dtype: the dtype of the encoder's products.
        nodes: the number of nodes of the largest level, each a row of the head.
        candidates: the number of candidates per text; None: all nodes.
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
        batch_size: the number of texts per update.
        accumulate: the number of parts that they are split into.
        remat: whether layers are recomputed for the gradient.
        memory: the estimated bytes on a device.
        fits: whether they are within the budget.
    """

    batch_size: int
    accumulate: int
    remat: bool
    memory: int
    fits: bool


def weigh_update(size: UpdateSize, texts: int, n_parts: int, remat: bool, n_devices: int) -> int:
    """Returns roughly how many bytes an update takes on a device; the formulas are at the top of this file.

    Args:
        size: the size of the update.
        texts: the number of texts of a part on one device.
        n_parts: the number of parts of the batch.
        remat: whether layers are recomputed.
        n_devices: the number of devices that share state and batch.
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
    """Returns the bytes that an update may take on a device; `host` is the host memory available."""
    return int(host * _HOST_SHARE / target.n_devices if target.is_cpu else target.memory * MARGIN)


def choose_fit(
    size: UpdateSize,
    target: Target,
    budget: int,
    batch_size: int | Auto = "auto",
    accumulate: int | Auto = "auto",
    remat: bool | Auto = "auto",
) -> Fit:
    """Returns the batch, and the parts and rematerialisation that make it fit; settings other than `auto` are kept.

    On one device the batch is first split into parts, as long as they keep it busy, because recomputing takes a third
    more work. On several devices layers are recomputed first, because the devices sum the gradients of every part.

    Args:
        size: the size of the update.
        target: where the update runs; its devices share state and batch.
        budget: the bytes available on a device.
        batch_size, accumulate, remat: the settings.
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
    """Returns as many texts as fit unsplit, without recomputing unless they would be few."""
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
    """Yields numbers of parts and whether to recompute, the cheapest first."""
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
