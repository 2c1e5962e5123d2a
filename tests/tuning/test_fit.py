"""Batch, parts and recomputing that fit a device, and what the formula says of an update's memory."""

from __future__ import annotations

import dataclasses

import pytest

from xmc_jax.encoder import count_parameters
from xmc_jax.encoder.architecture import Settings
from xmc_jax.encoder.families import FAMILIES
from xmc_jax.parallel import Target
from xmc_jax.tuning.fit import UpdateSize, choose_fit, find_budget, weigh_update

BERT = FAMILIES["bert"].read(Settings({}, "bert-base"))


def describe(nodes: int = 32_768, dtype: str = "float32", length: int = 128) -> UpdateSize:
    return UpdateSize(count_parameters(BERT), BERT, length, dtype, nodes, 1000, 768)


def fit(name: str, size: UpdateSize | None = None, **settings):
    target = Target.named(name)
    return choose_fit(size or describe(), target, find_budget(target, 2**34), **settings)


def test_bert_base_fits_sixteen_gigabytes_by_default():
    found = fit("v5e-1", batch_size=256)
    assert found.fits and found.batch_size == 256 and found.memory < 0.9 * 16e9
    assert not choose_fit(
        describe(), Target.named("v5e-1"), 14 * 10**9, 256, accumulate=1, remat=False
    ).fits


def test_one_device_cuts_the_batch_and_several_recompute():
    assert fit("v5e-1", batch_size=256).accumulate > 1 and not fit("v5e-1", batch_size=256).remat
    many = fit("v5e-8", batch_size=2048)
    assert many.accumulate == 1 and many.remat


def test_what_is_set_is_kept():
    found = fit("v5e-1", batch_size=256, accumulate=2, remat=True)
    assert (found.batch_size, found.accumulate, found.remat) == (256, 2, True)
    small = fit("v5e-1", describe(nodes=100), batch_size=8)
    assert (small.accumulate, small.remat) == (1, False)


def test_where_nothing_fits_the_least_is_taken():
    found = choose_fit(describe(), Target.named("v5e-1"), 10**9, 64)
    assert not found.fits and found.remat and found.accumulate == 64


def test_a_batch_is_as_large_as_the_devices_hold():
    one, eight = fit("h100"), fit("v5e-8")
    assert one.batch_size == 64 and not one.remat
    assert eight.batch_size % 8 == 0 and eight.fits and eight.accumulate == 1
    assert fit("v5e-1", describe(length=512), remat=False).batch_size < 64
    assert fit("cpu").batch_size == 32


def test_state_is_cut_over_devices():
    size = describe()
    one, many = (weigh_update(size, 8, 1, True, n) for n in (1, 256))
    numbers = size.parameters + 32_769 * 768
    assert one - many == pytest.approx(16 * numbers - 8 * numbers - 12 * numbers / 256, abs=2)


def test_an_encoder_of_ones_own_is_left_as_it_is():
    size = dataclasses.replace(describe(), architecture=None)
    found = fit("v5e-1", size, batch_size=512)
    assert (found.accumulate, found.remat) == (1, False)
