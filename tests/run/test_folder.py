"""A run's folder: what is written once, and what tells one run from another."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import LinearConfig, ParallelConfig, SearchConfig, to_dict
from xmc_jax.errors import InputError
from xmc_jax.run.folder import append_metrics, fingerprint, open_run, write_names
from xmc_jax.types import Features


def test_label_names_are_written_once_and_not_replaced_by_others(tmp_path):
    write_names(tmp_path, ["a", "b"])
    write_names(tmp_path, ["a", "b"])
    with pytest.raises(InputError, match="other names"):
        write_names(tmp_path, ["a", "c"])
    assert (tmp_path / "labels.txt").read_text() == "a\nb\n"


def test_metrics_hold_a_line_once_and_survive_half_a_line(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"stage": "lev')
    for _ in range(2):
        append_metrics(tmp_path, {"stage": "validation", "P@1": 50.0})
    first, second = file.read_text().splitlines()
    assert first == '{"stage": "lev' and json.loads(second)["P@1"] == 50.0


def test_fingerprint_tells_any_number_apart():
    labels = sp.csr_matrix(np.eye(3, dtype=np.float32))
    dense = np.arange(6, dtype=np.float32).reshape(3, 2)
    none = sp.csr_matrix((3, 0), dtype=np.float32)
    one = fingerprint(None, Features(none, dense), labels)
    assert one == fingerprint(None, Features(none, np.asfortranarray(dense)), labels)
    dense[2, 1] = 7
    assert one["digest"] != fingerprint(None, Features(none, dense), labels)["digest"]


def test_a_folder_whose_config_is_damaged_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="not a run of this version"):
        open_run(tmp_path, {}, {})


def test_a_run_goes_on_on_other_devices_but_not_with_another_beam(tmp_path):
    data = {"documents": 3, "digest": "x"}
    config = to_dict(LinearConfig())
    assert not open_run(tmp_path, config, data)
    other = to_dict(LinearConfig(parallel=ParallelConfig(data=2, label=4)))
    assert not open_run(tmp_path, other, data)
    del other["parallel"]  # as runs of earlier versions were written
    assert not open_run(tmp_path, other, data)
    with pytest.raises(InputError, match=r"search\.beam: 'auto' -> 11"):
        open_run(tmp_path, to_dict(LinearConfig(search=SearchConfig(beam=11))), data)
