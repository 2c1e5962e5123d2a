"""A held-out set is refused before training, not after it."""

from __future__ import annotations

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.errors import InputError

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
