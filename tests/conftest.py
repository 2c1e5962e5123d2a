"""JAX as the tests want it: strict, on the CPU, with a compilation cache that outlives the run.

Set through the environment, before jax is imported, so that processes that tests start have it too.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

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
# A lane that was started in the background ignores Ctrl-C, and so would the processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def check_shapes() -> None:
    """Checks the shapes and types of all arrays that the package's functions take and return, from its import on.

    An axis letter stands for one size within a call (jaxtyping). What is annotated without a shape is mypy's business,
    and constructors that are given arrays of users check them themselves: tests give wrong ones to both on purpose.
    """
    from beartype import beartype
    from jaxtyping import install_import_hook

    def check(function: Any) -> Any:
        hints = getattr(function, "__annotations__", {})
        shaped = {name: hint for name, hint in hints.items() if "jaxtyping." in str(hint)}
        if not shaped or function.__name__ == "__init__":
            return function
        function.__annotations__ = shaped
        return beartype(function)

    checker = ModuleType("xmc_jax_shapes")
    checker.check = check  # type: ignore[attr-defined]
    sys.modules[checker.__name__] = checker
    install_import_hook("xmc_jax", f"{checker.__name__}.check")


if os.environ.get("XMC_TEST_SHAPES"):
    check_shapes()


def pytest_configure(config: pytest.Config) -> None:
    """A plugin may have imported jax before this file: then the environment came too late.

    The default lane has programs translated to machine code without optimizing that: the same programs, compiled in
    less time, which is most of the lane's. Other lanes, and `JAX_DISABLE_MOST_OPTIMIZATIONS=0 pytest`, run what
    users run.
    """
    import jax

    is_quick = "not slow" in config.option.markexpr and not os.environ.get("XMC_TEST_GPU")
    said = os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", str(int(is_quick)))
    jax.config.update("jax_disable_most_optimizations", is_true(said))
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if "JAX_PLATFORMS" in os.environ:
        jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])


def is_true(said: str) -> bool:
    return said.lower() in ("1", "true")


@pytest.fixture(scope="module")
def optimized() -> Iterator[None]:
    """Compiles programs, here and in processes started meanwhile, as for users: bits were recorded, or work is long."""
    import jax

    name = "JAX_DISABLE_MOST_OPTIMIZATIONS"
    said, os.environ[name] = os.environ[name], "0"
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    os.environ[name] = said
    jax.config.update("jax_disable_most_optimizations", is_true(said))


@pytest.fixture(scope="module", autouse=True)
def free_programs() -> Iterator[None]:
    """Lets go of a file's compiled programs: thousands of them use up the memory maps that a process may have."""
    import jax

    yield
    jax.clear_caches()


class Processes:
    """Python processes of a test, on CPUs, with as many devices as it likes."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen] = []

    def start(
        self, code: str, *words: object, devices: int = 1, beside: Path | None = None
    ) -> subprocess.Popen:
        """Runs code in a process of its own, which may import the test files in the folder `beside`."""
        folders = [Path(__file__).parents[1], *([] if beside is None else [beside])]
        env = os.environ | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
        }
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", code, *map(str, words)]
        child = subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)
        self._children.append(child)
        return child

    def finish(self, *children: subprocess.Popen, timeout: float = 300) -> list[str]:
        """Returns the last line that each child prints (gloo speaks before it); none may fail."""
        try:
            said = []
            for child in children:
                out, errors = child.communicate(timeout=timeout)
                assert child.returncode == 0, errors[-2000:]
                said.append(out.splitlines()[-1] if out else "")
            return said
        finally:
            self.end(*children)

    def kill_at(self, sign: Path, *children: subprocess.Popen, timeout: float = 240) -> None:
        """Kills children, all of which are at work, as soon as a file is there: they clean nothing up."""
        deadline = time.monotonic() + timeout
        while not (was_there := sign.exists()) and time.monotonic() < deadline:
            if children[0].poll() is not None:
                break
            time.sleep(0.002)
        for child in children:
            child.send_signal(signal.SIGKILL)
        ended = [child.communicate()[1][-2000:] for child in children]
        assert was_there, f"{sign} was never there: {ended}"
        for child, errors in zip(children, ended, strict=True):
            assert child.returncode == -signal.SIGKILL, f"it ended before it was killed: {errors}"

    def find_address(self) -> str:
        """Returns a free `host:port` for the first of several processes."""
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            return f"localhost:{probe.getsockname()[1]}"

    def end(self, *children: subprocess.Popen) -> None:
        """Ends children, or all of them, that are still at work."""
        for child in children or self._children:
            if child.poll() is None:
                child.kill()
                child.communicate()


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Gives what starts processes; those that a test left behind end with the session."""
    made = Processes()
    yield made
    made.end()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Gives what makes a disk of so many kilobytes, enlarges it, or makes it read-only (`options`)."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk of its own needed, which root may mount")
    place = tmp_path / "disk"
    place.mkdir()

    def make(kilobytes: int, more: str = "") -> Path:
        options = f"{'remount,' * place.is_mount()}size={kilobytes}k{more}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False)
        if done.returncode:
            pytest.skip("this process may not mount a disk")
        return place

    yield make
    if place.is_mount():
        subprocess.run(["umount", place], check=True)


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
