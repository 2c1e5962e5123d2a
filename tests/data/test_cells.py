import random

import pytest

from xmc_jax.data.cells import choose_reading
from xmc_jax.data.literals import looks_like_list, parse_list

TAGS = ["python", "pandas", "numpy", "c++", "list", "dict", "regex", "json", "csv", "sql"]


def split_all(cells, separator="auto", names=None):
    reading = choose_reading(cells, separator, names)
    return [reading.split(cell) for cell in cells]


def test_tags_between_spaces_stand_alone_and_in_many_combinations():
    rng = random.Random(0)
    cells = [" ".join(rng.sample(TAGS, rng.randint(1, 4))) for _ in range(300)]
    assert split_all(cells) == [cell.split() for cell in cells]
    films = rng.choices(["War Film", "Horror Film", "Film", "Drama"], k=300)
    assert split_all(films) == [[film] for film in films]


def test_names_as_last_first():
    cells = ["Doe, Jane", "Doe, John", "Roe, Richard", "Poe, Edgar", "Moe, Mike"]
    assert split_all(cells) == [[cell] for cell in cells]
    assert split_all([*cells, "Jane, Doe"])[0] == ["Doe", "Jane"]  # a part in both places: no names


def test_a_rare_mark_inside_names_does_not_win():
    cells = ["a, b", "b, c", "a, c", "c, d"] * 100 + ["e;f, a"]
    assert split_all(cells)[-1] == ["e;f", "a"]


def test_missing_cells_have_no_labels():
    assert split_all([None, "x;y", float("nan"), " "]) == [[], ["x", "y"], [], []]


def test_the_choice_is_told_with_an_example_and_a_count():
    says = choose_reading(["x", "x | y", "z"]).says
    assert says == "separated by '|' (1 of 3 cells, such as 'x | y': 2)"
    assert "such as 'New York'" in choose_reading(["New York"]).says
    assert "as set" in choose_reading(["a/b"], "/").says


def test_zeros_and_ones_take_names_if_there_are_as_many():
    cells = [[0, 1, 1], [1, 0, 0]]
    assert split_all(cells, names=["x", "y", "z"]) == [["y", "z"], ["x"]]
    assert split_all(cells, names=["x", "y"]) == [["1", "2"], ["0"]]
    assert split_all([[True, False], [False, False]]) == [["0"], []]
    with pytest.raises(ValueError, match="3 zeros and ones needed as in other rows"):
        choose_reading(cells).split([0, 1])
    assert split_all([[0, 2, 5], [1]]) == [[0, 2, 5], [1]]  # numbers of classes


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        ("['a', 'b']", ["a", "b"]),
        ('["it\'s", "b"]', ["it's", "b"]),
        (r"['it\'s']", ["it's"]),
        ("['a' 'b c']", ["a", "b c"]),
        ("['(a) b' 'c']", ["(a) b", "c"]),
        ("array(['a', 'b'], dtype=object)", ["a", "b"]),
        ("frozenset({'a'})", ["a"]),
        ("('a',)", ["a"]),
        ("()", []),
        ('{a,"b c",NULL}', ["a", "b c", None]),
        ("[1 2 3]", [1, 2, 3]),
        ("[0. 1.]", [0.0, 1.0]),
        ("[a, b c]", ["a", "b c"]),
        ("['a', nan]", ["a", None]),
        ("[np.str_('a'), np.str_('b')]", ["a", "b"]),
        ("{'x': 1, 'y': 0}", ["x"]),
        ('{"/m/1": "Thriller"}', ["Thriller"]),
        ("[u'a']", ["a"]),
        ("", []),
    ],
)
def test_printed_lists(cell, items):
    assert parse_list(cell) == items
    assert not cell or looks_like_list(cell)


@pytest.mark.parametrize(
    "cell", ["['a'", "['a' 'b", "['a', ... 'b']", "a, b", '{"a": 2}', "['a' \"]"]
)
def test_what_is_no_list(cell):
    with pytest.raises(ValueError, match="the labels are"):
        parse_list(cell)


@pytest.mark.parametrize("cell", ["(old) name", "name (old)", "[", "a", "f(x)"])
def test_what_does_not_look_like_a_list(cell):
    assert not looks_like_list(cell)
