from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import embed_texts, load_encoder, wrap_function, wrap_vectors
from xmc_jax.errors import InputError

SHAPES = [(32, 24), (16, 40), (8, 64), (8, 80), (8, 96)]


def make_texts(n: int, longest: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        " ".join(f"w{i}" for i in rng.integers(6, 60, rng.integers(0, longest))) for _ in range(n)
    ]


def test_each_text_gets_its_own_vector(make_folder):
    encoder = load_encoder(EncoderConfig(str(make_folder("bert")), max_length=40))
    texts = make_texts(19, 60)
    vectors = embed_texts(encoder, texts, batch=4)
    assert vectors.shape == (19, 32) and vectors.dtype == np.float32
    apply = jax.jit(encoder.apply)
    for i in (0, 7, 18):
        ids, mask = encoder.tokenize(texts).take(np.array([i]), 40)
        np.testing.assert_allclose(vectors[i], apply(encoder.params, ids, mask)[0], atol=2e-6)
    again = embed_texts(encoder, encoder.tokenize(texts), batch=64)
    np.testing.assert_allclose(again, vectors, atol=2e-6)
    assert embed_texts(encoder, []).shape == (0, 32)


def test_an_encoder_goes_to_another_process(make_folder):
    encoder = load_encoder(EncoderConfig(str(make_folder("bert")), max_length=40)).unscaled()
    there = pickle.loads(pickle.dumps(encoder))
    texts = make_texts(5, 60)
    np.testing.assert_array_equal(embed_texts(there, texts), embed_texts(encoder, texts))
    assert there.max_length == encoder.max_length == 40
    assert copy.deepcopy(wrap_vectors(3)).hidden == 3


@pytest.fixture
def counting(make_folder):
    """An encoder that sums its ids, and the shapes that it was compiled for."""
    tokenizer = load_encoder(EncoderConfig(str(make_folder("bert")))).tokenizer
    shapes = []

    def total(params, batch):
        shapes.append(batch["ids"].shape)
        kept = jnp.where(batch["mask"], batch["ids"], 0).sum(axis=1, keepdims=True)
        return kept * params["scale"]

    return wrap_function(total, {"scale": jnp.float32(2)}, 1, tokenizer, max_length=96), shapes


def test_few_shapes_are_compiled(counting, monkeypatch):
    encoder, shapes = counting
    monkeypatch.setattr("xmc_jax.encoder.embed._SAVED", 400)
    texts = make_texts(300, 90)
    vectors = embed_texts(encoder, texts, batch=8)
    # One for each width that is worth it, more texts at once where they are short.
    assert sorted(shapes, key=lambda s: s[1]) == SHAPES
    words = [[int(w[1:]) for w in t.split()] for t in texts]
    np.testing.assert_array_equal(vectors[:, 0], [2 * (7 + sum(w)) for w in words])
    embed_texts(encoder, texts[:280], batch=8)
    embed_texts(encoder.replace({"scale": jnp.float32(3)}), texts, batch=8)
    assert len(shapes) == len(SHAPES)  # compiled once, whatever the parameters


def test_one_text_is_not_padded_to_a_batch(counting):
    encoder, shapes = counting
    embed_texts(encoder, ["w7 w8"])
    embed_texts(encoder, ["w7 " * 12])
    embed_texts(encoder, ["w7 " * 40, "w8 w9"])
    assert shapes == [(1, 16), (2, 64)]


def test_progress_is_told_of_every_text(counting):
    class Listener:
        def __init__(self):
            self.said = []

        def start(self, stage, total):
            self.said.append((stage, total))

        def advance(self, n):
            self.said.append(n)

        def finish(self, note):
            self.said.append("end")

    listener = Listener()
    embed_texts(counting[0], make_texts(30, 60), batch=4, progress=listener)
    assert listener.said[0] == ("embedding", 30) and listener.said[-1] == "end"
    assert sum(listener.said[1:-1]) == 30


def test_a_function_of_rows():
    rng = np.random.default_rng(0)
    rows, weights = rng.standard_normal((21, 5)), rng.standard_normal((5, 3)).astype(np.float32)
    encoder = wrap_function(lambda params, batch: batch.astype(jnp.float32) @ params, weights, 3)
    np.testing.assert_allclose(
        embed_texts(encoder, rows.astype(np.float32), batch=8), rows @ weights, atol=1e-5
    )
    with pytest.raises(InputError, match=r"a list given.*an array \[N, \.\.\.\] needed"):
        embed_texts(encoder, ["text"])
    with pytest.raises(InputError, match=r"shape \(1, 3\), \(1, 4\) needed"):
        embed_texts(wrap_function(lambda p, b: b @ p, weights, 4), rows[:1])


def test_vectors_made_elsewhere():
    vectors = np.random.default_rng(0).standard_normal((70, 6))
    encoder = wrap_vectors(6)
    np.testing.assert_array_equal(
        embed_texts(encoder, vectors, batch=8), vectors.astype(np.float32)
    )
    for wrong, said in [
        (vectors[:, :5], r"shape \[70, 5\], an array \[N, 6\] needed"),
        (["a"], "vectors given as list"),
        (np.full((2, 6), np.nan), "NaN"),
    ]:
        with pytest.raises(InputError, match=said):
            encoder.tokenize(wrong)
