"""The commands of configs/DATA.md and configs/pods.md are commands, and their Python runs."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from xmc_jax.cli.settings import build_config

PAGE = (Path(__file__).parents[2] / "configs" / "DATA.md").read_text(encoding="utf-8")
PODS = (Path(__file__).parents[2] / "configs" / "pods.md").read_text(encoding="utf-8")
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


def list_pod_commands() -> list[str]:
    found = re.findall(r"(xmc (?:train|plan) [^`\"\n]*)", PODS.replace("\n--target", " --target"))
    return [line.split(" (")[0] for line in found]


@pytest.mark.parametrize("line", list_pod_commands())
def test_commands_of_pods_parse(line):
    _, name, *words = shlex.split(line)
    config = build_config(importlib.import_module(f"xmc_jax.cli.{name}").parse(words))
    assert config.parallel.holds == ("share" if "--holds" in words else "all")


def test_the_page_on_pods_shows_commands_of_every_kind():
    assert len(list_pod_commands()) >= 7


def test_figures_of_pods_are_those_of_the_plan(capsys):
    [block] = re.findall(r"```python\n(.*?)```", PODS, re.DOTALL)
    exec(compile(block, "pods.md", "exec"), {})
    assert f"```\n{capsys.readouterr().out}```" in PODS


@pytest.mark.slow
def test_the_rehearsal_of_a_pod_runs_as_printed(processes, tmp_path):
    lines = [line for line in re.findall(r"JAX_PLATFORMS=cpu xmc (train .*)", PODS)]
    assert len(lines) == 2
    address = processes.find_address()
    children = []
    for line in lines:
        words = shlex.split(line.replace("localhost:9876", address))
        words[words.index("--workdir") + 1] = str(tmp_path / "pod")
        code = "import sys; from xmc_jax.cli.main import main; sys.exit(main(sys.argv[1:]))"
        children.append(processes.start(code, *words, "--ngram_max", "1"))
    processes.finish(*children, timeout=900)
    assert (tmp_path / "pod" / "meta.json").exists()
