from __future__ import annotations

import pytest

from xmc_jax.cli.options import Parser, apply_overrides, field_name, whole_number
from xmc_jax.cli.settings import SECTIONS
from xmc_jax.config import LinearConfig, SearchConfig, TreeConfig
from xmc_jax.errors import InputError


def parser(sections=SECTIONS) -> Parser:
    made = Parser("train", "trains", sections=sections)
    made.add_argument("--data", required=True)
    made.add_argument("--tree")
    made.add_argument("--top-k", type=whole_number(1))
    return made


def test_own_options_and_fields_are_told_apart():
    words = [
        "--tree.branching",
        "8",
        "--data",
        "d",
        "--beam=3",
        "--tree",
        "t.json",
        "--tree.sketch",
        "none",
        "--seed",
        "4",
    ]
    arguments = parser().parse(words)
    assert (arguments.named.data, arguments.named.tree) == ("d", "t.json")
    config = apply_overrides(LinearConfig(), arguments.overrides, SECTIONS)
    assert config == LinearConfig(
        seed=4, tree=TreeConfig(branching=8, sketch=None), search=SearchConfig(beam=3)
    )


@pytest.mark.parametrize("option", ["--max_leaf_size", "--max-leaf-size", "--tree.max-leaf-size"])
def test_dashes_and_underscores_are_the_same(option):
    assert field_name(LinearConfig, option, SECTIONS) == "tree.max_leaf_size"


def test_the_last_of_two_values_holds():
    config = apply_overrides(LinearConfig(), [("--beam", "3"), ("--search.beam", "4")], SECTIONS)
    assert config.search.beam == 4


def test_per_level_values():
    config = apply_overrides(LinearConfig(), [("--threshold", "0.2,0.1")], SECTIONS)
    assert config.ranker.threshold == (0.2, 0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--data"),
        ("--dta d", "'--dta'; did you mean '--data'?"),
        ("--beem 3", "'--beem'; did you mean '--beam'?"),
        ("--beam 3", "--data"),
        ("--data d --beem 3", "'--beem'; did you mean '--beam'?"),
        ("--data d --dat 3", "'--dat'; did you mean '--data'?"),
        ("--data d --top_k 3 --topk 3", "'--topk'; did you mean '--top-k'?"),
        ("--data d --tree.branchng 3", "did you mean '--tree.branching'?"),
        ("--data d --qqqqqqq 3", "unknown option '--qqqqqqq'; see xmc train --help"),
        ("--data d --n_jobs 3", "scikit-learn's 'n_jobs' is '--threads' here"),
        ("--data d --verbose", "no setting for scikit-learn's 'verbose'"),
        ("--data d --kind flat", "--features.kind or --tree.kind"),
        ("--data d --beam", "'--beam' needs a value"),
        ("--data d --beam --seed 3", "'--beam' needs a value"),
        ("--data d stray", "'stray'"),
        ("--data d --top-k 0", "'0' given, a whole number of 1 or more"),
        ("--data d --top-k many", "'many' given, a whole number of 1 or more"),
        ("--data", "--data"),
    ],
)
def test_wrong_words(words, message):
    with pytest.raises(InputError) as error:
        parser().parse(words.split())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--beam", "x", "auto or a whole number needed"),
        ("--beam", "-1", "auto, 1 or more needed"),
        ("--tree.kind", "kmean", "did you mean 'kmeans'?"),
        ("--lowercase", "yes", "true or false needed"),
    ],
)
def test_wrong_values_name_the_option(option, value, message):
    with pytest.raises(InputError) as error:
        apply_overrides(LinearConfig(), [(option, value)], SECTIONS)
    assert str(error.value).startswith(f"option '{option} {value}': ")
    assert message in str(error.value)


def test_only_the_sections_of_the_command_can_be_set():
    few = ("data.text_column", "search.beam")
    assert field_name(LinearConfig, "--beam", few) == "search.beam"
    assert field_name(LinearConfig, "--data.text_column", few) == "data.text_column"
    assert field_name(LinearConfig, "--data.labels_column", few) is None
    assert field_name(LinearConfig, "--seed", few) is None
    with pytest.raises(InputError, match="unknown option '--max_epochs'"):
        parser(few).parse(["--data", "d", "--max_epochs", "3"])
