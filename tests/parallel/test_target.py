from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from xmc_jax.config import ParallelConfig
from xmc_jax.errors import InputError
from xmc_jax.parallel import TARGETS, Target, make_mesh


@pytest.mark.parametrize(
    ("name", "kind", "n"),
    [
        ("cpu", "cpu", 1),
        ("h100", "h100", 1),
        ("h100:8", "h100", 8),
        ("v5e-1", "v5e", 1),
        ("v5e-256", "v5e", 256),
        ("v6e-8", "v6e", 8),
        ("V5P-8", "v5p", 8),
    ],
)
def test_names(name, kind, n):
    target = Target.named(name)
    assert (target.kind, target.n_devices) == (kind, n)
    assert Target.named(target.name) == target


@pytest.mark.parametrize("name", ["h1000", "", "v5e-0", "v5e-", "h100:x"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="target"):
        Target.named(name)


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA GeForce RTX 4090", "gpu"),
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v6 lite", "v6e"),
        ("TPU v4", "v4"),
    ],
)
def test_devices_are_known_by_what_they_call_themselves(device, kind):
    one = SimpleNamespace(device_kind=device, platform="tpu" if "TPU" in device else "gpu")
    mesh = SimpleNamespace(devices=np.array([[one, one]]), size=2)
    target = Target.of(mesh)
    assert (target.kind, target.n_devices) == (kind, 2)
    assert target.memory == TARGETS[kind].memory


def test_this_machine_is_the_target_of_its_mesh():
    mesh = make_mesh(ParallelConfig())
    assert Target.of(mesh).platform == Target.of().platform == jax.devices()[0].platform
    assert Target.of(mesh).n_devices == mesh.size


def test_work_goes_to_cores_on_a_cpu_and_to_devices_elsewhere():
    assert Target.named("cpu").count_workers(8) == Target.named("cpu").count_workers()
    assert Target.named("h100:8").count_workers(8) == 8
