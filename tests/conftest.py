"""JAX as the tests want it: strict, on the CPU, with a compilation cache that outlives the run.

Set through the environment, before jax is imported, so that processes that tests start have it too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmc_jax" / "tests"

os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
if not os.environ.get("XMC_TEST_GPU"):
    os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests read no hub; a test of the hub's loader says otherwise itself.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_configure() -> None:
    """A plugin may have imported jax before this file: then the environment came too late."""
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if "JAX_PLATFORMS" in os.environ:
        jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])


@pytest.fixture(scope="module", autouse=True)
def free_programs() -> Iterator[None]:
    """Lets go of a file's compiled programs: thousands of them use up the memory maps that a process may have."""
    import jax

    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory) -> Path:
    """Returns the folder of a random BERT of 2 layers and H = 32, whose words are those of `make_corpus`."""
    import json

    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    from xmc_jax.data.synthetic import make_corpus

    corpus = make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)
    words = sorted({word for text in corpus.train_texts for word in text.split()})
    words = ["[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]", *words]
    recorded = Path(__file__).parent / "encoder" / "recorded" / "bert.npz"
    with np.load(recorded) as arrays:
        config = json.loads(str(arrays["config"])) | {"vocab_size": len(words)}
        shapes = json.loads(str(arrays["shapes"]))
    name = next(n for n in shapes if n.endswith("word_embeddings.weight"))
    shapes[name] = [len(words), shapes[name][1]]
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("bias"):
            tensors[name] = np.zeros(shape, np.float32)
        elif "LayerNorm" in name:
            tensors[name] = np.ones(shape, np.float32)
        else:
            tensors[name] = 0.15 * rng.standard_normal(shape, dtype=np.float32)
    folder = tmp_path_factory.mktemp("tiny-encoder")
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, str(folder / "model.safetensors"))
    tool = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tool.pre_tokenizer = pre_tokenizers.Whitespace()
    tool.save(str(folder / "tokenizer.json"))
    return folder
