"""BERT (Devlin et al. 2019) and RoBERTa (Liu et al. 2019; XLM-R, Conneau et al. 2020): settings and tensor names."""

from __future__ import annotations

from xmc_jax.encoder.architecture import Architecture, Settings

PREFIXES = ("", "bert.", "roberta.")

TENSORS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "layers/query": "encoder.layer.{}.attention.self.query",
    "layers/key": "encoder.layer.{}.attention.self.key",
    "layers/value": "encoder.layer.{}.attention.self.value",
    "layers/out": "encoder.layer.{}.attention.output.dense",
    "layers/attention_norm": "encoder.layer.{}.attention.output.LayerNorm",
    "layers/inner": "encoder.layer.{}.intermediate.dense",
    "layers/outer": "encoder.layer.{}.output.dense",
    "layers/norm": "encoder.layer.{}.output.LayerNorm",
    "pooler": "pooler.dense",
}
"""Our module → theirs; `{}` stands for the layer."""

_VOCABULARIES = {"roberta": 50265}
"""Rows of the word embedding where `config.json` has no number; 30522 in the others."""


def read_bert(settings: Settings) -> Architecture:
    """Returns the architecture that a `config.json` of a BERT describes."""
    return _read(settings, "bert", offset=0)


def read_roberta(settings: Settings) -> Architecture:
    """Returns the architecture of a RoBERTa, whose positions begin after its padding id."""
    return _read(settings, "roberta", offset=settings.count("pad_token_id", 1, least=0) + 1)


def _read(settings: Settings, family: str, offset: int) -> Architecture:
    settings.require("position_embedding_type", "absolute")
    settings.require("is_decoder", False)
    hidden = settings.count("hidden_size", 768)
    heads = settings.count("num_attention_heads", 12)
    dropout = settings.rate("hidden_dropout_prob", 0.1)
    return Architecture(
        family=family,
        vocabulary=settings.count(
            "vocab_size", _VOCABULARIES.get(str(settings.values.get("model_type")), 30522)
        ),
        hidden=hidden,
        layers=settings.count("num_hidden_layers", 12),
        heads=heads,
        head_size=settings.split_heads(hidden, heads),
        inner=settings.count("intermediate_size", 3072),
        activation=settings.activation("hidden_act"),
        positions=settings.count("max_position_embeddings", 512, least=offset + 1) - offset,
        norm_eps=settings.number("layer_norm_eps", 1e-12),
        pooling="pooler",
        embedding_dropout=dropout,
        dropout=dropout,
        attention_dropout=settings.rate("attention_probs_dropout_prob", 0.1),
        pooled_dropout=dropout,
        position_offset=offset,
        types=settings.count("type_vocab_size", 2),
    )
