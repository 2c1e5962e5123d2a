"""Host side: turns texts and the user's own vectors into features, and labels into vectors for clustering."""

from xmc_jax.features.label_embedding import choose_sketch, embed_labels
from xmc_jax.features.vectorizer import (
    Vectorizer,
    fit_transform,
    fit_vectorizer,
    load_vectorizer,
)
from xmc_jax.features.vectors import (
    as_features,
    check_width,
    concatenate,
    drop_zeros,
    load_matrix,
    normalize_rows,
    row_lengths,
    unit_rows,
)

__all__ = [
    "Vectorizer",
    "as_features",
    "check_width",
    "choose_sketch",
    "concatenate",
    "drop_zeros",
    "embed_labels",
    "fit_transform",
    "fit_vectorizer",
    "load_matrix",
    "load_vectorizer",
    "normalize_rows",
    "row_lengths",
    "unit_rows",
]
