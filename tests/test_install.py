"""An installed package is whole, and is found from any folder, also from the one that holds the clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))


def run(*command: object, cwd: Path, **env: str) -> str:
    """Returns what a program prints; the tree under test is not on its path."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=kept | env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, folder: Path) -> zipfile.ZipFile:
    code = f"from hatchling.build import build_{kind} as b; import sys; print(b(sys.argv[1]))"
    name = run(sys.executable, "-c", code, folder, cwd=ROOT).split()[-1]
    return zipfile.ZipFile(folder / name)


def test_the_wheel_holds_every_file_of_the_package(tmp_path):
    package = ROOT / "xmc_jax"
    files = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    named = set(build("wheel", tmp_path).namelist())
    assert {p.relative_to(ROOT).as_posix() for p in files} <= named
    for data in ("py.typed", "data/wordnet/NOTICE", "data/wordnet/train.jsonl.gz"):
        assert f"xmc_jax/{data}" in named


def test_an_editable_install_is_a_path(tmp_path):
    """A namespace package, the clone's folder, comes before an import hook but after a path."""
    wheel = build("editable", tmp_path)
    (line,) = [wheel.read(n).decode() for n in wheel.namelist() if n.endswith(".pth")]
    assert Path(line.strip()) == ROOT
    assert not [n for n in wheel.namelist() if n.endswith(".py")]


def test_the_source_archive_names_files_that_are_there():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert all(list(ROOT.glob(pattern.lstrip("/"))) for pattern in named)


@pytest.fixture
def parent(tmp_path) -> Path:
    """Returns a folder that holds a clone `xmc_jax` and a fresh environment `venv` with the libraries alone."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in names.splitlines():
        if (ROOT / name).exists():
            target = tmp_path / "xmc_jax" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    # The libraries of this environment; no .pth file in it is read, so no other install of ours is seen.
    (Path(own.strip()) / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return tmp_path


PIP = ("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation")
WHERE = "import xmc_jax, xmc_jax.data; print(xmc_jax.__file__, xmc_jax.XRLinear.__name__)"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-e",), ()], ids=["editable", "copied"])
def test_it_is_found_from_the_folder_that_holds_the_clone(parent, flags):
    python = parent / "venv/bin/python"
    run(python, *PIP, *flags, "./xmc_jax", cwd=parent)
    (parent / "script.py").write_text(WHERE)
    for command in ((python, "-c", WHERE), (python, "script.py")):
        where, name = run(*command, cwd=parent).split()
        place = parent / "xmc_jax" if flags else parent / "venv"
        assert Path(where).is_relative_to(place) and name == "XRLinear"
    for command in ((python, "-m", "xmc_jax"), (parent / "venv/bin/xmc",)):
        assert "train" in run(*command, "--help", cwd=parent)


@pytest.mark.slow
def test_the_first_cell_of_a_notebook_installs_into_the_running_kernel(parent):
    """As in Colab: the kernel runs in the folder that holds the clone, nothing is installed."""
    python = parent / "venv/bin/python"
    cells = [
        next(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
        for path in NOTEBOOKS
    ]
    code = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import importlib.util
assert importlib.util.find_spec("xmc_jax").origin is None  # the clone's folder
for cell in {json.dumps(cells)}:
    shell.run_cell(cell).raise_error()
shell.run_cell({WHERE!r}).raise_error()
"""
    flags = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # pip reads 0 as "no isolation"
    where, name = run(python, "-c", code, cwd=parent, **flags).split()[-2:]
    assert Path(where).is_relative_to(parent / "venv") and name == "XRLinear"
