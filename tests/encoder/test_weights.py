from __future__ import annotations

import json

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import load_encoder
from xmc_jax.errors import InputError, Note

OUTER = "encoder.layer.1.output.dense.weight"


def load(folder):
    return load_encoder(EncoderConfig(str(folder)))


def same(a, b) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a.params, b.params)))


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("bert", "bert."),
        ("roberta", "roberta."),
        ("distilbert", "distilbert."),
        ("mpnet", "mpnet."),
        ("xlnet", "transformer."),
        ("modernbert", "model."),
    ],
)
def test_names_with_a_prefix_and_a_head(name, prefix, make_folder):
    def add_head(tensors):
        tensors["cls.predictions.bias"] = np.zeros(60, np.float32)

    folder = make_folder(name, prefix, add_head)
    with pytest.warns(Note, match=r"1 tensors are not part of .*\(cls\.predictions\.bias\)"):
        assert same(load(make_folder(name)), load(folder))


def test_dense_maps_are_stored_the_other_way_round(make_folder):
    folder = make_folder("bert")
    tensors = load_file(folder / "model.safetensors")
    kernel = load(folder).params["body"]["layers"]["outer"]["kernel"]
    np.testing.assert_array_equal(kernel[1], tensors[OUTER].T)


def test_the_first_modernbert_layer_stands_apart(make_folder):
    folder = make_folder("modernbert")
    tensors = load_file(folder / "model.safetensors")
    body = load(folder).params["body"]
    assert "attention_norm" not in body["first"]
    np.testing.assert_array_equal(
        body["layers"]["out"]["kernel"][0], tensors["layers.1.attn.Wo.weight"].T
    )


def test_old_names_of_norms(make_folder):
    def rename(tensors):
        for name in [n for n in tensors if "LayerNorm" in n]:
            new = name.replace(".weight", ".gamma").replace(".bias", ".beta")
            tensors[new] = tensors.pop(name)

    assert same(load(make_folder("bert")), load(make_folder("bert", "bert.", rename)))


def test_weights_in_several_files(make_folder):
    folder = make_folder("bert")
    whole = load(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {n: f"model-{i % 2}.safetensors" for i, n in enumerate(names)}
    for file in set(places.values()):
        save_file({n: tensors[n] for n in names if places[n] == file}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    assert same(load(folder), whole)
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-1\.safetensors: cannot be read"):
        load(folder)
    index.write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        load(folder)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_files_become_float32(make_folder, dtype):
    def halve(tensors):
        tensors |= {n: t.astype(dtype) for n, t in tensors.items()}

    params = load(make_folder("bert", edit=halve)).params
    whole = load(make_folder("bert")).params
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(whole), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b.astype(dtype).astype(np.float32))


def test_a_missing_tensor_is_named(make_folder):
    with pytest.raises(InputError, match=rf"'{OUTER}' is missing, of shape \[32, 48\] needed"):
        load(make_folder("bert", edit=lambda tensors: tensors.pop(OUTER)))


def test_a_tensor_of_another_shape_is_named(make_folder):
    def cut(tensors):
        tensors[OUTER] = np.ascontiguousarray(tensors[OUTER].T)

    with pytest.raises(InputError, match=rf"'{OUTER}' has shape \[48, 32\], \[32, 48\] needed"):
        load(make_folder("bert", edit=cut))


def test_weights_of_another_family(make_folder):
    with pytest.raises(InputError, match=r"'word_embedding\.weight' is missing \(there are embed"):
        folder = make_folder("bert")
        (folder / "config.json").write_text((make_folder("xlnet") / "config.json").read_text())
        load(folder)


def test_no_weights_and_pickled_weights_are_refused(make_folder):
    folder = make_folder("bert")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no weights; a model\.safetensors"):
        load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"only as pytorch_model\.bin.*save_pretrained"):
        load(folder)


def test_a_damaged_file(make_folder):
    folder = make_folder("bert")
    whole = (folder / "model.safetensors").read_bytes()
    for broken in (whole[:5000], b"", b"nonsense"):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(InputError, match="cannot be read"):
            load(folder)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.bert.", "module.model.encoder.", "a.b.c."]
)
def test_names_under_any_wrapper(prefix, make_folder):
    assert same(load(make_folder("bert")), load(make_folder("bert", prefix)))


def test_two_encoders_in_one_file(make_folder):
    def double(tensors):
        for name in list(tensors):
            tensors[f"query.{name}"] = tensors[f"text.{name}"] = tensors.pop(name)

    with pytest.raises(InputError, match=r"encoders under 'query\.' and 'text\.' given"):
        load(make_folder("bert", edit=double))


def test_quantised_weights_are_refused(make_folder):
    def cut(tensors):
        tensors[OUTER] = tensors[OUTER].astype(np.int8)

    with pytest.raises(InputError, match=rf"'{OUTER}' holds I8, floating point"):
        load(make_folder("bert", edit=cut))


def test_an_adapter_is_refused(make_folder):
    folder = make_folder("bert")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds an adapter.*merge_and_unload"):
        load(folder)


def test_one_file_of_another_name(make_folder):
    whole = load(make_folder("bert"))
    folder = make_folder("bert")
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    with pytest.warns(Note, match=r"weights\.safetensors is used"):
        assert same(load(folder), whole)
