"""Where an encoder is: a local folder, or a name on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from xmc_jax.errors import InputError

_FILES = [
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "1_Pooling/config.json",
]
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def find_folder(name: str, revision: str = "") -> Path:
    """Returns the local folder of an encoder, downloading it to the hub's cache if it is a name.

    Raises:
        InputError: neither a folder nor the name of a repository that can be had.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not name or not _NAME.fullmatch(name):
        raise InputError(
            f"encoder '{name}': no such folder; a folder with config.json and model.safetensors, or a name on "
            "the Hugging Face hub needed"
        )
    from huggingface_hub import snapshot_download  # slow to import, and not needed for folders

    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=_FILES))
    except Exception as e:  # network, rights, names: many kinds for one cause
        reason = " ".join(str(e).split())[:160]
        raise InputError(
            f"encoder '{name}': no such folder, and not to be had from the Hugging Face hub "
            f"({type(e).__name__}: {reason}); check the name or the network, or give a local folder"
        ) from None
