"""Tokenizers of folders with a vocabulary but no tokenizer.json, as a table of what is built from which files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from xmc_jax.errors import InputError

_SLOW = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")
MEND = (
    """python -c "from transformers import AutoTokenizer; """
    """AutoTokenizer.from_pretrained('{0}').save_pretrained('{0}')\""""
)
"""Command that writes a tokenizer.json into a folder."""


def _build_wordpiece(folder: Path, options: dict[str, Any]) -> Tokenizer:
    """WordPiece with BERT's normalisation; `tokenizer_config.json` says whether case is kept."""
    path = folder / "vocab.txt"
    vocabulary = models.WordPiece.read_file(str(path))
    unknown = _name_token(options, "unk_token", "[UNK]")
    if unknown not in vocabulary:
        raise InputError(f"{path}: no {unknown}, a WordPiece vocabulary needed")
    tool = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tool.normalizer = normalizers.BertNormalizer(
        lowercase=options.get("do_lower_case", True),
        handle_chinese_chars=options.get("tokenize_chinese_chars", True),
        strip_accents=options.get("strip_accents"),
    )
    tool.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]", unknown):
        if name in vocabulary:
            tool.add_special_tokens([name])
    return tool


def _build_byte_pairs(folder: Path, options: dict[str, Any]) -> Tokenizer:
    """Byte pairs as RoBERTa reads them."""
    names = [str(folder / name) for name in ("vocab.json", "merges.txt")]
    try:
        tool = Tokenizer(models.BPE.from_file(*names))
    except Exception as e:  # the library raises bare Exception
        raise InputError(
            f"{folder}: vocab.json and merges.txt do not fit ({str(e)[:120]}); download the encoder again"
        ) from e
    tool.pre_tokenizer = pre_tokenizers.ByteLevel(options.get("add_prefix_space", False))
    for name in ("<s>", "<pad>", "</s>", "<unk>"):
        if tool.token_to_id(name) is not None:
            tool.add_special_tokens([name])
    if tool.token_to_id("<mask>") is not None:
        tool.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return tool


def _name_token(options: dict[str, Any], name: str, default: str) -> str:
    """Returns a special token, which may be written as text or with flags."""
    given = options.get(name) or default
    return given["content"] if isinstance(given, dict) else str(given)


_BUILDERS: tuple[
    tuple[tuple[str, ...], tuple[str, ...], Callable[[Path, dict[str, Any]], Tokenizer]], ...
] = (
    (("vocab.txt",), ("Bert", "DistilBert", "MPNet", "Electra"), _build_wordpiece),
    (("vocab.json", "merges.txt"), ("Roberta",), _build_byte_pairs),
)
"""Files of a vocabulary, the tokenizers that have them (the start of `tokenizer_class`), and the builder."""


def build_from_vocabulary(
    folder: Path, family: str, options: dict[str, Any]
) -> tuple[Path, Tokenizer]:
    """Returns the tokenizer of a folder without tokenizer.json, and the file that it was built from."""
    named = str(options.get("tokenizer_class") or f"{family}Tokenizer").lower()
    for files, kinds, build in _BUILDERS:
        is_theirs = named.removesuffix("fast").removesuffix("tokenizer") in map(str.lower, kinds)
        if is_theirs and all((folder / name).is_file() for name in files):
            return folder / files[0], build(folder, options)
    others = (*_SLOW, *(name for files, _, _ in _BUILDERS for name in files))
    slow = [name for name in others if (folder / name).exists()]
    kind = f" of {options['tokenizer_class']}" if options.get("tokenizer_class") else ""
    had = f"only {slow[0]}{kind}" if slow else "no tokenizer"
    raise InputError(f"{folder}: {had}, a tokenizer.json needed; make one: {MEND.format(folder)}")


def add_specials(tool: Tokenizer, template: str, path: Path) -> None:
    """Puts the family's special tokens around each text."""
    names = [part.split(":")[0] for part in template.split() if not part.startswith("$")]
    missing = [name for name in names if tool.token_to_id(name) is None]
    if missing:
        raise InputError(f"{path}: no token {missing[0]}, which every text starts or ends with")
    tool.add_special_tokens(names)
    tool.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(name, tool.token_to_id(name)) for name in names]
    )
