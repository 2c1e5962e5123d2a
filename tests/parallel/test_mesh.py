from __future__ import annotations

import jax
import pytest

from xmc_jax.config import ParallelConfig
from xmc_jax.errors import InputError
from xmc_jax.parallel import join_processes, make_mesh


def test_one_device_is_a_mesh():
    mesh = make_mesh(ParallelConfig(), jax.devices()[:1])
    assert mesh.shape == {"data": 1, "label": 1} and mesh.size == 1


@pytest.mark.parametrize(("data", "label"), [(2, 1), ("auto", 2), (1, 2)])
def test_more_than_there_are_is_refused(data, label):
    with pytest.raises(InputError, match="with 1 device; at most 1 in all needed"):
        make_mesh(ParallelConfig(data=data, label=label), jax.devices()[:1])


@pytest.mark.parametrize(("name", "value"), [("data", -1), ("label", 0), ("label", 1.5)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        ParallelConfig(**{name: value})


def test_a_process_beyond_their_number_is_refused():
    with pytest.raises(InputError, match="process 2 of 2 given, 0 to 1 needed"):
        join_processes("localhost:1", 2, 2)
