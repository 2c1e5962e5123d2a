"""Documents to train and test splits, as files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from xmc_jax.data.jsonl import write_documents

TEST_PERCENT = 20


def is_test(key: str) -> bool:
    """Returns whether documents of this key belong to the test split."""
    return int(hashlib.sha1(key.encode()).hexdigest()[:8], 16) % 100 < TEST_PERCENT


def drop_punctuation(text: str) -> str:
    """Returns the case-folded words of a text: editions of one title have one key."""
    return re.sub(r"\W+", " ", text.casefold()).strip()


def collapse_blanks(text: str) -> str:
    return " ".join(text.split())


def write_set(
    output: Path,
    documents: Iterable[tuple[str, list[str]]],
    key: Callable[[str], str],
    about: Mapping[str, object],
) -> dict:
    """Writes `train.jsonl.gz`, `test.jsonl.gz`, `labels.txt` and `meta.json`; returns what the last one says."""
    splits: dict[bool, list[tuple[str, list[str]]]] = {False: [], True: []}
    for text, labels in documents:
        splits[is_test(key(text))].append((text, labels))
    names = {kind: {name for _, labels in rows for name in labels} for kind, rows in splits.items()}
    meta = {
        "train_docs": len(splits[False]),
        "test_docs": len(splits[True]),
        "labels": len(names[False] | names[True]),
        "labels_in_train": len(names[False]),
        **about,
    }
    output.mkdir(parents=True, exist_ok=True)
    for kind, name in ((False, "train"), (True, "test")):
        write_documents(output / f"{name}.jsonl.gz", splits[kind])
    lines = "".join(f"{name}\n" for name in sorted(names[False] | names[True]))
    (output / "labels.txt").write_text(lines, encoding="utf-8")
    (output / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return meta
