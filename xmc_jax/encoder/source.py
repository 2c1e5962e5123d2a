"""Where an encoder is: a local folder, or a name on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from xmc_jax.errors import InputError, tell

_FILES = [
    *("config.json", "*/config.json", "model*.safetensors", "*/model*.safetensors"),
    *("model.safetensors.index.json", "adapter_config.json", "modules.json"),
    *("config_sentence_transformers.json", "sentence_*_config.json", "*/sentence_*_config.json"),
    *("tokenizer.json", "*/tokenizer.json", "tokenizer_config.json", "*/tokenizer_config.json"),
    *("added_tokens.json", "vocab.txt", "*/vocab.txt", "vocab.json", "merges.txt"),
]
_OTHERS = ["onnx/*", "openvino/*", "*.bin", "*.h5"]
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def find_folder(name: str, revision: str | None = None) -> Path:
    """Returns the local folder of an encoder, downloading it to the hub's cache if it is a name.

    Raises:
        InputError: it is neither a folder nor the name of an available repository.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        _tell_taken(name, folder, revision)
        return folder
    if not name or not _NAME.fullmatch(name):
        raise InputError(
            f"encoder '{name}': no such folder; a folder with config.json and model.safetensors, or a name on "
            "the Hugging Face hub needed"
        )
    from huggingface_hub import snapshot_download  # slow to import, and not needed for folders

    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=_FILES, ignore_patterns=_OTHERS
            )
        )
    except Exception as e:  # network, rights, names: many types for one cause
        reason = " ".join(str(e).split())[:160]
        raise InputError(
            f"encoder '{name}': no such folder, and not available from the Hugging Face hub "
            f"({type(e).__name__}: {reason}); check the name or the network, or give a local folder"
        ) from None


def _tell_taken(name: str, folder: Path, revision: str | None) -> None:
    """Reports that a folder was taken where the hub could be meant."""
    if _NAME.fullmatch(name):
        tell(
            f"encoder '{name}': the folder {folder.resolve()} is used, not the hub; write ./{name} to say so"
        )
    if revision:
        tell(
            f"encoder '{name}': a folder has no revisions, so encoder.revision={revision} is ignored"
        )
