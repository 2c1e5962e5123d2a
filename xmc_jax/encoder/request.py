"""The request of a sentence encoder's folder: modules, prompts, lengths. Each is honoured or refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xmc_jax.encoder.architecture import Architecture, Module, Settings
from xmc_jax.encoder.modules import CLASSES, read_module
from xmc_jax.errors import InputError, suggest, tell

_WRITER = "sentence_transformers."
_BODIES = {"Transformer": "", "StaticEmbedding": "static"}
"""Last part of the `type` of the first module → family that it implies; empty: `config.json` decides."""
_POOLINGS = {
    "cls_token": "cls",
    "cls": "cls",
    "max_tokens": "max",
    "max": "max",
    "mean_tokens": "mean",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean_tokens": "weightedmean",
    "weightedmean": "weightedmean",
    "lasttoken": "lasttoken",
}
"""Name in the older or newer form → a key of `pooling.POOLINGS`; if several apply, in this order."""
_READ = ("max_seq_length", "do_lower_case", "transformer_task", "module_output_name")
"""Ignored keys of `sentence_bert_config.json`."""
_LEFT = ("similarity_fn_name", "__version__", "model_type")
"""Ignored keys of `config_sentence_transformers.json`: labels do not need to know how two vectors are compared."""


@dataclass(frozen=True)
class Request:
    """What a folder specifies besides architecture and weights.

    Attributes:
        body: the folder of `config.json`, weights and tokenizer.
        family: the family implied by the modules; empty: `config.json` decides.
        pooling: as in `Architecture`; empty: the family's own.
        modules: (kind, folder) of each step after the pooling.
        max_length: the number of tokens per text; 0: not specified.
        lower: whether texts are lower-cased before tokenization.
        prompts: name → text placed before a document.
        prompt_name: the name of the one placed before every text; empty: none.
        pools_prompt: whether the prompt's tokens are included in the pooling.
    """

    body: Path
    family: str = ""
    pooling: str = ""
    modules: tuple[tuple[str, Path], ...] = ()
    max_length: int = 0
    lower: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    prompt_name: str = ""
    pools_prompt: bool = True

    def find_prompt(self, wanted: str) -> str:
        """Returns the text to place before each document, for `auto`, `none`, a prompt's name or a prompt's text."""
        if wanted == "auto":
            return self.prompts.get(self.prompt_name, "")
        if wanted == "none":
            return ""
        return self.prompts.get(wanted, wanted)


def read_request(folder: Path, pooling: str = "auto") -> Request:
    """Reads `modules.json` and the files beside it; from a folder without one, only the pooling if there is one.

    If the settings choose a `pooling`, the folder's is not read, so it may be one that is not implemented.

    Raises:
        InputError: a file is damaged, or specifies something that is not implemented; names it.
    """
    listed = read_values(folder / "modules.json", list)
    if listed is None:
        asked, pools_prompt = _read_pooling(folder / "1_Pooling" / "config.json", pooling, "")
        return Request(folder, pooling=asked, pools_prompt=pools_prompt)
    steps = [_read_step(folder, step) for step in listed]
    if not steps or steps[0][0] not in _BODIES:
        first = steps[0][0] if steps else "nothing"
        raise InputError(
            f"{folder / 'modules.json'}: begins with {first}, {' or '.join(_BODIES)} needed; choose another encoder"
        )
    family, body, rest = _BODIES[steps[0][0]], steps[0][1], steps[1:]
    asked, pools_prompt = "mean", True
    if not family:
        if not rest or rest[0][0] != "Pooling":
            after = rest[0][0] if rest else "nothing"
            raise InputError(
                f"{folder / 'modules.json'}: {after} follows the Transformer, a Pooling needed; choose another encoder"
            )
        asked, pools_prompt = _read_pooling(rest[0][1] / "config.json", pooling)
        rest = rest[1:]
    kinds = [(_find_kind(name, folder), path) for name, path in rest]
    length, lower = _read_lengths(body)
    prompts, name = _read_prompts(folder / "config_sentence_transformers.json")
    modules = tuple((kind, path) for kind, path in kinds if kind is not None)
    return Request(body, family, asked, modules, length, lower, prompts, name, pools_prompt)


def read_modules(request: Request, architecture: Architecture) -> tuple[Module, ...]:
    """Returns the steps after the pooling, each with the columns that the previous one outputs."""
    columns, modules = architecture.width, []
    for kind, path in request.modules:
        file = path / "config.json"
        values = read_values(file, dict) or {}
        modules.append(read_module(kind, Settings(values, str(file)), columns, str(path)))
        columns = modules[-1].size
    return tuple(modules)


def read_values(path: Path, kind: type) -> Any:
    """Returns the JSON value of a file if it has the given type; None if there is no such file.

    Raises:
        InputError: it cannot be read, or is of another type.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as e:
        raise InputError(f"{path}: cannot be read as JSON ({e}); download the encoder again") from e
    if not isinstance(values, kind):
        raise InputError(
            f"{path}: a {type(values).__name__} given, a {kind.__name__} needed; download the encoder again"
        )
    return values


