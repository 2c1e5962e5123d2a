"""Settings are told as they are defined; names and values of before and of elsewhere are answered with ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from xmc_jax.cli.help import find_meanings
from xmc_jax.cli.settings import SECTIONS
from xmc_jax.config import (
    CONFIGS,
    FeaturesConfig,
    LinearConfig,
    SearchConfig,
    TreeConfig,
    XRTransformerConfig,
    from_dict,
    replace_field,
    to_dict,
)
from xmc_jax.config.foreign import FOREIGN, explain
from xmc_jax.config.former import list_lost
from xmc_jax.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))
from page import make_page


def test_every_setting_says_what_it_means():
    silent = [m.name for m in find_meanings(SECTIONS).values() if not m.text]
    assert not silent


def test_the_page_is_that_of_the_settings():
    page = Path(__file__).parents[2] / "configs/README.md"
    assert page.read_text(encoding="utf-8") == make_page(), (
        "python tests/config/page.py > configs/README.md"
    )


def test_foreign_names_lead_to_settings_that_exist():
    known = {*find_meanings(SECTIONS), "--tree", "--workdir", "--data"}
    assert {f.ours for f in FOREIGN} - {None} <= known
    assert all(f.remark for f in FOREIGN if f.ours is None)
    assert explain("--min-count") is not None and explain("nonsense") is None


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("search.beam", 0, "auto"),
        ("search.batch", 0, "auto"),
        ("memory", "", "auto"),
        ("ranker.max_nonzeros", 0, None),
        ("disentangle.capacity", 0.0, None),
        ("parallel.data", 0, "auto"),
        ("tree.min_clusters", 0, "auto"),
        ("tree.sketch", -1, "auto"),
        ("tree.sketch", 0, None),
        ("tree.label_features", "", None),
        ("features.max_features", 0, None),
        ("features.truncate", 0, None),
        ("encoder.dropout", -1.0, "auto"),
        ("encoder.revision", "", None),
        ("tuning.clip", 0.0, None),
        ("tuning.head_learning_rate", 0.0, "auto"),
        ("tuning.max_candidates", 0, None),
        ("tuning.patience", 0, None),
        ("calibrate.share", 0.0, None),
        ("calibrate.folds", 0, None),
    ],
)
def test_values_of_before_are_read_in_old_runs_and_refused_elsewhere(name, old, new):
    section, _, field = name.rpartition(".")
    values = {section: {field: old}} if section else {field: old}
    config = from_dict(XRTransformerConfig, values)
    found = config
    for part in name.split("."):
        found = getattr(found, part)
    assert found == new
    assert from_dict(XRTransformerConfig, to_dict(config)) == config
    for given in (old, str(old)):
        with pytest.raises(InputError, match=f"which is now {new or 'none'!r}: set {name} to"):
            replace_field(XRTransformerConfig(), name, given)
    word = "none" if new is None else new
    assert replace_field(XRTransformerConfig(), name, word) == replace_field(
        XRTransformerConfig(), name, new
    )


def test_constructors_refuse_values_of_before():
    with pytest.raises(InputError, match="beam=0 given, which is now 'auto'"):
        SearchConfig(beam=0)
    with pytest.raises(InputError, match="max_features=0 given, which is now 'none'"):
        FeaturesConfig(max_features=0)
    with pytest.raises(InputError, match="sketch=-3 given, auto, none, 1 or more needed"):
        TreeConfig(sketch=-3)


def test_settings_that_are_gone():
    values = {
        "features": {"threads": 4, "smooth_idf": True},
        "tree": {"mix": 0.5, "spherical": True, "iterations": 20, "branching": 8},
    }
    assert from_dict(LinearConfig, values) == LinearConfig(tree=TreeConfig(branching=8))
    with pytest.raises(
        InputError, match=r"'tree.iterations', which was removed: there are at most 20"
    ):
        replace_field(LinearConfig(), "tree.iterations", 30)
    with pytest.raises(InputError, match=r"'features.threads', which was removed: set `threads`"):
        replace_field(LinearConfig(), "features.threads", 2)


def test_what_an_old_run_loses_is_told():
    values = {"tree": {"mix": 0.5, "iterations": 30}, "tuning": {"bootstrap_first": False}}
    assert list_lost(values) == [
        "tree.iterations: 30 -> always 20",
        "tuning.bootstrap_first: False -> always True",
    ]
    assert not any(list_lost(to_dict(t()) | {"mix": 0.25}) for t in CONFIGS.values())


def test_unknown_settings_are_answered_with_ours():
    with pytest.raises(InputError, match="scikit-learn's 'random_state' is 'seed' here"):
        replace_field(LinearConfig(), "random_state", 3)
    with pytest.raises(InputError, match="did you mean 'branching'"):
        replace_field(LinearConfig(), "tree.branchin", 3)
    with pytest.raises(InputError, match="`xmc train --help` lists what there is"):
        replace_field(LinearConfig(), "qqqqqq", 3)


def test_all_models_have_the_machine_in_common():
    for config_type in CONFIGS.values():
        default = config_type()
        assert (default.memory, default.threads) == ("auto", "auto")
        assert replace_field(default, "threads", "2").threads == 2
