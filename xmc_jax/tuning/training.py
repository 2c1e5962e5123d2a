"""The inputs of training XR-Transformer and X-Transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import scipy.sparse as sp

from xmc_jax.config import (
    TransformerConfig,
)
from xmc_jax.encoder import Encoder, flatten_params
from xmc_jax.linear.training import Training, list_extras
from xmc_jax.run import (
    digest_texts,
    fingerprint,
)
from xmc_jax.types import Features


@dataclass(frozen=True)
class TransformerTraining:
    """The inputs of a training.

    Attributes:
        config: all settings.
        linear: texts, labels and what else the final levels need, with the settings of `linear_part`.
        encoder: the user's own encoder, or None for the one in the settings.
        validation: (texts, labels [N, L]) to choose parameters by, or None.
        validation_features: the features of those texts, if the training has features of its own.
        label_texts: L texts of the labels for prototypes, empty for a label without one; None: there are none.
        mixed_by: (texts, labels [N, L], the user's own features or None) by which the share of the prototypes' score
            is chosen; None: it is the setting.
    """

    config: TransformerConfig
    linear: Training
    encoder: Encoder | None = None
    validation: tuple[Any, sp.csr_matrix] | None = None
    validation_features: Features | None = None
    label_texts: list[str] | None = None
    mixed_by: tuple[Any, sp.csr_matrix, Features | None] | None = None

    def describe_data(self) -> dict[str, Any]:
        """Returns the identity of this training set, JSON-ready."""
        linear = self.linear
        extras = list_extras(linear)
        if self.encoder is not None:
            extras += flatten_params(self.encoder.params).values()
        if self.validation is not None:
            texts, labels = self.validation
            extras += [digest_texts(texts), labels.indptr, labels.indices]
        if self.label_texts is not None:
            extras.append(digest_texts(self.label_texts))
        return fingerprint(linear.texts, linear.features, linear.labels, extras)
