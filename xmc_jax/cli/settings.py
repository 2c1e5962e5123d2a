"""The config of a run: a file of `configs/` or the defaults, then the fields set on the command line."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from xmc_jax.cli.options import Arguments, Parser, apply_overrides
from xmc_jax.config import CONFIGS, Config
from xmc_jax.errors import InputError, suggest
from xmc_jax.threads import bind_process

SECTIONS = (
    "",
    "data",
    "features",
    "encoder",
    "head",
    "preliminary",
    "tuning",
    "tree",
    "ranker",
    "search",
    "disentangle",
    "parallel",
    "calibrate",
    "rerank",
)
"""Every field of the config can be set where a model is made."""


def add_config_options(parser: Parser) -> None:
    parser.add_argument("--config", metavar="FILE.py", help="a file that defines get_config()")
    parser.add_argument(
        "--model", metavar="NAME", help=f"{', '.join(CONFIGS)} (linear, if not given)"
    )


def build_config(arguments: Arguments) -> Config:
    """Returns the config that a command line describes.

    Raises:
        InputError: an unknown model, a fault in the config file (with its line), a bad setting.
    """
    name = arguments.named.model
    if name is not None and name not in CONFIGS:
        raise InputError(f"option '--model {name}' given{suggest(name, CONFIGS)}")
    config = CONFIGS[name or "linear"]()
    if arguments.named.config is not None:
        config = load_config(arguments.named.config)
        if name not in (None, config.model):
            raise InputError(
                f"--model {name} given, but {arguments.named.config} is a config of model "
                f"'{config.model}'; give one of the two"
            )
    config = apply_overrides(config, arguments.overrides, SECTIONS)
    bind_process(config.threads)
    return config


def load_config(path: str | os.PathLike) -> Config:
    """Returns what `get_config()` of a Python file returns.

    Raises:
        InputError: no such file, or whatever goes wrong in it, with its line.
    """
    path = Path(path)
    if path.suffix != ".py":
        raise InputError(f"config '{path}' given, a Python file that defines get_config() needed")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"config '{path}' cannot be read: {error.strerror}") from None
    scope = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec"), scope)
        get_config = scope.get("get_config")
        if not callable(get_config):
            raise InputError(f"{path}: defines no function get_config(); it must return the config")
        config = get_config()
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno or 1}: {error.msg}; valid Python needed") from None
    except InputError as error:
        raise InputError(_place(error, path, str(error))) from None
    except Exception as error:
        raise InputError(_place(error, path, f"{type(error).__name__}: {error}")) from None
    if not isinstance(config, tuple(CONFIGS.values())):
        known = " or ".join(t.__name__ for t in CONFIGS.values())
        raise InputError(f"{path}: get_config() returned {type(config).__name__}, {known} needed")
    return config


def _place(error: Exception, path: Path, message: str) -> str:
    """Returns the message behind the last line of the file that the error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    if not lines:
        return message if message.startswith(str(path)) else f"{path}: {message}"
    return f"{path}:{lines[-1]}: {message}"
