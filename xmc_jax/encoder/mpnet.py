"""MPNet (Song et al. 2020): settings and tensor names. All layers share one bias of relative positions."""

from __future__ import annotations

from xmc_jax.encoder.architecture import Architecture, Settings
from xmc_jax.errors import InputError

PREFIXES = ("", "mpnet.")

TENSORS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "norm": "embeddings.LayerNorm",
    "relative": "encoder.relative_attention_bias",
    "layers/query": "encoder.layer.{}.attention.attn.q",
    "layers/key": "encoder.layer.{}.attention.attn.k",
    "layers/value": "encoder.layer.{}.attention.attn.v",
    "layers/out": "encoder.layer.{}.attention.attn.o",
    "layers/attention_norm": "encoder.layer.{}.attention.LayerNorm",
    "layers/inner": "encoder.layer.{}.intermediate.dense",
    "layers/outer": "encoder.layer.{}.output.dense",
    "layers/norm": "encoder.layer.{}.output.LayerNorm",
    "pooler": "pooler.dense",
}
"""Our module → theirs; `{}` stands for the layer."""

_PAD = 1  # positions begin after this id, whatever config.json calls the padding


def read_mpnet(settings: Settings) -> Architecture:
    """Returns the architecture that a `config.json` of an MPNet describes."""
    hidden = settings.count("hidden_size", 768)
    heads = settings.count("num_attention_heads", 12)
    dropout = settings.rate("hidden_dropout_prob", 0.1)
    buckets = settings.count("relative_attention_num_buckets", 32, least=4)
    if buckets != 32:
        raise InputError(
            f"{settings.path}: relative_attention_num_buckets={buckets} given, 32 needed: "
            "MPNet divides distances into 32 whatever the table's size"
        )
    return Architecture(
        family="mpnet",
        vocabulary=settings.count("vocab_size", 30527),
        hidden=hidden,
        layers=settings.count("num_hidden_layers", 12),
        heads=heads,
        head_size=settings.split_heads(hidden, heads),
        inner=settings.count("intermediate_size", 3072),
        activation=settings.activation("hidden_act"),
        positions=settings.count("max_position_embeddings", 512, least=_PAD + 2) - _PAD - 1,
        norm_eps=settings.number("layer_norm_eps", 1e-12),
        pooling="pooler",
        embedding_dropout=dropout,
        dropout=dropout,
        attention_dropout=settings.rate("attention_probs_dropout_prob", 0.1),
        pooled_dropout=dropout,
        position_offset=_PAD + 1,
        relative_buckets=buckets,
    )
