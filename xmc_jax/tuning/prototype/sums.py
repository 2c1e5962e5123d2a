"""The start of prototypes: sums of the vectors of each label's documents and of its text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from xmc_jax.features import normalize_rows


class LabelSums(NamedTuple):
    """Directions of L labels.

    Attributes:
        rows: float32 [L, H], norm 1; 0 for a label without documents and text.
        inverse: float32 [L], 1 / the norm of the sum, the factor of a document's vector in `rows`.
    """

    rows: Float[np.ndarray, "L H"]
    inverse: Float[np.ndarray, "L"]


def sum_labels(
    labels: sp.csr_matrix,
    vectors: Float[np.ndarray, "N H"],
    texts: Float[np.ndarray, "L H"] | None = None,
    weight: float = 2.0,
) -> LabelSums:
    """Returns the normalised sums S_l = Σ_i u_i + weight · t_l.

    Args:
        labels: the positives, CSR [N, L]; their values do not matter.
        vectors: the vectors of the documents, scaled to norm 1 here.
        texts: the vectors of the labels' texts, likewise; a row of zeros for a label without one. Where there is no
            text, the mean direction of all documents replaces it, so that a label with few documents stays near the
            middle.
        weight: the number of documents that a text counts as.
    """
    units = normalize_rows(vectors)
    ones = sp.csr_matrix(
        (np.ones(labels.nnz, np.float32), labels.indices, labels.indptr), labels.shape
    )
    sums = np.asarray(ones.T @ units, np.float32)
    if weight:
        middle = normalize_rows(units.mean(axis=0, keepdims=True))
        has_documents = ones.getnnz(axis=0) > 0
        if texts is None:
            sums[has_documents] += np.float32(weight) * middle
        else:
            named = normalize_rows(texts)
            is_silent = ~named.any(axis=1)
            sums += np.float32(weight) * named
            sums[is_silent & has_documents] += np.float32(weight) * middle
    norms = np.linalg.norm(sums, axis=1)
    inverse = np.where(norms > 0, 1 / np.maximum(norms, 1e-12), 0).astype(np.float32)
    return LabelSums(sums * inverse[:, None], inverse)
