from __future__ import annotations

import shutil

import numpy as np
import pytest

from xmc_jax import checkpoint
from xmc_jax.errors import InputError
from xmc_jax.ranker import build_weights
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
