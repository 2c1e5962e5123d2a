"""Every family computes what transformers does, on recorded cases."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest

from xmc_jax import encoder as encoders
from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import init_params, load_encoder, read_architecture
from xmc_jax.errors import InputError, Note

# Compiled as a whole: op by op takes longer.
encode = jax.jit(
    encoders.encode, static_argnames=("architecture", "dtype", "remat", "train", "states")
)

CASES = [
    "bert",
    "bert_tanh",
    "roberta",
    "distilbert",
    "mpnet",
    "electra",
    "deberta_v3",
    "deberta_v2",
    "deberta_c2p",
    "xlnet",
    "modernbert",
    "modernbert_bias",
]


@pytest.mark.parametrize("case", ["short", "long"])
@pytest.mark.parametrize("name", CASES)
def test_equals_transformers(name, case, make_folder, recorded, rules):
    encoder = load_encoder(EncoderConfig(str(make_folder(name))))
    ids, mask = rules.make_batch(rules.LENGTHS[case])
    pooled, states = encode(
        encoder.params, ids, mask, architecture=encoder.architecture, states=True
    )
    want = recorded(name)
    at = rules.pick_tokens(ids.shape[1])
    real = mask[:, at]
    expected = want[f"{case}_states"]
    assert states.shape[0] == len(expected)
    got = np.asarray(states)[:, :, at]
    for layer in range(len(expected)):
        np.testing.assert_allclose(got[layer][real], expected[layer][real], atol=1e-4)
    np.testing.assert_allclose(pooled, want[f"{case}_pooled"], atol=1e-4)


def run(encoder, ids, mask):
    return np.asarray(jax.jit(encoder.apply)(encoder.params, ids, mask))


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def bert(make_folder):
    return load_encoder(EncoderConfig(str(make_folder("bert"))))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bert", {"activation": "gelu_tanh"}),
        ("bert", {"norm_eps": 1e-3}),
        ("bert", {"pooling": "cls"}),
        ("roberta", {"position_offset": 0, "positions": 180}),
        ("deberta_v3", {"farthest": 150}),
        ("deberta_v2", {"position_terms": ("c2p",)}),
        ("xlnet", {"clamp": 3}),
        ("modernbert", {"window": 5}),
        ("modernbert", {"local_theta": 9000.0}),
        ("modernbert", {"local_layers": (False, True, False, True)}),
    ],
)
def test_another_variant_is_noticed(name, change, make_folder, recorded, rules):
    encoder = load_encoder(EncoderConfig(str(make_folder(name))))
    ids, mask = rules.make_batch(rules.LENGTHS["long"])
    other = dataclasses.replace(encoder.architecture, **change)
    pooled = encode(encoder.params, ids, mask, architecture=other)
    assert np.abs(pooled - recorded(name)["long_pooled"]).max() > 2e-5


@pytest.mark.parametrize("name", ["bert", "mpnet", "electra", "deberta_v3", "xlnet", "modernbert"])
def test_a_text_does_not_see_padding_or_its_neighbours(name, make_folder, rules):
    encoder = load_encoder(EncoderConfig(str(make_folder(name))))
    ids, mask = rules.make_batch((9, 5))
    alone = run(encoder, ids[1:, :5], mask[1:, :5])
    ids[1, 5:] = 7  # whatever stands at padding
    wide = np.pad(ids, ((0, 1), (0, 6))), np.pad(mask, ((0, 1), (0, 6)))
    together = run(encoder, *wide)
    np.testing.assert_allclose(together[1], alone[0], atol=2e-6)
    assert np.isfinite(together).all()  # also of the text that is padding only


def gradient(encoder, batch, remat):
    def loss(params, ids, mask, key):
        options = {"architecture": encoder.architecture, "remat": remat, "train": True, "key": key}
        return (encoders.encode(params, ids, mask, **options) ** 2).sum()

    return jax.jit(jax.grad(loss))(encoder.params, *batch, jax.random.key(1))


@pytest.mark.parametrize("name", ["bert", "deberta_v2", "xlnet", "modernbert"])
def test_gradients_are_finite(name, make_folder, rules):
    encoder = load_encoder(EncoderConfig(str(make_folder(name)), dropout=0.2))
    got = gradient(encoder, rules.make_batch((6, 0, 3)), remat=True)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(got))
    assert np.abs(got["body"]["words"]["embedding"]).max() > 1e-3
    assert all(np.abs(g).max() > 1e-9 for g in jax.tree.leaves(got["body"]["layers"]))


def test_remat_changes_no_gradient(bert, rules):
    plain, again = (gradient(bert, rules.make_batch((6, 3)), remat) for remat in (False, True))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_dropout_follows_its_key(bert, rules):
    ids, mask = rules.make_batch((8, 8))

    def drop(key, **rates):
        a = dataclasses.replace(bert.architecture, **rates)
        return np.asarray(encode(bert.params, ids, mask, architecture=a, train=True, key=key))

    none = {
        "embedding_dropout": 0.0,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "pooled_dropout": 0.0,
    }
    still = run(bert, ids, mask)
    one, two = jax.random.key(1), jax.random.key(2)
    np.testing.assert_array_equal(drop(one), drop(one))
    assert np.abs(drop(one) - drop(two)).max() > 1e-3
    np.testing.assert_allclose(drop(None, **none), still, atol=1e-6)
    for rate in none:  # each of the four does something
        assert np.abs(drop(one, **(none | {rate: 0.5})) - still).max() > 1e-3
    with pytest.raises(InputError, match="without a key"):
        drop(None)


def test_bfloat16_is_near_and_keeps_float32_parameters(make_folder, rules, recorded):
    encoder = load_encoder(EncoderConfig(str(make_folder("bert")), dtype="bfloat16"))
    assert {p.dtype for p in jax.tree.leaves(encoder.params)} == {np.dtype("float32")}
    vectors = run(encoder, *rules.make_batch(rules.LENGTHS["short"]))
    assert vectors.dtype == np.float32
    off = np.abs(vectors - recorded("bert")["short_pooled"]).max()
    assert 1e-5 < off < 0.05


def test_the_longest_text(bert, rules):
    assert run(bert, *rules.make_batch((180,))).shape == (1, 32)
    with pytest.raises(InputError, match=r"181 tokens given.*180 positions"):
        run(bert, *rules.make_batch((181,)))


def test_new_parameters_encode(bert, rules):
    params = init_params(bert.architecture, jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(bert.params)
    assert np.isfinite(bert.apply(params, *rules.make_batch((4,)))).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model_type": "bertt"}', "did you mean 'bert'"),
        ('{"model_type": "t5"}', "'t5' is not a known family"),
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"model_type": "bert", "hidden_size": 32}', "32 given with 12 heads, a multiple"),
        ('{"model_type": "deberta-v2"}', "relative_attention=False is not supported"),
        ('{"model_type": "bert", "quantization_config": {}}', "quantization_config given"),
        (
            '{"model_type": "bert", "auto_map": {"AutoModel": "jina--x.JinaBert"}}',
            "its own code .jina--x.JinaBert.",
        ),
        ('{"architectures": ["T5Model"]}', "model_type='' is not a known family"),
        ('{"model_type": "deberta"}', "did you mean 'deberta-v2'"),
        (
            '{"model_type": "bert", "hidden_size": 32, "num_attention_heads": 5}',
            "'vocab_size'|multiple",
        ),
        ('{"model_type": "bert", "hidden_size": "32"}', "hidden_size='32' given"),
        ('{"model_type": "bert", "position_embedding_type": "relative_key"}', "'absolute' needed"),
        ('{"model_type": "xlnet", "attn_type": "uni"}', "'bi' needed"),
    ],
)
def test_configs_that_cannot_be_read(text, said, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_architecture(tmp_path)


def test_names_of_modernbert_settings_old_and_new(make_folder):
    folder = make_folder("modernbert")
    old = read_architecture(folder)
    values = json.loads((folder / "config.json").read_text())
    values["layer_types"] = ["full_attention", *["sliding_attention"] * 2, "full_attention"]
    values["rope_parameters"] = {
        "full_attention": {"rope_type": "default", "rope_theta": 160000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    (folder / "config.json").write_text(json.dumps(values))
    assert read_architecture(folder) == old
    values["rope_parameters"]["full_attention"]["rope_type"] = "yarn"
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="'yarn' is not supported"):
        read_architecture(folder)


def test_gaps_are_filled_as_the_family_has_them(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "electra"}')
    a = read_architecture(tmp_path)
    assert (a.hidden, a.heads, a.embedding_size, a.vocabulary) == (256, 4, 128, 30522)
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    assert read_architecture(tmp_path).vocabulary == 50265


@pytest.mark.parametrize(
    ("name", "kind"), [("bert", "BertForMaskedLM"), ("deberta_v3", "DebertaV2Model")]
)
def test_the_class_says_the_family_where_nothing_else_does(name, kind, make_folder):
    folder = make_folder(name)
    whole = read_architecture(folder)
    change_config(folder, model_type=None, architectures=[kind])
    with pytest.warns(Note, match=f"no model_type; read as {whole.family}"):
        assert read_architecture(folder) == whole


@pytest.mark.parametrize("kind", ["xlm-roberta", "camembert"])
def test_families_of_the_same_architecture(kind, make_folder):
    folder = make_folder("roberta")
    roberta = read_architecture(folder)
    change_config(folder, model_type=kind)
    assert read_architecture(folder) == roberta


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("bert", {"hidden_act": "gelu_knew"}, "did you mean 'gelu_new'"),
        ("bert", {"hidden_dropout_prob": 1.5}, r"a share in \[0, 1\)"),
        ("bert", {"num_hidden_layers": 0}, "1 or more"),
        ("roberta", {"max_position_embeddings": 2}, "3 or more"),
        ("mpnet", {"relative_attention_num_buckets": 64}, "32 needed"),
        ("deberta_v3", {"pos_att_type": "c2p|p2p"}, "c2p or p2c or both"),
        ("deberta_v3", {"conv_kernel_size": 3}, "conv_kernel_size=3 is not supported"),
        ("modernbert", {"classifier_pooling": "max"}, "not a choice"),
        ("modernbert", {"norm_bias": 1}, "true or false"),
        ("modernbert", {"layer_types": ["full_attention"]}, "4 of full_attention or"),
    ],
)
def test_values_that_cannot_be_used(name, change, said, make_folder):
    folder = make_folder(name)
    change_config(folder, **change)
    with pytest.raises(InputError, match=said):
        read_architecture(folder)
