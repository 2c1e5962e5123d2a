"""A held-out set is refused before training, not after it."""

from __future__ import annotations

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.config import LinearConfig, TreeConfig
from xmc_jax.errors import InputError
from xmc_jax.linear.sources import read_label_features

VECTORS, LABELS = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)


@pytest.mark.parametrize(
    ("validation", "error"),
    [
        ((VECTORS[:3], LABELS), "3 documents given for 4 rows"),
        ((VECTORS[:, :3], LABELS), "3 dense features given"),
        ((["a"] * 4, LABELS), "same kind"),
        ((VECTORS, LABELS[:, :2]), "2 columns"),
        ((VECTORS, [["a"]] * 4), "give a matrix"),
        (VECTORS, "a pair"),
    ],
)
def test_validation_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, validation, error
):
    with pytest.raises(InputError, match=error):
        xmc.XRLinear().fit(VECTORS, LABELS, validation=validation, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_vectors_do_not_validate_a_model_of_texts():
    with pytest.raises(InputError, match="same kind"):
        xmc.XRLinear().fit(["a b"] * 4, LABELS, validation=(VECTORS, LABELS))


def test_label_features_come_from_the_call_or_a_file():
    config = LinearConfig(tree=TreeConfig(embedding="pifa_lf_concat"))
    with pytest.raises(InputError, match=r"tree\.label_features"):
        read_label_features(config, None)
    given = np.eye(3, dtype=np.float32)
    assert read_label_features(config, given) is given
    with pytest.raises(InputError, match=r"tree\.embedding=pifa"):
        read_label_features(LinearConfig(), given)
