"""Small encoders on disk: the recorded configs, weights by rule, a tokenizer of single words."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

HERE = Path(__file__).parent


def load_rules():
    """Imports the recording script, whose rules make weights and batches; it imports no torch by itself."""
    spec = importlib.util.spec_from_file_location("record", HERE / "record.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RULES = load_rules()


word, make_tokenizer = RULES.word, RULES.make_tokenizer


@pytest.fixture
def recorded() -> Callable[[str], dict[str, np.ndarray]]:
    """Returns what transformers gave for a case."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(HERE / "recorded" / f"{name}.npz") as arrays:
            return dict(arrays)

    return load


@pytest.fixture
def rules():
    return RULES


@pytest.fixture
def make_folder(tmp_path: Path, recorded) -> Callable[..., Path]:
    """Writes an encoder's folder; `prefix` goes before the names of tensors, `edit` may change tensors."""

    def make(name: str, prefix: str = "", edit: Callable[[dict], None] | None = None) -> Path:
        case = recorded(name)
        config, shapes = json.loads(str(case["config"])), json.loads(str(case["shapes"]))
        folder = tmp_path / f"{name}-{prefix}"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        tensors = {prefix + k: RULES.make_tensor(k, tuple(s)) for k, s in shapes.items()}
        if edit is not None:
            edit(tensors)
        save_file(tensors, str(folder / "model.safetensors"))
        make_tokenizer(config["model_type"], config["vocab_size"]).save(
            str(folder / "tokenizer.json")
        )
        return folder

    return make
