"""The names in a run's folder, each defined once.

config.json        settings, the identity of the data, and where they came from
labels.txt         names of the labels, if they have any
names.tsv          display names of labels that are identifiers
vectorizer/        text to features
tree/              the label tree (with an encoder: the one it is fine-tuned on; with prototypes: the one for a beam)
level_00/ …        weights of a level; with an encoder, the states of its fine-tuning
round_01/ …        of disentangling: beams/, tree/, level_00/ …
member_00/ …       of a forest: tree/, level_00/ …, round_01/ …
tuning/            states of a fine-tuning against all labels
prototypes/        one prototype per label
label_texts.json   texts of the labels, where they are others than the names
encoder/           fine-tuned parameters, what computes them, the tokenizer
ranker/            the tree and levels (or members) that rank, for a model with an encoder
calibration/       maps from scores to probabilities
reranker/          the memory of the training set and the re-ranker
metrics.jsonl      one line per stage and per report
meta.json          marks a complete run
manifest.json      the run's parts, with size and checksum of every file
"""

from __future__ import annotations

CONFIG = "config.json"
LABELS = "labels.txt"
NAMES = "names.tsv"
FACTS = "meta.json"
MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
CURVES = "curves.png"
LOCK = ".lock"
VECTORIZER = "vectorizer"
TREE = "tree"
BEAMS = "beams"
VECTORS = "vectors"
ENCODER = "encoder"
CALIBRATION = "calibration"
RERANKER = "reranker"
PARAMS = "params"
ENCODER_FACTS = "encoder.json"
ARCHITECTURE = "architecture.json"
TOKENIZER = "tokenizer.json"
RANKER = "ranker"
TUNING = "tuning"
PROTOTYPES = "prototypes"
LABEL_TEXTS = "label_texts.json"


def level_name(level: int) -> str:
    """Returns the name of a level; the first is 0."""
    return f"level_{level:02d}"


def round_name(number: int) -> str:
    """Returns the name of a round of disentangling; the first is 1."""
    return f"round_{number:02d}"


def member_name(number: int) -> str:
    """Returns the name of a tree of a forest; the first is 0."""
    return f"member_{number:02d}"
