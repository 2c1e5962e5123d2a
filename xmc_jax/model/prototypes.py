"""Prototypes as a trained model: a direction, a factor and a bias per label."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float

from xmc_jax.errors import InputError
from xmc_jax.types import AnyArray

Scores = Literal["share", "sigmoid"]
"""How logits become scores in [0, 1]: by each label's share of Σ exp, or by the logistic function."""
Storage = Literal["float32", "bfloat16", "int8"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prototypes:
    """z(e, l) = factor_l · e · row_l + bias_l, for vectors e of norm 1, or their projection e · basis (host arrays)."""

    rows: AnyArray
    """[L, H], or [L, P] with a basis, of a type of `Storage`; unprojected float32 and bfloat16 rows have norm 1, or 0
    for a label of which nothing is known."""
    factor: AnyArray
    """float32 [L]."""
    bias: AnyArray
    """float32 [L]; −∞ for a label that cannot be predicted."""
    scores: Scores = field(metadata={"static": True})
    basis: AnyArray | None = None
    """float32 [H, P]: principal directions that vectors are projected on; None: they are compared as they are."""
    norms: AnyArray | None = None
    """float32 [L]: what the rows were divided by, which an update multiplies them by; None: not known, 1 serves."""

    def __repr__(self) -> str:
        return f"Prototypes({self.n_labels:,} labels of {self.hidden:,} numbers)"

    @property
    def n_labels(self) -> int:
        return len(self.bias)

    @property
    def hidden(self) -> int:
        """H, the columns of a vector."""
        return self.rows.shape[1] if self.basis is None else self.basis.shape[0]

    @property
    def n_bytes(self) -> int:
        return sum(np.asarray(a).nbytes for a in jax.tree.leaves(self))

    def project(self, units: Float[np.ndarray, "N H"]) -> Float[np.ndarray, "N P"]:
        """Returns vectors of norm 1 in the form that is compared with rows."""
        return units if self.basis is None else units @ np.asarray(self.basis)


def make_prototypes(
    rows: Float[np.ndarray, "L H"], bias: Float[np.ndarray, "L"], scale: float, scores: Scores
) -> Prototypes:
    """Returns prototypes in float32; rows are scaled to norm 1, and labels with a row of zeros cannot be predicted."""
    norms = np.linalg.norm(rows, axis=1)
    known = norms > 0
    unit = (rows / np.where(known, norms, 1)[:, None]).astype(np.float32)
    factor = np.full(len(rows), scale, np.float32)
    bias = np.where(known, bias, -np.inf).astype(np.float32)
    return Prototypes(unit, factor, bias, scores, norms=norms.astype(np.float32))


def store_prototypes(prototypes: Prototypes, storage: Storage) -> Prototypes:
    """Returns float32 prototypes in another type; with `int8` every label has its own factor.

    Raises:
        InputError: they are not float32.
    """
    if prototypes.rows.dtype != np.float32:
        raise InputError(f"prototypes in {prototypes.rows.dtype} given, float32 needed")
    if storage == "float32":
        return prototypes
    if storage == "bfloat16":
        return replace(prototypes, rows=np.asarray(prototypes.rows, jax.numpy.bfloat16))
    largest = np.abs(prototypes.rows).max(axis=1, initial=0)
    unit = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(127)
    rows = np.rint(prototypes.rows / unit[:, None]).astype(np.int8)
    return replace(prototypes, rows=rows, factor=(prototypes.factor * unit).astype(np.float32))


def project_prototypes(
    prototypes: Prototypes, n_columns: int, basis: Float[np.ndarray, "H P"] | None = None
) -> Prototypes:
    """Returns float32 prototypes in their first principal directions, which lose least of their rows.

    Args:
        prototypes: float32 prototypes that are not projected yet.
        n_columns: P.
        basis: the directions of others, in the place of their own.

    Raises:
        InputError: there would be more columns than a vector has.
    """
    rows = prototypes.rows
    if not 1 <= n_columns <= prototypes.hidden:
        raise InputError(
            f"{n_columns} columns of prototypes asked for, 1 to {prototypes.hidden} (the encoder's columns) needed"
        )
    if basis is None:
        directions = np.linalg.eigh(rows.T.astype(np.float64) @ rows)[1][:, ::-1]
        basis = np.ascontiguousarray(directions[:, :n_columns], np.float32)
    return replace(prototypes, rows=rows @ basis, basis=basis)


def restore_rows(prototypes: Prototypes, scale: float) -> Float[np.ndarray, "L P"]:
    """Returns the rows of stored prototypes in float32, before they were divided by their norms.

    Args:
        prototypes: of any type.
        scale: factor of the cosine in a logit, which `int8` holds a unit of its own beside.
    """
    rows = np.asarray(prototypes.rows, np.float32)
    if prototypes.rows.dtype == np.int8:
        rows = rows * (prototypes.factor / np.float32(scale))[:, None]
    return rows if prototypes.norms is None else rows * prototypes.norms[:, None]
