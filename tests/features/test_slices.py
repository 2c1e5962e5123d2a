import numpy as np
import pytest

from xmc_jax.features import slices
from xmc_jax.features.slices import concatenate, from_list, number_distinct


def _random_strings(rng, n, sizes):
    letters = np.array(list(b"ab\x00\xc3\xa4"), np.uint8)
    return [rng.choice(letters, rng.choice(sizes)).tobytes() for _ in range(n)]


def _check(strings):
    ids, first = number_distinct(from_list(strings))
    assert [strings[first[i]] for i in ids] == strings
    assert len(first) == len(set(strings))
    assert sorted(set(ids.tolist())) == list(range(len(first)))


def test_equal_strings_get_equal_numbers():
    rng = np.random.default_rng(0)
    _check(_random_strings(rng, 3000, [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 40]))


def test_long_strings_and_none():
    rng = np.random.default_rng(1)
    _check(_random_strings(rng, 300, [1, 255, 256, 257, 1000]) * 2)
    _check([])


def test_hash_collisions_change_no_result(monkeypatch):
    monkeypatch.setattr(slices, "hash_slices", lambda s: np.zeros(len(s), np.uint64))
    rng = np.random.default_rng(2)
    _check(_random_strings(rng, 200, [1, 2, 9, 17]))


@pytest.mark.parametrize("gap", [0, 1])
def test_compact_keeps_the_strings(gap):
    strings = [b"one", b"", b"three", b"two"]
    rows = np.array([2, 1, 3])
    compact = from_list(strings)[rows].compact(gap)
    assert compact.to_list() == [b"three", b"", b"two"]
    assert bytes(compact.buffer[: -slices.PADDING]) == (b"three  two " if gap else b"threetwo")


def test_concatenate():
    parts = [from_list([b"a", b"bc"]), from_list([]), from_list([b"", b"def"])]
    assert concatenate(parts).to_list() == [b"a", b"bc", b"", b"def"]
