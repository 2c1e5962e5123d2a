from __future__ import annotations

import resource
import shutil
from dataclasses import fields

import numpy as np
import pytest
import tokenizers

from xmc_jax.errors import InputError, RunError
from xmc_jax.model import build_weights, join_clusters
from xmc_jax.run import (
    load_arrays,
    load_encoder,
    load_level,
    load_share,
    save_arrays,
    save_encoder,
    save_level,
)
from xmc_jax.run.arrays import is_committed, load_note


def make_weights(n_dense: int = 0, seed: int = 0):
    rng = np.random.default_rng(seed)
    offsets = np.array([0, 3, 3, 8])
    keys = rng.choice(3 * 50 * 3, 60, replace=False)
    cluster, feature, child = keys // 150, keys // 3 % 50, keys % 3
    keep = child < np.diff(offsets)[cluster]
    cluster, feature, child = cluster[keep], feature[keep], child[keep]
    value = rng.standard_normal(keep.sum()).astype(np.float32)
    dense = rng.standard_normal((8, n_dense)).astype(np.float32)
    return build_weights(offsets, cluster, feature, child, value, rng.standard_normal(8), dense)


@pytest.mark.parametrize("n_dense", [0, 2])
def test_level_comes_back_bit_for_bit(tmp_path, n_dense):
    weights, place = make_weights(n_dense), tmp_path / "a level, #1%20é"
    save_level(place, weights, {"level": 3})
    again = load_level(place)
    assert load_note(place) == {"level": 3}
    for name in weights.__dataclass_fields__:
        a, b = getattr(weights, name), getattr(again, name)
        assert a.dtype == b.dtype and a.shape == b.shape, name
        np.testing.assert_array_equal(a, b, name)


def test_arrays_of_every_kind_and_of_several_chunks(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "a/b": rng.standard_normal((300, 7)).astype(np.float32),
        "none": np.zeros((0, 4), np.int64),
        "one": np.array(3, np.uint32),
        "flag": np.array([True, False]),
        "small": np.arange(5, dtype=np.uint16),
        "wide": rng.integers(0, 9, (3, 2, 4)),
    }
    save_arrays(tmp_path, arrays, {"é": [1]}, step=7)
    again, note = load_arrays(tmp_path, 7)
    assert note == {"é": [1]} and again.keys() == arrays.keys()
    for name, a in arrays.items():
        assert again[name].dtype == a.dtype
        np.testing.assert_array_equal(again[name], a)


def test_half_written_level_is_not_seen(tmp_path):
    save_level(tmp_path, make_weights(), {})
    # What a process that was killed leaves: a temporary folder that was never renamed.
    shutil.move(tmp_path / "0", tmp_path / "0.orbax-checkpoint-tmp")
    assert not is_committed(tmp_path)
    with pytest.raises(InputError, match="no complete checkpoint"):
        load_level(tmp_path)
    save_level(tmp_path, make_weights(), {})
    assert [p.name for p in tmp_path.iterdir()] == ["0"]


def test_damaged_level_is_named(tmp_path, capfd):
    place = tmp_path / "level_00"
    save_level(place, make_weights(), {})
    for file in (place / "0" / "arrays").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:7])
    with pytest.raises(InputError, match=r"level_00: damaged checkpoint"):
        load_level(place)
    assert capfd.readouterr().err == ""


def test_a_disk_that_takes_no_more_is_named_and_nothing_is_left(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).standard_normal(100_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(RunError, match=r"level_00: cannot be written \(File too large\)"):
            save_arrays(tmp_path / "level_00", {"a": noise}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    save_arrays(tmp_path / "level_00", {"a": noise}, {})
    np.testing.assert_array_equal(load_arrays(tmp_path / "level_00")[0]["a"], noise)


def make_encoder(folder):
    """A BERT of one layer with random weights, as a folder would give it."""
    import jax

    from xmc_jax.config import EncoderConfig
    from xmc_jax.encoder import TextTokenizer, build_encoder, init_params
    from xmc_jax.encoder.architecture import Settings
    from xmc_jax.encoder.bert import read_bert

    sizes = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 8, "max_position_embeddings": 16}
    architecture = read_bert(Settings(sizes, str(folder)))
    words = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "é", "b"])}
    tool = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tool.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    config = EncoderConfig(str(folder), max_length=9, dropout=0.3)
    params = init_params(architecture, jax.random.key(0))
    return build_encoder(architecture, config, TextTokenizer(tool.to_str()), params)


def test_an_encoder_comes_back_from_the_folder_alone(tmp_path):
    encoder = make_encoder(tmp_path / "gone")
    save_encoder(tmp_path / "run", encoder)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    again = load_encoder(tmp_path / "moved")
    assert again.architecture == encoder.architecture and again.config == encoder.config
    assert again.hidden == 8 and again.max_length == 9
    ids, mask = again.tokenize(["é b", "b"]).take(np.arange(2))
    assert ids[:, :2].tolist() == [[4, 5], [5, 0]]
    np.testing.assert_array_equal(
        again.apply(again.params, ids, mask), encoder.apply(encoder.params, ids, mask)
    )


def test_half_an_encoder_is_not_read(tmp_path):
    with pytest.raises(InputError, match="no complete checkpoint"):
        load_encoder(tmp_path)
    save_encoder(tmp_path, make_encoder(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot be read"):
        load_encoder(tmp_path)


def test_an_encoder_of_ones_own_is_filled_with_its_parameters(tmp_path):
    from xmc_jax.encoder import embed_texts, wrap_function, wrap_vectors

    params = {"scale": np.float32(3), "maps": [np.ones((2, 4), np.float32), np.zeros(4)]}

    def function(params, batch):
        return params["scale"] * batch @ params["maps"][0] + params["maps"][1][None]

    save_encoder(tmp_path / "a", wrap_function(function, params, 4))
    other = wrap_function(function, {"scale": 0.0, "maps": [np.zeros((2, 4)), np.ones(4)]}, 4)
    again = load_encoder(tmp_path / "a", other)
    rows = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(embed_texts(again, rows), np.full((3, 4), 6.0))
    with pytest.raises(InputError, match="an encoder of your own with 4 columns, none given"):
        load_encoder(tmp_path / "a")
    with pytest.raises(InputError, match="one of 5 columns given"):
        load_encoder(tmp_path / "a", wrap_vectors(5))
    with pytest.raises(InputError, match=r"array 'maps/0' of shape \(2, 4\) saved, none needed"):
        load_encoder(tmp_path / "a", wrap_function(function, {"scale": 0.0}, 4))
    save_encoder(tmp_path / "b", wrap_vectors(4))
    assert load_encoder(tmp_path / "b", wrap_vectors(4)).hidden == 4


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_level_written_as_a_whole_is_read_in_shares(tmp_path, n):
    weights = make_weights(n_dense=2)
    save_level(tmp_path / "level", weights, {})
    shares = [load_share(tmp_path / "level", i, n) for i in range(n)]
    joined = join_clusters([share.weights for share in shares])
    for f in fields(weights):
        np.testing.assert_array_equal(getattr(joined, f.name), getattr(weights, f.name))
    assert [share.first for share in shares] == [0, *(share.stop for share in shares[:-1])]
    assert {share.n_entries for share in shares} == {weights.n_entries}
    assert load_share(tmp_path / "level", 0, n, most_whole=8).n_nodes == 8
