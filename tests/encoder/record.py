"""Records what transformers and its kin compute, for the parity tests; run by hand where torch,
transformers, sentence-transformers and model2vec are.

    python tests/encoder/record.py [folder of all-MiniLM-L6-v2]

Writes recorded/*.npz. The weights of the small encoders are not stored: both sides make them by `make_tensor`.
"""

from __future__ import annotations

import json
import sys
import tempfile
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
SPECIALS = ["[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]", "<s>"]
_MODULE = "sentence_transformers.models."
SENTENCES = {
    "dense": {
        "1_Pooling": (
            "Pooling",
            {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
        ),
        "2_Dense": (
            "Dense",
            {
                "in_features": 32,
                "out_features": 20,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Tanh",
            },
        ),
        "3_Normalize": ("Normalize", {}),
    },
    "poolings": {
        "1_Pooling": (
            "Pooling",
            {
                "word_embedding_dimension": 32,
                "pooling_mode_cls_token": True,
                "pooling_mode_max_tokens": True,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_mean_sqrt_len_tokens": True,
                "pooling_mode_weightedmean_tokens": True,
                "pooling_mode_lasttoken": True,
            },
        ),
        "2_LayerNorm": ("LayerNorm", {"dimension": 192}),
    },
    "prompt": {
        "1_Pooling": (
            "Pooling",
            {"word_embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": False},
        ),
        "2_Dense": (
            "Dense",
            {
                "in_features": 32,
                "out_features": 40,
                "bias": False,
                "activation_function": "torch.nn.modules.linear.Identity",
            },
        ),
    },
}
"""Modules after a small BERT, by folder: the class and its settings."""
SENTENCE_TEXTS = ["w7 w8 w9", "w12", "", "W11 w13 " * 20]
STATIC_TEXTS = ["w7 w8 w9", "w12 zebra w13", "zebra", "", "w20 " * 600]
TEXTS = [
    "Balanced trees of labels",
    "A café in Zürich; naïve façades, 北京 and unbelievably overcomplicated tokenisations!",
    "",
    "one two three " * 100,
    "[SEP] is a special token, ## is not",
]


def word(i: int) -> str:
    return f"w{i}"


def make_tokenizer(kind: str, n: int):
    """Returns a tokenizer of single words, without the special tokens of a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    specials = {
        "xlnet": ["<pad>", "<unk>", "<mask>", "<cls>", "<sep>", "<s>"],
        "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<x>"],
        "mpnet": ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<x>"],
    }.get(kind, SPECIALS)
    words = specials + [word(i) for i in range(len(specials), n)]
    unknown = specials[1] if specials[1].lower().strip("<>[]") == "unk" else specials[3]
    tool = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=unknown))
    tool.pre_tokenizer = pre_tokenizers.Whitespace()
    return tool


def write_encoder(folder: Path, name: str) -> None:
    """Writes config, weights and tokenizer of a small encoder."""
    from safetensors.numpy import save_file

    with np.load(FOLDER / f"{name}.npz") as case:
        config, shapes = json.loads(str(case["config"])), json.loads(str(case["shapes"]))
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {k: make_tensor(k, tuple(s)) for k, s in shapes.items()}
    save_file(tensors, str(folder / "model.safetensors"))
    tool = make_tokenizer(config["model_type"], config["vocab_size"])
    tool.save(str(folder / "tokenizer.json"))


def write_sentence_encoder(folder: Path, case: str) -> None:
    """Writes a sentence encoder: a small BERT and its modules."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, processors

    write_encoder(folder, "bert")
    tool = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tool.add_special_tokens(SPECIALS[:5])
    tool.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 3), ("[SEP]", 4)]
    )
    tool.save(str(folder / "tokenizer.json"))
    names = dict(zip(("pad", "unk", "mask", "cls", "sep"), SPECIALS, strict=False))
    options = {f"{n}_token": t for n, t in names.items()}
    options["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    listed = [("", "Transformer"), *((path, kind) for path, (kind, _) in SENTENCES[case].items())]
    steps = [
        {"idx": i, "name": str(i), "path": path, "type": _MODULE + kind}
        for i, (path, kind) in enumerate(listed)
    ]
    (folder / "modules.json").write_text(json.dumps(steps))
    for path, (kind, values) in SENTENCES[case].items():
        (folder / path).mkdir(exist_ok=True)
        (folder / path / "config.json").write_text(json.dumps(values))
        shapes = {}
        if kind == "Dense":
            shapes = {"linear.weight": (values["out_features"], values["in_features"])}
            if values["bias"]:
                shapes["linear.bias"] = (values["out_features"],)
        elif kind == "LayerNorm":
            shapes = {f"norm.{n}": (values["dimension"],) for n in ("weight", "bias")}
        if shapes:
            tensors = {n: make_tensor(n, shape) for n, shape in shapes.items()}
            save_file(tensors, str(folder / path / "model.safetensors"))
    lengths = {"max_seq_length": 12, "do_lower_case": case == "prompt"}
    (folder / "sentence_bert_config.json").write_text(json.dumps(lengths))
    if case == "prompt":
        values = {"prompts": {"query": "w9 w10: ", "document": ""}, "default_prompt_name": "query"}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(values))


def write_static(folder: Path) -> None:
    """Writes static vectors as model2vec does: 20 rows shared by the tokens, each with a weight."""
    from safetensors.numpy import save_file

    tool = make_tokenizer("static", VOCABULARY)
    tool.save(str(folder / "tokenizer.json"))
    tensors = {
        "embeddings": make_tensor("embeddings", (20, 16)),
        "weights": 1 + make_tensor("weights", (VOCABULARY,)).astype(np.float64),
        "mapping": np.arange(VOCABULARY) % 20,
    }
    save_file(tensors, str(folder / "model.safetensors"))
    config = {"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": True}
    (folder / "config.json").write_text(json.dumps(config | {"seq_length": 1000000}))


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


def record_sentences() -> None:
    from model2vec import StaticModel
    from sentence_transformers import SentenceTransformer

    for case in SENTENCES:
        with tempfile.TemporaryDirectory() as folder:
            write_sentence_encoder(Path(folder), case)
            vectors = SentenceTransformer(folder, device="cpu").encode(SENTENCE_TEXTS)
        np.savez_compressed(FOLDER / f"sentence_{case}.npz", vectors=vectors)
    with tempfile.TemporaryDirectory() as folder:
        write_static(Path(folder))
        vectors = StaticModel.from_pretrained(folder).encode(STATIC_TEXTS)
    np.savez_compressed(FOLDER / "static.npz", vectors=vectors)


def record_minilm(folder: str) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    whole = SentenceTransformer(folder, device="cpu").encode(TEXTS)
    np.savez_compressed(FOLDER / "minilm_sentence.npz", vectors=whole)

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
    record_sentences()
    if len(sys.argv) > 1:
        record_minilm(sys.argv[1])
