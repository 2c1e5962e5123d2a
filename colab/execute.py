"""Runs the notebooks from top to bottom on their whole data and stores what they print.

python colab/execute.py [01_quickstart ...]
"""

from __future__ import annotations

import sys
import sysconfig
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=None, kernel_name="python3")
        client.execute(cwd=folder)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # When cells ran, and the chatter of libraries, are no part of what a notebook shows.
            cell.metadata.pop("execution", None)
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    # Where packages lie on this machine is nobody's business.
    text = nbformat.writes(notebook).replace(sysconfig.get_path("purelib") + "/", "")
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]:
        execute(FOLDER / f"{name}.ipynb")
