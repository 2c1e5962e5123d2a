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
    with pytest.raises(InputError, match="with 1 device; a product of at most 1 needed"):
        make_mesh(ParallelConfig(data=data, label=label), jax.devices()[:1])


@pytest.mark.parametrize(("name", "value"), [("data", -1), ("label", 0), ("label", 1.5)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        ParallelConfig(**{name: value})


def test_a_process_beyond_their_number_is_refused():
    with pytest.raises(InputError, match="process 2 of 2 given, 0 to 1 needed"):
        join_processes("localhost:1", 2, 2)


@pytest.mark.parametrize(
    ("n_processes", "process", "said"),
    [
        ("2", None, "JAX_COORDINATOR_ADDRESS is set without JAX_PROCESS_ID; all three needed"),
        ("2", "x", "JAX_PROCESS_ID=x is set, a number needed"),
        ("2", "2", "JAX_PROCESS_ID=2 is set with JAX_NUM_PROCESSES=2, 0 to 1 needed"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(monkeypatch, n_processes, process, said):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", n_processes)
    if process is not None:
        monkeypatch.setenv("JAX_PROCESS_ID", process)
    with pytest.raises(InputError, match=said):
        join_processes()


def test_an_environment_without_processes_is_refused(processes):
    code = "import xmc_jax.parallel as p\ntry: p.join_processes()\nexcept Exception as e: print(e)"
    [said] = processes.finish(processes.start(code))
    assert said.startswith("processes to be found in the environment, which names none")


@pytest.mark.slow
def test_slurm_says_who_is_who(processes, monkeypatch):
    code = (
        "from xmc_jax.parallel import *\njoin_processes()\n"
        "import jax, numpy\nprint(jax.process_index(), count_processes(), add_up(numpy.ones(1)))"
    )
    names = {"SLURM_JOB_ID": "4242", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    children = []
    for i in range(2):
        monkeypatch.setenv("SLURM_PROCID", str(i))
        monkeypatch.setenv("SLURM_LOCALID", str(i))
        children.append(processes.start(code))
    assert processes.finish(*children) == ["0 2 [2.]", "1 2 [2.]"]
