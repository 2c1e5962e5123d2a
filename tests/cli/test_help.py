"""`--help` lists every setting with its meaning, its default and what it may hold."""

from __future__ import annotations

from xmc_jax.cli.help import find_meanings, list_settings
from xmc_jax.cli.settings import SECTIONS
from xmc_jax.config.meanings import FIRST


def test_help_of_train_is_whole(xmc):
    done = xmc("help", "train")
    assert done.code == 0
    assert done.out == xmc("train", "--help").out
    text = " ".join(done.out.split())
    for name, meaning in find_meanings(SECTIONS).items():
        assert f"--{name} {meaning.default} " in text
        assert meaning.text in text
        assert f"[{meaning.choices}]" in text
    assert text.index(f"--{FIRST[0]} ") < text.index("--seed 0")
    assert max(map(len, done.out.splitlines())) <= 110


def test_help_lists_the_settings_of_the_command_alone():
    text = list_settings(("search.beam", "parallel"))
    assert "--search.beam auto" in text and "--parallel.label 1" in text
    assert "--search.top_k" not in text and "to try first" not in text


def test_summaries_are_not_cut(xmc):
    for command in ("describe", "train", "predict", "plan", "evaluate", "demo"):
        summary = xmc(command, "--help").out.split("\n\n")[1]
        assert summary.rstrip().endswith((".", ":")), summary
