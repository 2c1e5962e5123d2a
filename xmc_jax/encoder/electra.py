"""ELECTRA (Clark et al. 2020): settings and tensor names. A BERT without a pooler, whose embeddings may be narrower."""

from __future__ import annotations

import dataclasses

from xmc_jax.encoder import bert
from xmc_jax.encoder.architecture import Architecture, Settings

PREFIXES = ("", "electra.", "discriminator.")

TENSORS = {k: v for k, v in bert.TENSORS.items() if k != "pooler"} | {"widen": "embeddings_project"}
"""Our module → theirs; `{}` stands for the layer. The last one is there where the embeddings are not of H columns."""

_DEFAULTS = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}


def read_electra(settings: Settings) -> Architecture:
    """Returns the architecture that a `config.json` of an ELECTRA describes."""
    settings = settings.fill(_DEFAULTS)
    return dataclasses.replace(
        bert.read_bert(settings),
        family="electra",
        pooling="cls",
        embedding_size=settings.count("embedding_size", 128),
    )
