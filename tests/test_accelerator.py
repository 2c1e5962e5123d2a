"""The command that fills the results of an accelerator, rehearsed on a CPU with tiny shapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[1] / "benchmarks" / "accelerator.py"


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_rehearsal_fills_a_folder(tmp_path):
    command = [sys.executable, str(COMMAND), "--small", "--out", str(tmp_path / "here")]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run(command, check=True, env=environment, timeout=1200)
    rows = read(tmp_path / "here" / "agreement.jsonl")
    assert {"solver primal", "search", "fine-tuning", "k-means"} <= {r["program"] for r in rows}
    assert all(row["agrees"] for row in rows)
    tuning = read(tmp_path / "here" / "tuning.jsonl")
    assert all(row["update_s"] > 0 for row in tuning)


def test_what_differs_is_told(tmp_path, monkeypatch):
    import argparse

    import numpy as np

    monkeypatch.syspath_prepend(str(COMMAND.parent))
    import accelerator

    monkeypatch.setattr(accelerator, "run_child", lambda *given, **environment: [])
    np.savez(
        tmp_path / "cpu.npz", same=np.ones(9), off=np.ones(9), ids=np.arange(9), gone=np.ones(2)
    )
    np.savez(
        tmp_path / "device.npz", same=np.ones(9) + 1e-6, off=np.ones(9) + 0.1, ids=np.zeros(9, int)
    )
    accelerator.compare_devices(argparse.Namespace(), tmp_path, "card", tmp_path, 0.0)
    rows = read(tmp_path / "agreement.jsonl")
    assert {r["program"]: r["agrees"] for r in rows} == {
        "same": True, "off": False, "ids": False, "gone": False,
    }  # fmt: skip
