import contextlib
from dataclasses import replace

import pytest

from xmc_jax.config import (
    FeaturesConfig,
    LinearConfig,
    PrototypeConfig,
    TuningConfig,
    XRTransformerConfig,
    from_dict,
    replace_field,
    to_dict,
)
from xmc_jax.errors import Note
from xmc_jax.run.identity import compare_settings

EARLIER = LinearConfig(features=FeaturesConfig(analyzer="word", token_pattern="unicode"))


def test_a_run_with_the_earlier_default_of_terms_is_the_same_run():
    assert compare_settings(EARLIER, LinearConfig()) == []
    assert compare_settings(LinearConfig(), EARLIER)


@pytest.mark.parametrize("change", [{"min_count": 5}, {"analyzer": "char"}])
def test_other_terms_are_another_run(change):
    new = LinearConfig(features=replace(FeaturesConfig(), **change))
    assert compare_settings(EARLIER, new)
    assert compare_settings(LinearConfig(), new)


@pytest.mark.parametrize("then, now", [("auto", 4), (4, "auto"), (2, 4)])
def test_a_run_resumes_in_more_parts_and_tells_what_that_changes(then, now):
    old, new = (XRTransformerConfig(tuning=TuningConfig(accumulate=n)) for n in (then, now))
    told = pytest.warns(Note, match="is 4 and was 2: from here on dropout")
    with told if then == 2 else contextlib.nullcontext():
        assert compare_settings(old, new) == []


@pytest.mark.parametrize(
    "name, value, same",
    [
        ("search.beam", 7, True),
        ("tuning.log_every", 3, True),
        ("tuning.embed_batch", 3, True),
        ("rerank.mode", "mixture", True),
        ("head.storage", "int8", False),
        ("head.cluster_every", 9, False),
    ],
)
def test_what_cannot_change_prototypes_hinders_no_resume(name, value, same):
    new = replace_field(PrototypeConfig(), name, value)
    assert (compare_settings(PrototypeConfig(), new) == []) is same


def test_a_run_of_before_there_was_a_prior_of_unseen_labels_is_another_run():
    values = to_dict(PrototypeConfig())
    del values["head"]["unseen"]
    old = from_dict(PrototypeConfig, values)
    assert old.head.unseen == 1.0
    assert compare_settings(old, PrototypeConfig()) == ["head.unseen: 1.0 -> 'auto'"]
    assert from_dict(PrototypeConfig, {}) == PrototypeConfig()
