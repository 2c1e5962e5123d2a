"""Every card in `configs/` loads, is valid, and says how it is run."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from xmc_jax.cli.settings import load_config
from xmc_jax.config import CONFIGS, from_dict, to_dict

FOLDER = Path(__file__).parents[1] / "configs"
CARDS = sorted(FOLDER.glob("*.py"))


def test_the_public_benchmarks_have_cards():
    public = {"eurlex_4k", "wiki10_31k", "amazoncat_13k", "wiki_500k", "amazon_670k", "amazon_3m"}
    assert public <= {card.stem for card in CARDS}


@pytest.mark.parametrize("card", CARDS, ids=lambda p: p.stem)
def test_card(card: Path):
    config = load_config(card)
    assert isinstance(config, tuple(CONFIGS.values()))
    written = json.loads(json.dumps(to_dict(config)))
    assert from_dict(type(config), written) == config

    text = ast.get_docstring(ast.parse(card.read_text(encoding="utf-8")))
    assert text
    for part in ("Command:", "Hardware:", "Time:", "Expected:"):
        assert part in text
    assert f"--workdir runs/{card.stem}" in text
    assert f"--config configs/{card.name}" in text
