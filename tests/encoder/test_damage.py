"""Whatever stands in the JSON files of an encoder's folder: it is read, or refused in one line."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import load_encoder
from xmc_jax.errors import InputError

WRONG = (None, -1, 2.5, "zzz", [], {}, [1], {"a": 1}, True, ["a"], 10**30, "")
OPTIONS = {
    "do_lower_case": True,
    "added_tokens_decoder": {"1": {"content": "[UNK]"}},
    "truncation_side": "right",
    "tokenizer_class": "BertTokenizer",
}


def list_places(value: Any, at: tuple = ()) -> Iterator[tuple]:
    yield at
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield from list_places(value[key], (*at, key))


def put(value: Any, at: tuple, new: Any) -> Any:
    if not at:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = new
    return value


def damage(folder: Path) -> Iterator[None]:
    """Puts each wrong value in each place of each file, and cuts each file."""
    for file in sorted(folder.rglob("*.json")):
        text = file.read_text()
        if file.name == "tokenizer.json":
            continue
        values = json.loads(text)
        for at in list_places(values):
            for new in WRONG:
                file.write_text(json.dumps(put(values, at, new)))
                yield
        for n in (0, 5, len(text) // 2):
            file.write_text(text[:n])
            yield
        file.write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["prompt", "dense", "poolings", "static", "deberta_v3", "modernbert_bias", "xlnet"]
)
def test_every_value_is_read_or_refused(kind, tmp_path, rules):
    if kind == "static":
        rules.write_static(tmp_path)
    elif kind in rules.SENTENCES:
        rules.write_sentence_encoder(tmp_path, kind)
    else:
        rules.write_encoder(tmp_path, kind)
    options = tmp_path / "tokenizer_config.json"
    if not options.exists() and kind != "xlnet":
        options.write_text(json.dumps(OPTIONS))
    refused = 0
    for _ in damage(tmp_path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                load_encoder(EncoderConfig(str(tmp_path)))
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 20


def test_damage_reaches_every_place(tmp_path):
    (tmp_path / "config.json").write_text('{"a": {"b": [1]}}')
    assert sum(1 for _ in damage(tmp_path)) == 4 * len(WRONG) + 3
    assert json.loads((tmp_path / "config.json").read_text()) == {"a": {"b": [1]}}
