"""What the folder of a sentence encoder asks for is done, as sentence-transformers does it, or refused by name."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

import xmc_jax as xmc
from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import describe_encoder, embed_texts, load_encoder
from xmc_jax.encoder.architecture import Module
from xmc_jax.encoder.modules import compute_module
from xmc_jax.errors import InputError, Note


@pytest.fixture
def make_sentence(tmp_path, rules):
    def make(case="dense", **files):
        folder = tmp_path / case
        folder.mkdir(exist_ok=True)
        rules.write_sentence_encoder(folder, case)
        for name, values in files.items():
            path = folder / f"{name.replace('__', '/')}.json"
            path.write_text(json.dumps(values))
        return folder

    return make


def load(folder, **settings):
    return load_encoder(EncoderConfig(str(folder), **settings))


@pytest.mark.parametrize("case", ["dense", "poolings"])
def test_equals_sentence_transformers(case, make_sentence, recorded, rules):
    encoder = load(make_sentence(case))
    assert encoder.max_length == 12
    want = recorded(f"sentence_{case}")["vectors"]
    got = embed_texts(encoder, rules.SENTENCE_TEXTS)
    assert encoder.hidden == got.shape[1]
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_a_prompt_and_lowering_are_honoured(make_sentence, recorded, rules):
    folder = make_sentence("prompt")
    with pytest.warns(Note, match="each text is preceded by 'w9 w10: '"):
        encoder = load(folder)
    want = recorded("sentence_prompt")["vectors"]
    np.testing.assert_allclose(embed_texts(encoder, rules.SENTENCE_TEXTS), want, atol=2e-5)
    assert encoder.tokenizer.count_prompt() == encoder.architecture.unpooled == 4
    bare = load(folder, prompt="none")
    assert bare.tokenizer.prompt == "" and bare.architecture.unpooled == 0
    with pytest.warns(Note, match="preceded by 'w9 w10: '"):
        assert load(folder, prompt="query").tokenizer == encoder.tokenizer
    with pytest.warns(Note, match="preceded by 'w8 '"):
        ids, mask = load(folder, prompt="w8 ").tokenize(["w7"]).take(np.array([0]))
    assert ids[0][mask[0]].tolist() == [3, 8, 7, 4]


def test_settings_come_before_the_folder(make_sentence):
    folder = make_sentence("dense")
    assert describe_encoder(EncoderConfig(str(folder)))[1] == 12
    assert load(folder, max_length=30).max_length == 30
    assert load(folder, pooling="max").architecture.pooling == "max"
    with pytest.raises(InputError, match="in_features=32 given, the module before it gives 192"):
        config = make_sentence("poolings") / "1_Pooling" / "config.json"
        (folder / "1_Pooling" / "config.json").write_text(config.read_text())
        load(folder)


def test_training_works_before_the_last_scaling(make_sentence, rules):
    encoder = load(make_sentence("dense"))
    raw = embed_texts(encoder.unscaled(), rules.SENTENCE_TEXTS)
    scaled = embed_texts(encoder, rules.SENTENCE_TEXTS)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, atol=1e-6)
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(norms - 1).max() > 0.1
    np.testing.assert_allclose(raw / norms, scaled, atol=1e-6)
    assert encoder.unscaled().unscaled().apply is encoder.unscaled().apply
    plain = load(make_sentence("prompt"), prompt="none")
    assert plain.unscaled().apply is plain.apply


def test_a_model_sees_the_same_with_and_without_the_last_scaling(make_sentence, tmp_path):
    folder = make_sentence("dense")
    rng = np.random.default_rng(0)
    words = rng.integers(6, 60, (60, 6))
    texts = [" ".join(f"w{i}" for i in row) for row in words]
    labels = sp.csr_matrix(np.eye(8, dtype=np.float32)[words[:, 0] % 8])
    settings = {"encoder": {"name": str(folder)}, "tuning": {"steps": 0}}
    model = xmc.XRTransformer(**settings).fit(texts, labels, workdir=tmp_path / "run")
    got = model.predict(texts, top_k=3)
    vectors = model.encode(texts[:5])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    loaded = xmc.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.encode(texts[:5]), vectors)
    listed = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(listed[:-1]))
    bare = xmc.XRTransformer(**settings).fit(texts, labels)
    for other in (loaded, bare):
        np.testing.assert_array_equal(other.predict(texts, top_k=3).scores, got.scores)
    assert np.abs(np.linalg.norm(bare.encode(texts[:5]), axis=1) - 1).max() > 0.1


def test_a_vector_of_zeros_has_a_gradient():
    def scale(x):
        return compute_module(Module("normalize", 3), 0, x)

    x = np.array([[0, 0, 0], [3, 0, 4]], np.float32)
    np.testing.assert_allclose(scale(x), [[0, 0, 0], [0.6, 0, 0.8]], atol=1e-6)
    assert np.isfinite(jax.grad(lambda x: scale(x).sum())(x)).all()


def test_an_older_folder_keeps_the_transformer_below(make_sentence, recorded, rules):
    folder = make_sentence("dense")
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "0_Transformer").mkdir()
    for file in [*folder.glob("*.safetensors"), *folder.glob("[!m]*.json")]:
        file.rename(folder / "0_Transformer" / file.name)
    got = embed_texts(load(folder), rules.SENTENCE_TEXTS)
    np.testing.assert_allclose(got, recorded("sentence_dense")["vectors"], atol=2e-5)


def step(kind, path="x"):
    return {"idx": 0, "name": "0", "path": path, "type": f"sentence_transformers.models.{kind}"}


TRANSFORMER, POOLING = step("Transformer", ""), step("Pooling", "1_Pooling")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"modules": [step("CLIPModel")]}, "begins with CLIPModel, Transformer or StaticEmb"),
        ({"modules": []}, "begins with nothing"),
        ({"modules": [TRANSFORMER]}, "nothing follows the Transformer, a Pooling needed"),
        ({"modules": [TRANSFORMER, step("Dense")]}, "Dense follows the Transformer"),
        ({"modules": [TRANSFORMER, POOLING, step("CNN")]}, "module CNN after the pooling"),
        ({"modules": [TRANSFORMER, POOLING, POOLING]}, "module Pooling after the pooling"),
        ({"modules": [{"type": "custom_st.Transformer", "path": ""}]}, "the encoder's own code"),
        ({"modules": [{"type": "sentence_transformers.models.Transformer"}]}, "without 'path'"),
        ({"modules": {}}, "a dict given, a list needed"),
        ({"1_Pooling__config": {"pooling_mode_median": True}}, "pooling by median is not"),
        ({"1_Pooling__config": {"pooling_mode": ["mean", "attention"]}}, "by attention is not"),
        ({"1_Pooling__config": {"pooling_mode_mean_tokens": False}}, "by nothing is not"),
        ({"2_Dense__config": {"in_features": 31}}, "in_features=31 given.*gives 32"),
        (
            {"2_Dense__config": {"in_features": 32, "activation_function": "torch.Softsign"}},
            "activation_function='Softsign' is not supported",
        ),
        (
            {"2_Dense__config": {"in_features": 32, "module_input_name": "token_embeddings"}},
            "module_input_name='token_embeddings' is not supported",
        ),
        (
            {"2_Dense__config": {"in_features": 32, "out_features": 21}},
            r"shape \[20\], \[21\] needed",
        ),
        ({"sentence_bert_config": {"max_seq_length": 0}}, "1 or more needed"),
        ({"sentence_bert_config": {"transformer_task": "fill-mask"}}, "'feature-extraction' need"),
        (
            {
                "config_sentence_transformers": {
                    "prompts": {"query": "q"},
                    "default_prompt_name": "quer",
                }
            },
            "did you mean 'query'",
        ),
    ],
)
def test_what_is_refused_by_name(files, said, make_sentence):
    with pytest.raises(InputError, match=said):
        load(make_sentence("dense", **files))


def test_what_is_left_aside_is_said(make_sentence):
    values = {"similarity_fn_name": "cosine", "__version__": {}, "surprise": 1}
    with pytest.warns(Note, match="surprise not known here"):
        load(make_sentence("dense", config_sentence_transformers=values))


def test_arguments_of_a_transformer_are_said(make_sentence):
    values = {"max_seq_length": 9, "model_args": {"torch_dtype": "float16"}, "config_args": {}}
    with pytest.warns(Note, match="model_args not known here"):
        assert load(make_sentence("dense", sentence_bert_config=values)).max_length == 9


def test_dropout_computes_nothing(make_sentence, rules):
    whole = load(make_sentence("dense"))
    folder = make_sentence("dense")
    listed = json.loads((folder / "modules.json").read_text())
    listed.insert(2, step("Dropout"))
    (folder / "modules.json").write_text(json.dumps(listed))
    again = load(folder)
    assert again.architecture == whole.architecture


def test_weights_of_a_module(make_sentence):
    folder = make_sentence("dense") / "2_Dense"
    tensors = load_file(folder / "model.safetensors")
    del tensors["linear.bias"]
    save_file(tensors, str(folder / "model.safetensors"))
    with pytest.raises(InputError, match=r"2_Dense: tensor 'linear\.bias' is missing"):
        load(folder.parent)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"2_Dense: weights only as pytorch_model\.bin"):
        load(folder.parent)
