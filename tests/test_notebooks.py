"""Every notebook runs from top to bottom, on few documents."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "colab").glob("*.ipynb"))
pytestmark = pytest.mark.usefixtures("optimized")
SLOW = ("02_disentangle", "03_xr_transformer", "04_answers", "05_prototypes")


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] if p.stem in SLOW else []) for p in NOTEBOOKS],
    ids=lambda p: p.stem,
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    small = [c for c in notebook.cells if "DOCUMENTS = None" in c.source]
    assert small, "a notebook says in one cell on how many documents it trains"
    for cell in small:
        cell.source = cell.source.replace("DOCUMENTS = None", "DOCUMENTS = 4000")
    limit = 1200 if path.stem in SLOW else 240
    NotebookClient(notebook, timeout=limit, kernel_name="python3").execute(cwd=str(tmp_path))
    printed = "".join(
        out.get("text", "") for c in notebook.cells if c.cell_type == "code" for out in c.outputs
    )
    assert "P@1" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_stored_with_the_outputs_of_one_run(path):
    notebook = nbformat.read(path, as_version=4)
    assert "colab-badge" in notebook.cells[0].source
    code = [c for c in notebook.cells if c.cell_type == "code"]
    outputs = [out for c in code for out in c.outputs]
    if not outputs:
        pytest.skip("not run yet: python colab/execute.py")
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert not [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]
    assert any("P@1" in out.get("text", "") for out in outputs)
