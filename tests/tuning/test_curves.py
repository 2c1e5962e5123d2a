"""The picture of a fine-tuning, and what is said where it cannot be drawn or a schedule cannot be meant."""

from __future__ import annotations

import importlib.util
import json

import pytest
from matplotlib.figure import Figure

from xmc_jax.errors import Note
from xmc_jax.tuning.curves import draw_curves
from xmc_jax.tuning.optimizer import tell_long_warmup


@pytest.fixture
def run(tmp_path):
    """A log of four levels, of which the second held documents out, with the lines of other stages between."""
    lines = [{"stage": "level", "level": 0, "seconds": 1.0}]
    for level in range(4):
        lines += [
            {"stage": "tuning", "level": level, "step": s, "loss": 0.7 / (s * 10**level), "rate": 1}
            for s in (10, 20)
        ]
    scores = {"P@1": 60.0, "P@3": 30.0, "best_score": 45.0, "best_step": 10}
    lines.append({"stage": "tuning", "level": 1, "step": 10, **scores})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_a_panel_per_level_with_a_logarithmic_loss_and_the_scores(run, monkeypatch):
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))
    )
    assert draw_curves(run) == run / "curves.png"
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    axes = [a for a in drawn[0].axes if a.axison]
    assert [a.get_title() for a in axes if a.get_title()] == [f"level {i}" for i in range(4)]
    losses, scores = axes[:4], axes[4:]
    assert {a.get_yscale() for a in losses} == {"log"} and losses[0].get_ylabel().startswith("loss")
    assert list(losses[3].lines[0].get_ydata()) == pytest.approx([7e-5, 3.5e-5])
    assert [[line.get_label() for line in a.lines] for a in scores] == [["P@1", "P@3"]]


def test_without_matplotlib_a_line_says_how_to_get_it(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.warns(Note, match=r"not drawn, because matplotlib .* pip install .*\[plot\]"):
        assert draw_curves(run) is None
    assert not (run / "curves.png").exists()


def test_a_run_without_fine_tuning_has_no_picture(tmp_path):
    assert draw_curves(tmp_path) is None


@pytest.mark.parametrize(("warmup", "steps"), [(5, 5), (0, 5), (5, 0)])
def test_a_warm_up_that_fits_says_nothing(warmup, steps):
    tell_long_warmup(warmup, steps)


def test_a_warm_up_longer_than_the_updates_is_told():
    with pytest.warns(Note, match=r"warmup=100 given on level 2, longer than its 30 .*warmup 3 "):
        tell_long_warmup(100, 30, " on level 2")
