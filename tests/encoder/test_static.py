"""Static vectors: read as model2vec reads them, or made from the training texts."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import xmc_jax as xmc
from xmc_jax.config import EncoderConfig
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.encoder import (
    count_flops,
    count_parameters,
    describe_encoder,
    embed_texts,
    load_encoder,
    start_encoder,
)
from xmc_jax.errors import InputError

MADE = EncoderConfig("static", vocabulary=320, hidden=16)


@pytest.fixture
def folder(tmp_path, rules):
    rules.write_static(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(n_train=240, n_test=60, n_labels=24, branching=4, seed=0)


def test_equals_model2vec(folder, recorded, rules):
    encoder = load_encoder(EncoderConfig(str(folder)))
    assert encoder.max_length == 512 and encoder.architecture.unknown == 1
    got = embed_texts(encoder, rules.STATIC_TEXTS)
    np.testing.assert_allclose(got, recorded("static")["vectors"], atol=1e-5)
    assert not got[2].any() and not got[3].any()  # no known word, no word


def test_the_length_that_the_file_says(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_length": 40}))
    assert load_encoder(EncoderConfig(str(folder))).max_length == 40
    assert load_encoder(EncoderConfig(str(folder), max_length=20)).max_length == 20


def test_a_sentence_encoder_of_static_vectors(folder, recorded, rules):
    whole = embed_texts(load_encoder(EncoderConfig(str(folder))), ["w7 w8", "w9"])
    tensors = load_file(folder / "model.safetensors")
    rows = tensors["embeddings"].astype(np.float32)[tensors["mapping"]]
    below = folder / "0_StaticEmbedding"
    below.mkdir()
    vectors = {"embedding.weight": rows * tensors["weights"].astype(np.float32)[:, None]}
    save_file(vectors, str(below / "model.safetensors"))
    (folder / "tokenizer.json").rename(below / "tokenizer.json")
    (folder / "config.json").unlink()
    kinds = {"0_StaticEmbedding": "StaticEmbedding", "1_Normalize": "Normalize"}
    steps = [{"path": p, "type": f"sentence_transformers.models.{k}"} for p, k in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(steps))
    encoder = load_encoder(EncoderConfig(str(folder)))
    assert encoder.architecture.unknown == -1  # an unknown word has a vector there
    np.testing.assert_allclose(embed_texts(encoder, ["w7 w8", "w9"]), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.pop("embeddings"), "no 'embeddings' or 'embedding.weight'"),
        (lambda t: t.update(mapping=np.full(60, 20)), "names rows up to 20, there are 20"),
        (lambda t: t.update(weights=np.ones(7)), "7 weights for 60 tokens"),
        (lambda t: t.update(mapping=np.zeros(59, int)), "ids up to 59 given"),
    ],
)
def test_parts_that_do_not_fit(edit, said, folder):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, str(folder / "model.safetensors"))
    with pytest.raises(InputError, match=said):
        load_encoder(EncoderConfig(str(folder)))


def test_one_made_from_texts(corpus):
    encoder, again = (start_encoder(MADE, corpus.train_texts, seed=3) for _ in range(2))
    assert encoder.tokenizer == again.tokenizer and encoder.apply is again.apply
    jax.tree.map(np.testing.assert_array_equal, encoder.params, again.params)
    other = start_encoder(MADE, corpus.train_texts, seed=4)
    words = other.params["body"]["words"]["embedding"]
    assert np.abs(words - encoder.params["body"]["words"]["embedding"]).max() > 0.01
    vectors = embed_texts(encoder, ["", "日本 unseen", *corpus.test_texts[:3]])
    assert vectors.shape == (5, 16) and np.isfinite(vectors).all()
    most, length = describe_encoder(MADE)
    assert length == encoder.max_length == 512
    a = encoder.architecture
    assert a.vocabulary <= most.vocabulary == 320 and a.modules == most.modules
    assert count_parameters(a) == sum(p.size for p in jax.tree.leaves(encoder.params))
    assert count_flops(a, 100) == 2 * 16 * 16  # the dense map; a mean has no products


def test_texts_without_words():
    with pytest.raises(InputError, match="have no words to learn"):
        start_encoder(MADE, ["", " "])
    with pytest.raises(InputError, match="built from the texts of a training, none given"):
        load_encoder(MADE)


SETTINGS = {
    "encoder": {"name": "static", "hidden": 16, "vocabulary": 400, "max_length": 16},
    "tuning": {"steps": 20, "batch_size": 16, "warmup": 2, "learning_rate": 0.01, "save_every": 5},
    "preliminary": {"branching": 4, "max_leaf_size": 8},
    "tree": {"branching": 4, "max_leaf_size": 8},
}


@pytest.mark.slow
def test_a_model_is_trained_saved_and_resumed(corpus, tmp_path):
    class StopError(Exception):
        pass

    class Stopper(xmc.types.NoProgress):
        def start(self, stage, total):
            if stage.startswith("start of level 1"):
                raise StopError

    fit = {"x": corpus.train_texts, "labels": corpus.train_labels}
    whole = xmc.XRTransformer(**SETTINGS).fit(**fit)
    with pytest.raises(StopError):
        xmc.XRTransformer(**SETTINGS).fit(**fit, workdir=tmp_path / "run", progress=Stopper())
    model = xmc.XRTransformer(**SETTINGS).fit(**fit, workdir=tmp_path / "run")
    loaded = xmc.load(tmp_path / "run")
    want = whole.predict(corpus.test_texts, top_k=5)
    for other in (model, loaded):
        got = other.predict(corpus.test_texts, top_k=5)
        np.testing.assert_array_equal(got.ids, want.ids)
        np.testing.assert_array_equal(got.scores, want.scores)
    start = start_encoder(model.config.encoder, corpus.train_texts, model.config.seed)
    texts = corpus.test_texts[:4]
    assert np.abs(embed_texts(start, texts) - model.encode(texts)).max() > 1e-2
