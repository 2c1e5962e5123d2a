from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import encode, load_encoder
from xmc_jax.errors import InputError, Note


def ask_pooling(folder, values):
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("bert", "pooler"),
        ("roberta", "pooler"),
        ("mpnet", "pooler"),
        ("distilbert", "cls"),
        ("xlnet", "summary"),
        ("modernbert", "mean"),
        ("modernbert_bias", "cls"),
    ],
)
def test_pooling_of_the_family(name, pooling, make_folder):
    encoder = load_encoder(EncoderConfig(str(make_folder(name))))
    assert encoder.architecture.pooling == pooling
    assert ("pooler" in encoder.params) == (pooling == "pooler")


def test_without_its_weights_there_is_no_pooler(make_folder):
    def drop(tensors):
        del tensors["pooler.dense.weight"]

    folder = make_folder("bert", edit=drop)
    assert load_encoder(EncoderConfig(str(folder))).architecture.pooling == "cls"
    with pytest.raises(InputError, match=r"'pooler\.dense\.weight' is missing"):
        load_encoder(EncoderConfig(str(folder), pooling="pooler"))
    with pytest.raises(InputError, match="distilbert has none"):
        load_encoder(EncoderConfig(str(make_folder("distilbert")), pooling="pooler"))


@pytest.mark.parametrize(
    ("values", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "max+mean"),
    ],
)
def test_a_sentence_encoder_says_how_it_pools(values, pooling, make_folder):
    folder = make_folder("bert")
    ask_pooling(folder, values)
    assert load_encoder(EncoderConfig(str(folder))).architecture.pooling == pooling
    assert (
        load_encoder(EncoderConfig(str(folder), pooling="pooler")).architecture.pooling == "pooler"
    )


def test_poolings_that_are_not_computed(make_folder):
    folder = make_folder("bert")
    ask_pooling(folder, {"pooling_mode_mean_tokens": True, "pooling_mode_min_tokens": True})
    with pytest.raises(InputError, match="min_tokens is not supported; set encoder"):
        load_encoder(EncoderConfig(str(folder)))
    assert load_encoder(EncoderConfig(str(folder), pooling="cls")).architecture.pooling == "cls"


@pytest.mark.parametrize("name", ["bert", "xlnet"])
def test_each_pooling_by_its_formula(name, make_folder, rules):
    folder = make_folder(name)
    ids, mask = rules.make_batch((6, 4))
    got = {}
    for pooling in ("cls", "mean", "summary"):
        encoder = load_encoder(EncoderConfig(str(folder), pooling=pooling))
        run = jax.jit(
            lambda p, a=encoder.architecture: encode(p, ids, mask, architecture=a, states=True)
        )
        got[pooling], states = run(encoder.params)
    last = np.asarray(states[-1])
    at = np.array([5, 3]) if name == "xlnet" else np.array([0, 0])
    np.testing.assert_allclose(got["cls"], last[np.arange(2), at], atol=1e-6)
    np.testing.assert_allclose(got["summary"], np.tanh(last[np.arange(2), at]), atol=1e-6)
    means = np.stack([last[0, :6].mean(axis=0), last[1, :4].mean(axis=0)])
    np.testing.assert_allclose(got["mean"], means, atol=1e-6)


def test_rates_of_the_config_replace_those_of_the_file(make_folder):
    folder = str(make_folder("bert"))
    file = load_encoder(EncoderConfig(folder)).architecture
    assert (file.dropout, file.attention_dropout, file.pooled_dropout) == (0.1, 0.1, 0.1)
    ours = load_encoder(EncoderConfig(folder, dropout=0.3, attention_dropout=0)).architecture
    assert (ours.dropout, ours.attention_dropout, ours.pooled_dropout) == (0.3, 0.0, 0.3)


def test_more_tokens_than_positions(make_folder):
    folder = str(make_folder("roberta"))  # 180 rows, of which texts use those from 2 on
    encoder = load_encoder(EncoderConfig(folder, max_length=178))
    assert encoder.tokenize(["w7"]).widths.tolist() == [8]
    with pytest.raises(InputError, match=r"179 tokens given.*178 positions; lower max_length"):
        encoder.tokenize(["w7"], 179)
    with pytest.raises(InputError, match="lower max_length"):
        load_encoder(EncoderConfig(folder, max_length=179))
    endless = load_encoder(EncoderConfig(str(make_folder("xlnet")), max_length=9000))
    assert endless.tokenize(["w7 " * 9000]).lengths.tolist() == [9000]


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a b", "one/two/three"])
def test_folders_that_are_not_there(name):
    with pytest.raises(InputError, match=r"no such folder; a folder with config\.json"):
        load_encoder(EncoderConfig(name))


def test_a_folder_where_the_hub_could_be_meant(make_folder, monkeypatch):
    folder = make_folder("bert")
    monkeypatch.chdir(folder.parent)
    with pytest.warns(Note, match=rf"the folder .*{folder.name} is used, not the hub"):
        load_encoder(EncoderConfig(folder.name))
    load_encoder(EncoderConfig(f"./{folder.name}"))
    with pytest.warns(Note, match="encoder.revision=v1 is ignored"):
        load_encoder(EncoderConfig(f"./{folder.name}", revision="v1"))


def test_a_name_that_the_hub_does_not_give(monkeypatch):
    def refuse(name, **_):
        raise OSError("offline,\nor so")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(InputError, match=r"'no-such-model'.*\(OSError: offline, or so\)"):
        load_encoder(EncoderConfig("no-such-model"))


def test_a_name_on_the_hub(make_folder, monkeypatch):
    folder = make_folder("bert")
    asked = {}

    def give(name, **options):
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", give)
    encoder = load_encoder(EncoderConfig("someone/bert", revision="v1"))
    assert encoder.hidden == 32 and asked["name"] == "someone/bert" and asked["revision"] == "v1"
    assert not any("bin" in pattern for pattern in asked["allow_patterns"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": ""}, "a folder or a name"),
        ({"pooling": "means"}, "did you mean 'mean'"),
        ({"max_length": 0}, "auto, 1 or more"),
        ({"max_length": "all"}, "a whole number needed"),
        ({"vocabulary": 500}, "a pretrained encoder has its own"),
        ({"dtype": "float16"}, "not a choice"),
        ({"dropout": 1.0}, "a share"),
        ({"attention_dropout": -0.5}, "a share"),
    ],
)
def test_settings_out_of_range(values, said):
    with pytest.raises(InputError, match=said):
        EncoderConfig(**values)
