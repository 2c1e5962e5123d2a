"""What README shows is true: its commands parse, its Python runs and prints what stands there."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from xmc_jax.cli.main import COMMANDS
from xmc_jax.cli.settings import build_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMAND_LINES = [
    line for _, block in BLOCKS for line in block.splitlines() if line.startswith("xmc ")
]


def test_the_first_block_comes_early_and_is_install_and_tests():
    assert README[: README.index("```")].count("\n") < 40
    first = BLOCKS[0][1].splitlines()
    assert [line.partition("#")[0].strip() for line in first] == [
        "pip install -e . && xmc demo",
        'pip install -e ".[test]" && pytest',
    ]


def test_links_and_named_files_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    for target in ("tests/test_floors.py", ".ci/run", "xmc_jax/data/wordnet/NOTICE"):
        assert target in README and (ROOT / target).exists()


def test_the_map_names_every_room():
    package = ROOT / "xmc_jax"
    rooms = [p.name + "/" for p in package.iterdir() if p.is_dir() and p.name[0] not in "._"]
    files = [p.name for p in package.glob("[a-z]*.py")]
    the_map = next(block for _, block in BLOCKS if "checkpoint/" in block)
    assert [name for name in rooms + files if name not in the_map] == []


def test_every_command_is_shown():
    shown = {line.split()[1] for line in COMMAND_LINES} | {"demo"}
    assert shown == set(COMMANDS)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines_parse(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("wordnet", "wordnet-xr", "twice"):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "config.json").write_text("{}")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    _, name, *words = shlex.split(line)
    command = importlib.import_module(f"xmc_jax.cli.{name}")
    arguments = command.parse(words)
    if name in ("train", "plan"):
        build_config(arguments)


@pytest.mark.slow
def test_the_python_runs_and_prints_what_is_shown(tmp_path):
    at = next(i for i, (kind, _) in enumerate(BLOCKS) if kind == "python")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS[at][1]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    # Scores may move in the last digit that is shown when the arithmetic of a machine differs.
    number = re.compile(r"\d+\.\d+")
    shown, printed = BLOCKS[at + 1][1], done.stdout
    assert number.sub("#", printed) == number.sub("#", shown)
    assert [float(n) for n in number.findall(printed)] == pytest.approx(
        [float(n) for n in number.findall(shown)], abs=0.3
    )
