"""What XR-Transformer and X-Transformer are trained on."""

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
    """What a run is trained on.

    Attributes:
        config: all settings.
        linear: texts, labels and what the final levels need, with the settings of `linear_part`.
        encoder: an encoder of one's own, or None for the one in the settings.
        validation: (texts, labels [N, L]) to choose parameters by, or None.
        validation_features: of those texts, where the training has features of its own.
        label_texts: L texts of the labels for prototypes, empty where nothing is said of one; None: there are none.
        mixed_by: (texts, labels [N, L], features of one's own or None) that the share of the prototypes' score is
            chosen by; None: it is that of the settings.
    """

    config: TransformerConfig
    linear: Training
    encoder: Encoder | None = None
    validation: tuple[Any, sp.csr_matrix] | None = None
    validation_features: Features | None = None
    label_texts: list[str] | None = None
    mixed_by: tuple[Any, sp.csr_matrix, Features | None] | None = None

    def describe_data(self) -> dict[str, Any]:
        """Returns what tells this training set from another, JSON-ready."""
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
