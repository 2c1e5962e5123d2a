from dataclasses import replace

import pytest

from xmc_jax.config import FeaturesConfig, LinearConfig
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
