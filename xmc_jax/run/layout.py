"""The names in a run's folder, each of them once.

config.json        settings, what tells the data from others, where they came from
labels.txt         names of the labels, if they have any
names.tsv          what labels that are identifiers are called
vectorizer/        text to features
tree/              the label tree (of a model with an encoder: the one it is fine-tuned on; of prototypes: for a beam)
level_00/ …        weights of a level; of a model with an encoder the states of its fine-tuning
round_01/ …        of disentangling: beams/, tree/, level_00/ …
member_00/ …       of a forest: tree/, level_00/ …, round_01/ …
tuning/            states of a fine-tuning against all labels
prototypes/        one prototype per label
label_texts.json   texts of the labels, where they are others than the names
encoder/           fine-tuned parameters, what computes them, the tokenizer
ranker/            tree and levels (or members) that rank, beside an encoder
calibration/       maps from scores to probabilities
reranker/          the memory of the training set, and what ranks by it
metrics.jsonl      a line for every stage and every report
meta.json          the mark of a complete run
manifest.json      what belongs to the run, with size and check sum of every file
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
    """Returns the name of a level, 0 for the first."""
    return f"level_{level:02d}"


def round_name(number: int) -> str:
    """Returns the name of a round of disentangling, 1 for the first."""
    return f"round_{number:02d}"


def member_name(number: int) -> str:
    """Returns the name of a tree of a forest, 0 for the first."""
    return f"member_{number:02d}"
