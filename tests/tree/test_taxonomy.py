"""Parent maps and nested clusters."""

from itertools import pairwise

import pytest

from xmc_jax.errors import InputError
from xmc_jax.tree import flat_tree, tree_from_nested, tree_from_parents


def clusters_of(tree, names):
    """Returns the label names of each last cluster."""
    at = tree.children_offsets(-1)
    return [[names[i] for i in tree.edge_label[a:b]] for a, b in pairwise(at)]


def test_taxonomy_of_two_depths():
    parents = {"poodle": "dog", "beagle": "dog", "manx": "cat", "dog": "animal", "cat": "animal"}
    names = ["poodle", "beagle", "manx", "rose"]
    tree = tree_from_parents(parents | {"rose": "plant"}, names)
    assert tree.level_sizes == (2, 3, 4)  # plant is extended by a cluster with one child
    assert tree.parents[1].tolist() == [0, 0, 1]
    assert clusters_of(tree, names) == [["poodle", "beagle"], ["manx"], ["rose"]]


def test_inner_nodes_may_be_labels():
    parents = {"poodle": ["dog"], "dog": ["animal"], "cat": ["animal"], "animal": None}
    names = ["animal", "cat", "dog", "poodle"]
    tree = tree_from_parents(parents, names)
    # The one cluster on top (animal) is left out; its own labels go down beside the cluster dog.
    assert tree.level_sizes == (2, 4)
    assert clusters_of(tree, names) == [["dog", "poodle"], ["animal", "cat"]]


def test_labels_under_several_parents():
    parents = {"pet": [], "wild": "", "cat": ["pet", "wild", "pet"], "dog": "pet", "wolf": "wild"}
    names = ["cat", "dog", "wolf"]
    tree = tree_from_parents(parents, names)
    assert clusters_of(tree, names) == [["cat", "dog"], ["cat", "wolf"]]
    assert tree.copies_per_label.tolist() == [2, 1, 1]
    # A cluster hangs under its first parent; as a label it is also in the cluster of the second.
    tree = tree_from_parents(parents | {"manx": "cat"}, [*names, "manx"])
    assert tree.level_sizes == (2, 3, 5)
    assert clusters_of(tree, [*names, "manx"]) == [["cat", "manx"], ["dog"], ["cat", "wolf"]]


def test_names_at_the_top_alone_are_flat():
    assert tree_from_parents({"a": None, "b": None}, ["a", "b"]).equals(flat_tree(2))
    assert tree_from_parents({"a": "all", "b": "all"}, ["a", "b"]).equals(flat_tree(2))
    assert tree_from_nested(["b", "a"], ["a", "b"]).equals(flat_tree(2))


def test_clusters_without_labels_are_left_out():
    parents = {"a": "x", "b": "y", "c": "z", "z": "y"}
    with pytest.raises(InputError, match="name 'c' is neither a label nor a parent"):
        tree_from_parents(parents, ["a", "b"])
    tree = tree_from_parents(parents, ["a", "b"], allow_extra=True)
    assert tree.level_sizes == (2, 2)


def test_nested_clusters():
    names = ["ivy", "manx", "poodle", "rose"]
    nested = {
        "animals": {"dogs": ["poodle"], "cats": ["manx", "poodle"]},
        "plants": ["rose", "ivy"],
    }
    tree = tree_from_nested(nested, names)
    assert tree.level_sizes == (2, 3, 5)
    assert clusters_of(tree, names) == [["poodle"], ["manx", "poodle"], ["ivy", "rose"]]


@pytest.mark.parametrize(
    ("parents", "names", "message"),
    [
        ({"a": "b", "b": "c", "c": "a"}, ["a"], "cycle: "),
        ({"a": "a"}, ["a"], "cycle: a -> a"),
        (
            {"poodle": "dog"},
            ["podle"],
            "label 'podle' is not in the parent map; did you mean 'poodle'?",
        ),
        ({"a": "x"}, ["a", "q", "r"], "label 'q' and 1 more are not in the parent map; add each"),
        ({"a": "x", "bb": "x"}, ["a"], "name 'bb' is neither a label nor a parent; leave"),
        ({"a": 3}, ["a"], "'a' has 3; a name, a list of names or null needed"),
        ({"a": ["x", ""]}, ["a"], "'a' has ['x', '']"),
        ({"a": "x"}, ["a", "a"], "label name 'a' given twice"),
        ({"a": "x"}, [], "no label names"),
    ],
)
def test_wrong_maps_are_refused(parents, names, message):
    with pytest.raises(InputError) as error:
        tree_from_parents(parents, names)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ({"x": ["a", "bb"]}, "cluster 'x' of the tree holds 'bb', which is not a label"),
        ({"x": ["a"]}, "label 'b' is not in the tree"),
        ({"x": ["a", "a"], "y": ["b"]}, "cluster 'x' of the tree holds label 'a' twice"),
        ({"x": "a"}, "cluster 'x' of the tree holds 'a', a dict of clusters or a list of labels"),
        ({"x": [["a"]]}, "which is not a label"),
        (7, "the top of the tree holds 7"),
    ],
)
def test_wrong_nestings_are_refused(nested, message):
    with pytest.raises(InputError) as error:
        tree_from_nested(nested, ["a", "b"])
    assert message in str(error.value)
