from __future__ import annotations

import shutil

import numpy as np
import pytest
import tokenizers

from xmc_jax import run as checkpoint
from xmc_jax.errors import InputError
from xmc_jax.model import build_weights
from xmc_jax.tree import flat_tree


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
    weights = make_weights(n_dense)
    checkpoint.save_level(tmp_path, 3, weights, {"level": 3})
    assert (tmp_path / "level_03").is_dir()
    again, note = checkpoint.load_level(tmp_path, 3)
    assert note == {"level": 3}
    for name in weights.__dataclass_fields__:
        a, b = getattr(weights, name), getattr(again, name)
        assert a.dtype == b.dtype and a.shape == b.shape, name
        np.testing.assert_array_equal(a, b, name)


def test_a_committed_level_is_never_rewritten(tmp_path):
    checkpoint.save_level(tmp_path, 0, make_weights(seed=0), {})
    checkpoint.save_level(tmp_path, 0, make_weights(seed=1), {})
    again, _ = checkpoint.load_level(tmp_path, 0)
    np.testing.assert_array_equal(again.bias, make_weights(seed=0).bias)


def test_half_written_level_is_not_seen(tmp_path):
    checkpoint.save_level(tmp_path, 0, make_weights(), {})
    # What a process that was killed leaves: a temporary folder that was never renamed.
    step = tmp_path / "level_00" / "0"
    shutil.move(step, tmp_path / "level_00" / "0.orbax-checkpoint-tmp")
    assert not checkpoint.is_committed(tmp_path / "level_00")
    with pytest.raises(InputError, match="no complete checkpoint"):
        checkpoint.load_level(tmp_path, 0)
    checkpoint.save_level(tmp_path, 0, make_weights(), {})
    assert checkpoint.is_committed(tmp_path / "level_00")


def test_damaged_level_is_named(tmp_path):
    checkpoint.save_level(tmp_path, 0, make_weights(), {})
    for file in (tmp_path / "level_00" / "0" / "arrays").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:7])
    with pytest.raises(InputError, match=r"level_00: damaged checkpoint"):
        checkpoint.load_level(tmp_path, 0)


def test_json_is_written_whole_and_damage_is_named(tmp_path):
    checkpoint.write_json(tmp_path / "a" / "x.json", {"é": [1]})
    assert checkpoint.read_json(tmp_path / "a" / "x.json") == {"é": [1]}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.json"]
    (tmp_path / "a" / "x.json").write_text('{"é": ')
    with pytest.raises(InputError, match="damaged, not JSON"):
        checkpoint.read_json(tmp_path / "a" / "x.json")


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
    checkpoint.save_encoder(tmp_path / "run", encoder)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    again = checkpoint.load_encoder(tmp_path / "moved")
    assert again.architecture == encoder.architecture and again.config == encoder.config
    assert again.hidden == 8 and again.max_length == 9
    ids, mask = again.tokenize(["é b", "b"]).take(np.arange(2))
    assert ids[:, :2].tolist() == [[4, 5], [5, 0]]
    np.testing.assert_array_equal(
        again.apply(again.params, ids, mask), encoder.apply(encoder.params, ids, mask)
    )


def test_half_an_encoder_is_not_read(tmp_path):
    with pytest.raises(InputError, match="no complete checkpoint"):
        checkpoint.load_encoder(tmp_path)
    checkpoint.save_encoder(tmp_path, make_encoder(tmp_path))
    (tmp_path / "encoder" / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot be read"):
        checkpoint.load_encoder(tmp_path)


def test_an_encoder_of_ones_own_is_filled_with_its_parameters(tmp_path):
    from xmc_jax.encoder import embed_texts, wrap_function, wrap_vectors

    params = {"scale": np.float32(3), "maps": [np.ones((2, 4), np.float32), np.zeros(4)]}

    def function(params, batch):
        return params["scale"] * batch @ params["maps"][0] + params["maps"][1][None]

    checkpoint.save_encoder(tmp_path / "a", wrap_function(function, params, 4))
    other = wrap_function(function, {"scale": 0.0, "maps": [np.zeros((2, 4)), np.ones(4)]}, 4)
    again = checkpoint.load_encoder(tmp_path / "a", other)
    rows = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(embed_texts(again, rows), np.full((3, 4), 6.0))
    with pytest.raises(InputError, match="an encoder of your own with 4 columns, none given"):
        checkpoint.load_encoder(tmp_path / "a")
    with pytest.raises(InputError, match="one of 5 columns given"):
        checkpoint.load_encoder(tmp_path / "a", wrap_vectors(5))
    with pytest.raises(InputError, match=r"array 'maps/0' of shape \(2, 4\) saved, none needed"):
        checkpoint.load_encoder(tmp_path / "a", wrap_function(function, {"scale": 0.0}, 4))
    checkpoint.save_encoder(tmp_path / "b", wrap_vectors(4))
    assert checkpoint.load_encoder(tmp_path / "b", wrap_vectors(4)).hidden == 4


def test_rounds_are_told_apart_and_the_newest_tree_is_found(tmp_path):
    tree, counts = flat_tree(4), np.ones(4)
    checkpoint.save_tree(tmp_path, tree, counts, {})
    assert checkpoint.find_parts(tmp_path).find_tree() == tmp_path
    assert checkpoint.list_rounds(tmp_path) == []
    for number, first, stop in ((1, 2, False), (2, 0, False), (3, 1, True)):
        folder = checkpoint.round_folder(tmp_path, number)
        note = {"round": number, "first_level": first, "stop": stop}
        checkpoint.save_tree(folder, tree, counts, note)
        if number == 1:
            parts = checkpoint.find_parts(tmp_path)
            # The levels above those that the round trains are the older ones.
            assert [parts.find_level(t) for t in range(4)] == [tmp_path] * 2 + [folder] * 2
    parts = checkpoint.find_parts(tmp_path)
    assert parts.round == 2 and parts.find_tree() == tmp_path / "round_02"
    assert parts.find_level(0) == tmp_path / "round_02"
    assert [note["round"] for note in checkpoint.list_rounds(tmp_path)] == [1, 2, 3]


def test_a_round_without_a_committed_tree_has_not_begun(tmp_path):
    checkpoint.save_tree(tmp_path, flat_tree(4), np.ones(4), {})
    (tmp_path / "round_01" / "tree" / "0.orbax-checkpoint-tmp").mkdir(parents=True)
    assert checkpoint.find_parts(tmp_path).round == 0
