import numpy as np
import pytest

from xmc_jax.model import build_weights
from xmc_jax.ranker.parts import Part, choose_child_type, drop_smallest, join_parts

OFFSETS = np.array([0, 3, 5, 9])


def make_parts(rng, units):
    """Parts of units [(cluster, first child, children)], and their loose entries."""
    parts, loose = [], []
    for some in units:
        entries = []
        for unit, (cluster, first, count) in enumerate(some):
            keys = np.sort(rng.choice(7 * count, 5, replace=False))
            for key in keys.tolist():
                entries.append((unit, cluster, key // count, first + key % count, rng.normal()))
        unit, cluster, feature, child, value = map(np.array, zip(*entries, strict=True))
        nodes = np.concatenate([OFFSETS[c] + np.arange(f, f + k) for c, f, k in some])
        parts.append(
            Part(
                cluster=np.array([c for c, _, _ in some]),
                n_entries=np.bincount(unit, minlength=len(some)),
                feature=feature.astype(np.int32),
                child=child.astype(np.uint16),
                value=value.astype(np.float32),
                node=nodes,
                bias=nodes.astype(np.float32),
                dense=np.outer(nodes, [1, 2]).astype(np.float32),
            )
        )
        loose.append((cluster, feature, child, value.astype(np.float32)))
    return parts, [np.concatenate(x) for x in zip(*loose, strict=True)]


@pytest.mark.parametrize(
    "units",
    [
        [[(0, 0, 3), (2, 0, 4)], [(1, 0, 2)]],
        [[(2, 0, 4), (0, 0, 3)], [(1, 0, 2)]],
        [[(0, 0, 3), (2, 0, 2)], [(1, 0, 2), (2, 2, 2)]],
        [[(2, 2, 2), (1, 0, 2), (2, 0, 2)], [(0, 0, 3)]],
    ],
    ids=["by cluster", "by size", "a cluster in two parts", "a cluster twice in a part"],
)
def test_parts_become_the_weights_that_a_sort_gives(units):
    parts, loose = make_parts(np.random.default_rng(0), units)
    nodes = np.arange(9, dtype=np.float32)
    expected = build_weights(OFFSETS, *loose, nodes, np.outer(nodes, [1, 2]))
    found = join_parts(OFFSETS, 2, parts)
    assert parts == []
    for name in expected.__dataclass_fields__:
        a, b = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert a.dtype == b.dtype, name


def test_a_cluster_without_entries():
    parts, _ = make_parts(np.random.default_rng(0), [[(0, 0, 3), (1, 0, 2), (2, 0, 4)]])
    whole = parts[0]
    kept = whole._replace(
        n_entries=np.array([5, 0, 5]),
        **{n: np.delete(getattr(whole, n), slice(5, 10)) for n in ("feature", "child", "value")},
    )
    found = join_parts(OFFSETS, 2, [kept])
    assert np.diff(found.row_offsets)[1] == 0 and found.n_entries == 10
    assert found.entry_offsets[-1] == 10


def test_the_largest_of_a_node_stay():
    part = Part(
        cluster=np.array([0]),
        n_entries=np.array([4]),
        feature=np.array([0, 1, 2, 2], np.int32),
        child=np.array([1, 1, 0, 1], np.uint16),
        value=np.array([0.5, -3, 0.1, 2], np.float32),
        node=np.arange(3),
        bias=np.zeros(3, np.float32),
        dense=np.zeros((3, 0), np.float32),
    )
    kept = drop_smallest(part, 1, OFFSETS)
    assert kept.n_entries.tolist() == [2]
    np.testing.assert_array_equal(kept.value, np.array([-3, 0.1], np.float32))


def test_child_slots_are_as_narrow_as_they_can_be():
    assert choose_child_type(np.array([0, 2**16 - 1])) is np.uint16
    assert choose_child_type(np.array([0, 2**16])) is np.int32
