"""Every card in `configs/` loads, is valid, and says how it is run."""

from __future__ import annotations

import ast
import json
import re
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


def expected(card: Path) -> str:
    text = ast.get_docstring(ast.parse(card.read_text(encoding="utf-8")))
    return " ".join(text.partition("Expected:")[2].partition("\n\n")[0].split())


def find_scores(row: object) -> list[dict]:
    """Returns every dictionary within that has scores."""
    if not isinstance(row, dict):
        return []
    return ([row] if "P@1" in row else []) + [s for v in row.values() for s in find_scores(v)]


@pytest.mark.parametrize("card", CARDS, ids=lambda p: p.stem)
def test_expected_scores_are_those_of_the_results(card: Path):
    """Scores that were measured here are those of the file that the card cites, of its data set and all in one row."""
    text = expected(card)
    cited = re.findall(r"benchmarks/results/\S+?\.jsonl", text)
    if not cited:
        assert text.startswith("not run here")
        return
    files = [(FOLDER.parent / path).read_text(encoding="utf-8") for path in cited]
    rows = [json.loads(line) for lines in files for line in lines.splitlines()]
    data = re.search(r"--data \S*?([a-z0-9_]+)\s", card.read_text(encoding="utf-8"))[1]
    known = [s for row in rows if row.get("data", data).endswith(data) for s in find_scores(row)]
    # What a card says of one model stands between two mentions of P@1/3/5.
    for part in re.split(r"(?=\bP@1/3/5)", text)[1:]:
        shown = {
            f"{name}@{k}": value
            for name, values in re.findall(
                r"\b(PSP|P)@1/3/5 (\d+\.\d+ / \d+\.\d+ / \d+\.\d+)", part
            )
            for k, value in zip((1, 3, 5), values.split(" / "), strict=True)
        } | dict(re.findall(r"(R@10) (\d+\.\d+)", part))
        same = [s for s in known if all(f"{s.get(n, -1):.2f}" == v for n, v in shown.items())]
        assert shown and same, f"{cited} have no row of {data} with {shown}"
