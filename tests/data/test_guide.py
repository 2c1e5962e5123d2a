"""The commands of configs/DATA.md are commands, and its Python runs."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from xmc_jax.cli.settings import build_config

PAGE = (Path(__file__).parents[2] / "configs" / "DATA.md").read_text(encoding="utf-8")
COMMANDS = [line for line in re.findall(r"`(xmc [^`]*)`", PAGE) if "PATH" not in line]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line):
    _, name, *words = shlex.split(line)
    if name == "predict":  # its folder must be there
        assert {"--workdir", "--input", "--output"} <= set(words)
        return
    build_config(importlib.import_module(f"xmc_jax.cli.{name}").parse(words))


def test_the_example_runs(capsys):
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "DATA.md", "exec"), {})
    assert capsys.readouterr().out == "[['apple'], ['pear'], ['pear']]\n"
