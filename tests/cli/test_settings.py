from __future__ import annotations

import argparse

import pytest

from xmc_jax.cli.options import Arguments
from xmc_jax.cli.settings import build_config, load_config
from xmc_jax.config import (
    LinearConfig,
    SearchConfig,
    TreeConfig,
    TuningConfig,
    XRTransformerConfig,
    XTransformerConfig,
)
from xmc_jax.errors import InputError

GOOD = """from xmc_jax.config import LinearConfig, TreeConfig

def get_config():
    return LinearConfig(tree=TreeConfig(branching=4))
"""


def arguments(config=None, model=None, overrides=()):
    return Arguments(argparse.Namespace(config=config, model=model), list(overrides))


def test_the_command_line_wins_over_the_file(tmp_path):
    file = tmp_path / "card.py"
    file.write_text(GOOD)
    config = build_config(arguments(str(file), "linear", [("--beam", "3")]))
    assert config == LinearConfig(tree=TreeConfig(branching=4), search=SearchConfig(beam=3))
    assert build_config(arguments()) == LinearConfig()


def test_models_go_by_their_names():
    config = build_config(arguments(model="xr-transformer", overrides=[("--steps", "40,20")]))
    assert config == XRTransformerConfig(tuning=TuningConfig(steps=(40, 20)))
    assert build_config(arguments(model="x-transformer")) == XTransformerConfig()
    with pytest.raises(InputError, match=r"--preliminary.branching or --tree.branching"):
        build_config(arguments(model="xr-transformer", overrides=[("--branching", "8")]))
    with pytest.raises(InputError, match="'--steps': this model has no such setting"):
        build_config(arguments(overrides=[("--steps", "40")]))


def test_models_that_do_not_exist_are_refused_by_name():
    with pytest.raises(InputError, match="did you mean 'linear'"):
        build_config(arguments(model="liner"))


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("def get_config(:\n", ":1: "),
        ("x = 1\n", ": defines no function get_config()"),
        ("get_config = 3\n", ": defines no function get_config()"),
        ("import nothing_of_this_name\n", ":1: ModuleNotFoundError"),
        ("def get_config():\n    return 1 / 0\n", ":2: ZeroDivisionError"),
        (
            "def get_config():\n    return 3\n",
            ": get_config() returned int, LinearConfig or XRTransformerConfig or",
        ),
        ("def get_config(x):\n    return x\n", ": TypeError"),
        (GOOD.replace("4", "1"), ":4: branching=1 given, 2 or more needed"),
        (GOOD.replace("branching", "branchin"), ":4: TypeError"),
    ],
)
def test_a_fault_in_the_file_is_one_line_with_its_place(tmp_path, source, place):
    file = tmp_path / "card.py"
    file.write_text(source)
    with pytest.raises(InputError) as error:
        load_config(file)
    assert str(error.value).startswith(f"{file}{place}")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"a\.json' given, a Python file"):
        load_config(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"a\.py' cannot be read: No such file"):
        load_config(tmp_path / "a.py")
    (tmp_path / "b.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"b\.py"):
        load_config(tmp_path / "b.py")
