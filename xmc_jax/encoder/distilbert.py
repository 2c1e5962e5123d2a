"""DistilBERT (Sanh et al. 2019): settings and tensor names. It has no token types and no pooler."""

from __future__ import annotations

from xmc_jax.encoder.architecture import Architecture, Settings

PREFIXES = ("", "distilbert.")

TENSORS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "norm": "embeddings.LayerNorm",
    "layers/query": "transformer.layer.{}.attention.q_lin",
    "layers/key": "transformer.layer.{}.attention.k_lin",
    "layers/value": "transformer.layer.{}.attention.v_lin",
    "layers/out": "transformer.layer.{}.attention.out_lin",
    "layers/attention_norm": "transformer.layer.{}.sa_layer_norm",
    "layers/inner": "transformer.layer.{}.ffn.lin1",
    "layers/outer": "transformer.layer.{}.ffn.lin2",
    "layers/norm": "transformer.layer.{}.output_layer_norm",
}
"""Our module → theirs; `{}` stands for the layer."""


def read_distilbert(settings: Settings) -> Architecture:
    """Returns the architecture that a `config.json` of a DistilBERT describes."""
    hidden = settings.count("dim", 768)
    heads = settings.count("n_heads", 12)
    dropout = settings.rate("dropout", 0.1)
    return Architecture(
        family="distilbert",
        vocabulary=settings.count("vocab_size", 30522),
        hidden=hidden,
        layers=settings.count("n_layers", 6),
        heads=heads,
        head_size=settings.split_heads(hidden, heads),
        inner=settings.count("hidden_dim", 3072),
        activation=settings.activation("activation"),
        positions=settings.count("max_position_embeddings", 512),
        norm_eps=1e-12,
        pooling="cls",
        embedding_dropout=dropout,
        dropout=dropout,
        attention_dropout=settings.rate("attention_dropout", 0.1),
        pooled_dropout=dropout,
    )