def _read_step(folder: Path, step: Any) -> tuple[str, Path]:
    """Returns the last part of a module's class, and its folder."""
    try:
        kind, path = str(step["type"]), str(step["path"])
    except (TypeError, KeyError) as e:
        raise InputError(
            f"{folder / 'modules.json'}: a module without {e}; download the encoder again"
        ) from e
    if not kind.startswith(_WRITER):
        raise InputError(
            f"{folder / 'modules.json'}: module '{kind}' is the encoder's own code, which is not run; choose "
            "another encoder"
        )
    return kind.rsplit(".", 1)[-1], folder / path


def _find_kind(name: str, folder: Path) -> str | None:
    if name not in CLASSES:
        raise InputError(
            f"{folder / 'modules.json'}: module {name} after the pooling is not supported{suggest(name, CLASSES)}"
        )
    return CLASSES[name]


def _read_pooling(path: Path, ours: str, missing: str | None = None) -> tuple[str, bool]:
    """Returns the pooling that a file specifies, and whether it includes the prompt."""
    values = read_values(path, dict)
    if values is None:
        if missing is not None:
            return missing, True
        raise InputError(f"{path}: missing; modules.json names it: download the encoder again")
    asked = Settings(values, str(path)).get("pooling_mode", (str, list), None)  # the newer form
    wanted = [asked] if isinstance(asked, str) else list(asked or [])
    if not wanted:
        flags = {n.removeprefix("pooling_mode_") for n, v in values.items() if v is True}
        wanted = [n for n in _POOLINGS if n in flags]
        wanted += [n for n in sorted(flags) if f"pooling_mode_{n}" in values and n not in wanted]
    pools_prompt = Settings(values, str(path)).flag("include_prompt", True)
    if ours != "auto":
        return "", pools_prompt
    unknown = [str(name) for name in wanted if str(name) not in _POOLINGS]
    if unknown or not wanted:
        raise InputError(
            f"{path}: pooling by {' and '.join(unknown) or 'nothing'} is not supported; set encoder.pooling"
        )
    return "+".join(_POOLINGS[name] for name in wanted), pools_prompt


def _read_lengths(body: Path) -> tuple[int, bool]:
    """Returns the number of tokens per text and whether texts are lower-cased, from `sentence_bert_config.json` or
    similar."""
    found = sorted(body.glob("sentence_*_config.json"))
    if not found:
        return 0, False
    settings = Settings(read_values(found[0], dict), str(found[0]))
    settings.require("transformer_task", "feature-extraction")
    settings.require("module_output_name", "token_embeddings")
    unknown = sorted(n for n, v in settings.values.items() if v and n not in _READ)
    if unknown:
        tell(f"{found[0]}: {', '.join(unknown)} not known here and ignored")
    length = settings.values.get("max_seq_length")
    return (
        0 if length is None else settings.count("max_seq_length"),
        settings.flag("do_lower_case", False),
    )


def _read_prompts(path: Path) -> tuple[dict[str, str], str]:
    """Returns the prompts by name, and the name of the default prompt (empty: none)."""
    values = read_values(path, dict) or {}
    settings = Settings(values, str(path))
    known = settings.get("prompts", dict, {})
    prompts = {str(n): str(t) for n, t in known.items() if t}
    name = settings.get("default_prompt_name", str, "")
    if name and name not in known:
        raise InputError(
            f"{path}: default_prompt_name={name!r} is not among its prompts{suggest(name, known)}"
        )
    unknown = sorted(values.keys() - {"prompts", "default_prompt_name", *_LEFT})
    if unknown:
        tell(f"{path}: {', '.join(unknown)} not known here and ignored")
    return prompts, name
