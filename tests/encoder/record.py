"""Records what transformers computes, for the parity tests; run by hand where torch and transformers are.

    python tests/encoder/record.py [folder of all-MiniLM-L6-v2]

Writes recorded/*.npz. The weights of the small encoders are not stored: both sides make them by `make_tensor`.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "recorded"
VOCABULARY = 60

_BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 180,
}
CONFIGS = {
    "bert": {"model_type": "bert"} | _BERT,
    "bert_tanh": {"model_type": "bert", "hidden_act": "gelu_new", "layer_norm_eps": 1e-5} | _BERT,
    "roberta": {"model_type": "roberta", "pad_token_id": 1, "type_vocab_size": 1} | _BERT,
    "distilbert": {
        "model_type": "distilbert",
        "vocab_size": VOCABULARY,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
        "max_position_embeddings": 180,
    },
    "mpnet": {"model_type": "mpnet", "layer_norm_eps": 1e-5, "pad_token_id": 1} | _BERT,
    "electra": {"model_type": "electra", "embedding_size": 16} | _BERT,
    "deberta_v3": {
        "model_type": "deberta-v2",
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "layer_norm_eps": 1e-7,
        "max_relative_positions": -1,
        "position_biased_input": False,
        "type_vocab_size": 0,
    }
    | _BERT,
    "deberta_v2": {
        "model_type": "deberta-v2",
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "max_relative_positions": 24,
        "embedding_size": 16,
        "type_vocab_size": 2,
    }
    | _BERT,
    "deberta_c2p": {
        "model_type": "deberta-v2",
        "relative_attention": True,
        "pos_att_type": ["c2p"],
        "position_buckets": 12,
        "max_relative_positions": 40,
        "position_biased_input": False,
    }
    | _BERT,
    "xlnet": {
        "model_type": "xlnet",
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "n_layer": 2,
        "n_head": 4,
        "d_inner": 48,
    },
    "modernbert": {
        "model_type": "modernbert",
        "num_hidden_layers": 4,
        "local_attention": 8,
        "pad_token_id": 0,
        "cls_token_id": 3,
        "sep_token_id": 4,
        "bos_token_id": 3,
        "eos_token_id": 4,
        "classifier_pooling": "mean",
    }
    | {k: v for k, v in _BERT.items() if k != "num_hidden_layers"},
    "modernbert_bias": {
        "model_type": "modernbert",
        "local_attention": 6,
        "global_attn_every_n_layers": 2,
        "global_rope_theta": 500.0,
        "norm_bias": True,
        "attention_bias": True,
        "mlp_bias": True,
        "pad_token_id": 0,
        "cls_token_id": 3,
        "sep_token_id": 4,
        "bos_token_id": 3,
        "eos_token_id": 4,
    }
    | _BERT,
}
LENGTHS = {"short": (12, 7, 3), "long": (160, 131)}
TEXTS = [
    "Balanced trees of labels",
    "A café in Zürich; naïve façades, 北京 and unbelievably overcomplicated tokenisations!",
    "",
    "one two three " * 100,
    "[SEP] is a special token, ## is not",
]


def make_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns values in a fixed range from the tensor's name alone: norms near 1, the rest around 0."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
    values = ((raw >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5).reshape(shape)
    is_scale = "norm" in name.lower() and name.endswith("weight")
    return (1 + values if is_scale else 0.6 * values).astype(np.float32)


def make_batch(lengths: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids and mask, padded at the right with 0; ids stay clear of special ones."""
    mask = np.arange(max(lengths))[None, :] < np.asarray(lengths)[:, None]
    raw = np.random.PCG64(7).random_raw(mask.size).reshape(mask.shape)
    return np.where(mask, 6 + raw % np.uint64(VOCABULARY - 6), 0).astype(np.int32), mask


def pick_tokens(length: int) -> np.ndarray:
    """Returns the positions whose states are stored: all of a short text, a sample of a long one."""
    return np.arange(0, length, 1 if length < 20 else 13)


def _run(model, kind: str, ids: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch

    pad = model.config.pad_token_id
    ids = np.where(mask, ids, pad)
    extra = {}
    lengths = mask.sum(axis=1)
    if kind == "xlnet":  # padded at the left, as its tokenizer does; undone below
        shift = ids.shape[1] - lengths
        ids = np.stack([np.roll(row, s) for row, s in zip(ids, shift, strict=True)])
        mask = np.arange(ids.shape[1])[None, :] >= shift[:, None]
        types = np.where(mask, 0, 3)
        types[:, -1] = 2
        extra["token_type_ids"] = torch.from_numpy(types.astype(np.int64))
    with torch.no_grad():
        out = model(
            torch.from_numpy(ids.astype(np.int64)),
            attention_mask=torch.from_numpy(
                mask.astype(np.float32 if kind == "xlnet" else np.int64)
            ),
            output_hidden_states=True,
            **extra,
        )
    states = [s.numpy() for s in out.hidden_states]
    states[-1] = out.last_hidden_state.numpy()  # normed, in the families that norm once more
    states = np.stack(states)
    if kind == "xlnet":
        states = np.stack([np.roll(states[:, b], -s, axis=1) for b, s in enumerate(shift)], axis=1)
        last = states[-1][np.arange(len(ids)), lengths - 1]
        return np.tanh(last), states
    if kind == "modernbert" and model.config.classifier_pooling == "mean":
        weights = mask[..., None].astype(np.float32)
        return (states[-1] * weights).sum(1) / weights.sum(1), states
    pooled = getattr(out, "pooler_output", None)
    return (states[-1][:, 0] if pooled is None else pooled.numpy()), states


def record_small() -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    for name, values in CONFIGS.items():
        if (FOLDER / f"{name}.npz").exists():  # a new case leaves the old files as they are
            continue
        config = AutoConfig.for_model(**values)
        model = AutoModel.from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():
            for key, tensor in model.named_parameters():
                tensor.copy_(torch.from_numpy(make_tensor(key, tuple(tensor.shape))))
        shapes = {key: list(t.shape) for key, t in model.named_parameters()}
        arrays = {"config": json.dumps(values), "shapes": json.dumps(shapes)}
        for case, lengths in LENGTHS.items():
            ids, mask = make_batch(lengths)
            pooled, states = _run(model, values["model_type"], ids, mask)
            arrays[f"{case}_pooled"] = pooled
            arrays[f"{case}_states"] = states[:, :, pick_tokens(ids.shape[1])]
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)


def record_minilm(folder: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=128, return_tensors="pt")
    with torch.no_grad():
        states = model.eval()(**batch).last_hidden_state
    weights = batch["attention_mask"][..., None].float()
    np.savez_compressed(
        FOLDER / "minilm.npz",
        vectors=((states * weights).sum(1) / weights.sum(1)).numpy(),
        ids=batch["input_ids"].numpy().astype(np.int32),
        mask=batch["attention_mask"].numpy().astype(bool),
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    record_small()
    if len(sys.argv) > 1:
        record_minilm(sys.argv[1])
