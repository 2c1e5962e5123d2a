"""JSON and tree files, tables of levels and clusters."""

import gzip
import json

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import TreeConfig
from xmc_jax.errors import InputError, RunError
from xmc_jax.model import make_tree
from xmc_jax.tree import (
    build_tree,
    describe_levels,
    flat_tree,
    read_tree_file,
    summarize_clusters,
    tree_from_json,
    tree_from_levels,
    tree_from_parents,
    tree_to_json,
)

NAMES = [f"label {i}" for i in range(101)]


@pytest.fixture(scope="module")
def tree():
    Z = np.random.default_rng(0).standard_normal((101, 12)).astype(np.float32)
    return build_tree(Z, TreeConfig(max_leaf_size=7, branching=4))


def test_json_round_trip(tree, tmp_path):
    path = tmp_path / "tree.json"
    content = tree_to_json(tree, NAMES, path)
    assert content["levels"] == [4, 16, 101]
    assert list(content["tree"]) == ["0", "1", "2", "3"]
    assert list(content["tree"]["3"]) == ["3.0", "3.1", "3.2", "3.3"]
    assert tree_from_json(content, NAMES).equals(tree)
    assert tree_from_json(path, NAMES).equals(tree)
    assert read_tree_file(path, NAMES).equals(tree)
    assert [p.name for p in tmp_path.iterdir()] == ["tree.json"]


@pytest.mark.parametrize(
    "tree",
    [
        flat_tree(3),
        make_tree([np.array([0])], np.arange(3), np.zeros(3, int), 3),
        tree_from_levels([np.array([[1, 1], [0, 1], [1, 0]])]),
    ],
)
def test_odd_trees_round_trip(tree):
    content = json.loads(json.dumps(tree_to_json(tree)))
    assert tree_from_json(content, ["0", "1", "2"]).equals(tree)


def test_json_that_does_not_fit(tree, tmp_path):
    content = tree_to_json(tree, NAMES)
    with pytest.raises(InputError, match="'label 3', which is not a label"):
        tree_from_json(content, [n for n in NAMES if n != "label 3"])
    with pytest.raises(InputError, match=r"levels \[4, 16, 101\] but says \[4, 16, 102\]"):
        tree_from_json(content | {"levels": [4, 16, 102]}, NAMES)
    with pytest.raises(InputError, match="export a tree again"):
        tree_from_json({"tree": {}}, NAMES)
    with pytest.raises(InputError, match="100 label names given, 101 needed"):
        tree_to_json(tree, NAMES[:-1])
    with pytest.raises(RunError, match="cannot be written"):
        tree_to_json(tree, NAMES, tmp_path / "missing" / "tree.json")


def test_user_files(tmp_path):
    names = ["a", "b", "c"]
    parents = {"a": "x", "b": "x", "c": "y"}
    expected = tree_from_parents(parents, names)
    nested = {"one": ["a", "b"], "two": ["c"]}
    contents = [
        parents,
        {"parents": parents},
        {"a": ["x"], "b": ["x"], "c": ["y"]},
        nested,
        {"tree": nested},
    ]
    for content in contents:
        (tmp_path / "t.json").write_text(json.dumps(content))
        assert read_tree_file(tmp_path / "t.json", names).equals(expected)
    (tmp_path / "t.json.gz").write_bytes(gzip.compress(json.dumps(parents).encode()))
    assert read_tree_file(tmp_path / "t.json.gz", names).equals(expected)
    sp.save_npz(tmp_path / "t.npz", sp.csr_matrix([[1, 0], [1, 0], [0, 1]]))
    assert read_tree_file(tmp_path / "t.npz", names).equals(expected)
    (tmp_path / "t.json").write_text(json.dumps(parents | {"d": "y"}))
    assert read_tree_file(tmp_path / "t.json", names, allow_extra=True).equals(expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", b'{"a": "x",\n"b": }', "line 2: Expecting value"),
        ("t.json", b'{"a": "x", "a": "y"}', "name 'a' is in one object twice"),
        ("t.json", b'"a"', "as a JSON object"),
        ("t.json", b'{"a": "x"}', "label 'b' is not in the parent map"),
        ("t.json", b'{"a": ["b"], "b": ["a"]}', 'wrap it as {"tree"'),
        ("t.json", b"\xff{}", "byte 0: not UTF-8"),
        ("t.json", b"[" * 100_000, "nested too deeply"),
        ("t.json.gz", b"{}", "not a whole gzip file"),
        ("t.npz", b"{}", "not a SciPy sparse matrix"),
        ("t.txt", b"{}", "a .json, .json.gz or .npz file needed"),
    ],
)
def test_wrong_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_tree_file(tmp_path / name, ["a", "b"])
    assert message in str(error.value)
    assert str(tmp_path / name) in str(error.value)
    with pytest.raises(InputError, match=r"cannot read tree file .*No such file"):
        read_tree_file(tmp_path / "gone.json", ["a", "b"])
    with pytest.raises(InputError, match=r"cannot read tree file .*No such file"):
        read_tree_file(tmp_path / "gone.npz", ["a", "b"])


def test_npz_of_another_label_set(tmp_path):
    sp.save_npz(tmp_path / "t.npz", sp.csr_matrix(np.eye(2)))
    with pytest.raises(InputError, match=r"\(2, 2\) given, 3 rows needed"):
        read_tree_file(tmp_path / "t.npz", ["a", "b", "c"])
    np.savez(tmp_path / "t.npz", a=np.eye(2))
    with pytest.raises(InputError, match="not a SciPy sparse matrix"):
        read_tree_file(tmp_path / "t.npz", ["a", "b"])


def test_levels_are_described(tree):
    rows = describe_levels(tree)
    assert [r["size"] for r in rows] == [4, 16, 101]
    assert [r["kind"] for r in rows] == ["clusters", "clusters", "labels"]
    assert (rows[2]["children_min"], rows[2]["children_max"]) == (6, 7)
    assert rows[2]["children_mean"] == pytest.approx(101 / 16)
    assert json.loads(json.dumps(rows)) == rows
    overlap = tree_from_levels([np.array([[1, 1], [0, 1]])])
    assert describe_levels(overlap)[-1]["kind"] == "label copies"


def test_clusters_are_summarized_by_count():
    tree = tree_from_levels(
        [np.array([0, 0, 1]), np.array([[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])]
    )
    names, counts = ["a", "b", "c", "d"], np.array([1, 5, 5, 0])
    assert summarize_clusters(tree, 0, counts, names) == [["b", "c", "a"], ["d"]]
    assert summarize_clusters(tree, 1, counts, names, top=2) == [["a"], ["b", "c"], ["d"]]
    with pytest.raises(InputError, match="3 counts and 4 names given, 4 of each"):
        summarize_clusters(tree, 0, counts[:3], names)
