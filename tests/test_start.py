"""What is imported when: libraries that take long are imported by those who use them, and by nobody else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "datasets",
    "flax",
    "huggingface_hub",
    "matplotlib",
    "optax",
    "orbax",
    "pandas",
    "pyarrow",
    "rich",
    "safetensors",
    "scipy.special",
    "scipy.stats",
    "sklearn",
    "tensorstore",
    "tokenizers",
    "torch",
    "transformers",
)
NUMBERS = ("jax", "numpy", "scipy")

FIT = """
from xmc_jax import XRLinear
texts = ["a red apple on a tree", "a blue car on a road"] * 6
model = XRLinear(features=dict(min_count=1)).fit(texts, [["apple"], ["car"]] * 6)
assert model.predict(texts[:1], top_k=1).names() == [["apple"]]
"""


def imported_by(code: str) -> set[str]:
    """Returns the modules that a fresh interpreter has after some lines."""
    lines = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import xmc_jax",
        "from xmc_jax.cli.main import main; main([])",
        "from xmc_jax.cli.main import main; main(['train', '--help'])",
        "from xmc_jax.cli.main import main; main(['train', '--branching', '7'])",
        "from xmc_jax.cli.main import main; main(['predict', '--help'])",
        "from xmc_jax.cli.main import main; main(['nonsense'])",
    ],
)
def test_help_and_errors_of_usage_wait_for_nothing(code):
    assert not imported_by(code) & {*HEAVY, *NUMBERS}


def test_the_doors_import_jax_and_no_more():
    modules = imported_by("import xmc_jax as xmc\nxmc.XRLinear, xmc.load, xmc.metrics, xmc.combine")
    assert "jax" in modules
    assert not modules & set(HEAVY)


def test_a_model_is_loaded_without_a_back_end(tmp_path):
    """So that a process may fork after it: there is no platform that could be started."""
    folder = str(tmp_path / "run")
    imported_by(f"{FIT}\nmodel.save({folder!r})")
    lines = "import os; os.environ['JAX_PLATFORMS'] = 'nowhere'\nimport xmc_jax as xmc"
    modules = imported_by(f"{lines}\nassert xmc.load({folder!r}).label_names == ['apple', 'car']")
    assert not modules & (set(HEAVY) - {"tensorstore"})  # which reads the arrays


def test_scikit_learn_is_not_needed():
    assert "sklearn" not in imported_by(FIT)
