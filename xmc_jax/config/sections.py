"""Every setting of a run, as frozen dataclasses that are checked when they are made.

A field that may differ by resolution level holds one value for all levels or a tuple with one value per level
(the last value is used for all deeper levels).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from xmc_jax.config.calibrate import CalibrateConfig
from xmc_jax.config.data import DataConfig as DataConfig
from xmc_jax.config.fields import (
    EXECUTION,
    QUIET,
    Names,
    as_tuple,
    check,
    check_choices,
    check_least,
)
from xmc_jax.config.former import former
from xmc_jax.config.rerank import RerankConfig
from xmc_jax.config.solvers import SOLVERS
from xmc_jax.errors import InputError
from xmc_jax.memory import parse_size
from xmc_jax.scores import COMBINATIONS, MERGES, POST_PROCESSORS

PostProcessorName = Annotated[str, Names(POST_PROCESSORS)]
"""How a margin and the score above it become a score; the formulas are in `scores/post_processor.py`."""
Loss = Literal["squared_hinge", "hinge", "logistic"]
"""Losses of the linear rankers."""
Negatives = Literal["tfn", "man", "tfn+man", "usn", "usn+tfn", "usn+man", "usn+tfn+man"]
"""Which clusters' documents a cluster is trained on: those of its labels, those matched to it, those sampled."""
Formulation = Annotated[str, Names(SOLVERS, "auto")]
"""The solver of the linear rankers, or "auto"."""
MergeName = Annotated[str, Names(MERGES)]
"""How the scores of the copies of a label become one; the formulas are in `scores/merge.py`."""
CombinationName = Annotated[str, Names(COMBINATIONS)]
"""How the predictions of several models are combined; the formulas are in `scores/combination.py`."""

_BEAM, _BEAM_COPIES = 10, 8


@dataclass(frozen=True)
class FeaturesConfig:
    """Text to sparse vectors (TF-IDF: Salton & Buckley 1988; feature hashing: Weinberger et al. 2009)."""

    kind: Literal["tfidf", "hashing"] = "tfidf"
    """One column per term of the training set, or one per hash value."""
    analyzer: Literal["auto", "word", "char", "char_wb"] = "auto"
    """Terms are words, character n-grams, or character n-grams within words; auto: words, and n-grams of one to four
    characters in scripts without spaces between words (Chinese, Japanese, Thai ...)."""
    ngram_min: int = 1
    """Length of the shortest terms, in words (or characters)."""
    ngram_max: int = 1
    """Length of the longest terms, in words (or characters)."""
    token_pattern: Literal["words", "unicode", "whitespace"] = "words"
    """`words`: runs of letters (with combining marks), digits and underscores, and names such as `C++`, `C#`, `.NET`;
    `unicode`: runs of two or more letters, digits or underscores, split at combining marks; `whitespace`: everything
    between spaces."""
    lowercase: bool = True
    """Ignores case."""
    strip_accents: bool = True
    """Removes accents from letters."""
    sublinear_tf: bool = True
    """A term that occurs n times in a document counts 1 + ln n."""
    binary: bool = False
    """A term counts once, however often it occurs in a document."""
    use_idf: bool = True
    """Terms are weighted by 1 + ln((1 + documents) / (1 + documents with the term))."""
    norm: Literal["l1", "l2", "none"] = "l2"
    """Rows are scaled to this norm."""
    min_count: int = 2
    """Number of documents that a feature must occur in at least."""
    max_share: float = 1.0
    """Share of the documents that a feature may occur in at most."""
    max_features: int | None = field(default=None, metadata=former({0: None}))
    """Keeps this many features, the most frequent ones; none: all."""
    truncate: int | None = field(default=None, metadata=former({0: None}))
    """Number of tokens read from each document; none: all."""
    hash_bits: int = 20
    """Feature hashing uses 2^bits columns."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(
            1 <= self.ngram_min <= self.ngram_max <= 8,
            self,
            "ngram_min",
            "1 <= ngram_min <= ngram_max <= 8",
        )
        check(self.min_count >= 1, self, "min_count", "1 or more")
        check(0.0 < self.max_share <= 1.0, self, "max_share", "a share in (0, 1]")
        check_least(self, 1, "max_features", "truncate")
        check(4 <= self.hash_bits <= 28, self, "hash_bits", "4 to 28")


@dataclass(frozen=True)
class TreeConfig:
    """The label tree: balanced recursive 2-means, regrouped to the requested branching."""

    kind: Literal["kmeans", "flat"] = "kmeans"
    """`flat`: one level of all labels, no tree (one-vs-rest)."""
    branching: int = 32
    """Children per cluster above the last level."""
    max_leaf_size: int = 100
    """Largest number of labels in a cluster of the last level."""
    min_clusters: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Largest number of clusters on the first level; auto: `branching`."""
    embedding: Literal["pifa", "pii", "pifa_lf_concat", "pifa_lf_convex"] = "pifa"
    """Vectors by which labels are clustered: the mean of their documents' features (pifa), their documents themselves
    (pii), or the mean together with features of the labels, concatenated or averaged."""
    label_features: str | None = field(default=None, metadata=former({"": None}))
    """File with label features [L, D'], .npz (CSR) or .npy, for the two `pifa_lf` embeddings."""
    sketch: int | Literal["auto"] | None = field(
        default="auto", metadata=former({0: None, -1: "auto"})
    )
    """Columns of the Johnson-Lindenstrauss sketch of the features; none: no sketch; auto: no sketch unless the features
    would be huge."""
    start: Literal["auto", "principal", "random"] = field(default="auto", metadata=QUIET)
    """Where the split of a node starts: at its principal direction, or at the direction between two randomly drawn
    members; `auto`: principal, but random for all trees of a forest except the first, so that they differ more."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.branching >= 2, self, "branching", "2 or more")
        check(self.max_leaf_size >= 1, self, "max_leaf_size", "1 or more")
        check_least(self, 1, "min_clusters", "sketch")


@dataclass(frozen=True)
class PreliminaryConfig:
    """The tree that an encoder is fine-tuned on; it clusters labels by the means of their documents' features."""

    branching: int = 16
    """Children per cluster above the last level."""
    max_leaf_size: int = 32
    """Largest number of labels in a cluster of the last level."""
    min_clusters: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Largest number of clusters on the first level; auto: `branching`."""

    def __post_init__(self) -> None:
        check_choices(self)
        self.as_tree()  # checked there

    def as_tree(self) -> TreeConfig:
        """Returns the settings of this tree."""
        return TreeConfig(
            branching=self.branching,
            max_leaf_size=self.max_leaf_size,
            min_clusters=self.min_clusters,
        )


@dataclass(frozen=True)
class RankerConfig:
    """The one-vs-rest problems of a level: ½(‖w‖²+b²) + Σ C_i · loss(y_i f_i) (Fan et al. 2008, "LIBLINEAR")."""

    loss: Loss = "squared_hinge"
    """Loss of a margin."""
    cost_positive: float | tuple[float, ...] = 1.0
    """C of the documents that have the label."""
    cost_negative: float | tuple[float, ...] = 1.0
    """C of the other documents."""
    bias: float = 1.0
    """Value of the constant feature, whose weight is regularised like the others; 0: no constant feature."""
    threshold: float | tuple[float, ...] = 0.1
    """Weights with a smaller absolute value are dropped."""
    max_nonzeros: int | None = field(default=None, metadata=former({0: None}))
    """Weights kept per label, the largest ones; none: all."""
    negatives: Negatives | tuple[Negatives, ...] = "tfn"
    """Negatives of a label: documents of its parent's other labels (tfn), documents whose beam reaches its parent
    (man), documents that you choose (usn, in Python)."""
    relevance: Literal["none", "induce", "last"] = "none"
    """Weights positives by the relevance matrix: on all levels (summed up the tree) or only on the last."""
    relevance_norm: Literal["none", "l1", "l2", "max"] = "none"
    """The relevance values of a document are scaled to this norm on every level."""
    formulation: Formulation | tuple[Formulation, ...] = "auto"
    """The solver; auto: the cheapest one for each level."""
    tolerance: float = 1e-4
    """Stops when an epoch (or Newton step) gains less than this share of the objective."""
    max_epochs: int = 60
    """Largest number of epochs (or Newton steps)."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("cost_positive", "cost_negative"):
            check(all(c > 0 for c in as_tuple(getattr(self, name))), self, name, "numbers above 0")
        check(
            all(c >= 0 for c in as_tuple(self.threshold)),
            self,
            "threshold",
            "numbers of 0 or more",
        )
        check(self.bias >= 0, self, "bias", "0 (none) or more")
        check_least(self, 1, "max_nonzeros")
        check(0 < self.tolerance < 1, self, "tolerance", "a number in (0, 1)")
        check(self.max_epochs >= 1, self, "max_epochs", "1 or more")


@dataclass(frozen=True)
class SearchConfig:
    """Beam search down the tree."""

    beam: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Clusters kept on each level; auto: 10, or 8 when searching a model whose labels have copies, where fewer clusters
    contain as many labels."""
    top_k: int = field(default=20, metadata=EXECUTION)
    """Largest number of results per document."""
    post_processor: PostProcessorName | tuple[PostProcessorName, ...] = "l3-hinge"
    """Function that turns margins into scores on each level; scores are multiplied down the tree (`log-`: added)."""
    batch: int | Literal["auto"] = field(default="auto", metadata=EXECUTION | former({0: "auto"}))
    """Number of documents searched at once; auto: chosen from the memory budget."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_least(self, 1, "beam", "batch")
        check(self.top_k >= 1, self, "top_k", "1 or more")

    def choose_beam(self, has_copies: bool = False) -> int:
        """Returns the clusters kept on each level, 1 or more."""
        return (_BEAM_COPIES if has_copies else _BEAM) if self.beam == "auto" else self.beam


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder whose vectors are used beside the sparse features: pretrained, or built from the training texts."""

    name: str = "bert-base-uncased"
    """A folder with `config.json`, `tokenizer.json` and `model.safetensors`, or a name on the Hugging Face hub;
    `static`: a small encoder is built from the training texts, without any download."""
    revision: str | None = field(default=None, metadata=former({"": None}))
    """Branch, tag or commit on the hub; none: its main branch."""
    pooling: Literal[
        "auto",
        "pooler",
        "cls",
        "mean",
        "max",
        "mean_sqrt_len",
        "weightedmean",
        "lasttoken",
        "summary",
    ] = "auto"
    """How token vectors become one vector; `auto`: as the folder of a sentence encoder specifies, otherwise as the
    family was trained."""
    max_length: int | Literal["auto"] = field(default="auto", metadata=QUIET)
    """Number of tokens read from each document, including special tokens; `auto`: as the folder of a sentence encoder
    specifies, otherwise 128 (512 for static vectors)."""
    prompt: str = field(default="auto", metadata=QUIET)
    """Text placed before each document: `none`, the name of one of the folder's prompts, or a text of your own; `auto`:
    the folder's default prompt, if it has one."""
    vocabulary: int = field(default=30_000, metadata=QUIET)
    """Largest number of word pieces of an encoder built from the texts (`name=static`)."""
    hidden: int = field(default=256, metadata=QUIET)
    """Number of columns of an encoder built from the texts."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products; parameters, gradients, norms and vectors are float32. `float32` means full
    precision on every device, which takes a TPU six passes where `bfloat16` takes one."""
    remat: bool | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Recomputes each layer in the backward pass: less memory, a third more work; auto: only if a batch does not fit
    the devices otherwise."""
    dropout: float | Literal["auto"] = field(default="auto", metadata=former({-1: "auto"}))
    """Dropout rate for embeddings, layers and the vector; auto: as in the encoder's `config.json`."""
    attention_dropout: float | Literal["auto"] = field(
        default="auto", metadata=former({-1: "auto"})
    )
    """Dropout rate for attention weights; auto: as in `config.json`; 0 trains fastest."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.name != "", self, "name", "a folder or a name on the hub")
        check_least(self, 1, "max_length")
        check(self.vocabulary >= 300, self, "vocabulary", "300 (256 of them bytes) or more")
        check(self.hidden >= 1, self, "hidden", "1 or more")
        for name, default in (("vocabulary", 30_000), ("hidden", 256)):
            is_theirs = self.name != "static" and getattr(self, name) != default
            check(not is_theirs, self, name, "name=static (a pretrained encoder has its own)")
        for name in ("dropout", "attention_dropout"):
            value = getattr(self, name)
            check(value == "auto" or 0 <= value < 1, self, name, "auto or a share in [0, 1)")


@dataclass(frozen=True)
class DisentangleConfig:
    """Labels in several clusters, chosen by where their documents are routed (Liu et al. 2021)."""

    copies: int = 1
    """Largest number of clusters per label; 1: no disentangling."""
    rounds: int = 1
    """Number of times that labels are reassigned and weights retrained; 0: no disentangling."""
    capacity: float | None = field(default=1.5, metadata=former({0: None}))
    """Largest number of labels in a cluster, relative to the mean (rounded to a multiple of 32 from 128 labels on);
    none: no limit."""
    folds: int = 2
    """Number of folds in which the documents' beams are searched, each by a matcher trained on the others; 1: by the
    matcher trained on all of them, whose beams contain nearly every true cluster and say less about new documents."""
    positives: Literal["all", "routed"] = "all"
    """Whether a document is a positive for all copies of its label, or only for those that its beam reaches."""
    retrain: Literal["all", "last"] = "all"
    """The levels that each round retrains."""
    merge: Annotated[str, Names(MERGES, "auto")] = field(default="auto", metadata=EXECUTION)
    """Score of a label found in several clusters; `auto`: `noisy-or`, 1 − Π(1 − score), if scores are probabilities,
    otherwise `max`."""
    least_gain: float = 0.01
    """Stops when a round would gain less than this share of the objective."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(1 <= self.copies <= 6, self, "copies", "1 to 6")
        check(self.rounds >= 0, self, "rounds", "0 (none) or more")
        check(1 <= self.folds <= 10, self, "folds", "1 (none) to 10")
        check_least(self, 1, "capacity")
        check(0 <= self.least_gain < 1, self, "least_gain", "a number in [0, 1)")


@dataclass(frozen=True)
class ParallelConfig:
    """The grid of devices: instances are split over its rows, weights over its columns. Results do not change."""

    data: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Number of parts that instances are split into; auto: all devices that `label` leaves."""
    label: int = 1
    """Number of parts that the clusters of the last level are split into, for models that one device cannot hold."""
    holds: Literal["all", "share"] = "all"
    """Whether each of several processes holds all documents and weights or only its share of them."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_least(self, 1, "data")
        check(self.label >= 1, self, "label", "1 or more")


def check_machine(config: Any) -> None:
    """Checks the settings of the machine that all models share: the size of `memory`, the number of `threads`."""
    if config.memory != "auto":
        parse_size(config.memory)
    check_least(config, 1, "threads")


@dataclass(frozen=True)
class LinearConfig:
    """XR-Linear (Yu et al. 2022, "PECOS"): a tree, one level of linear models per resolution, beam search.

    >>> LinearConfig(trees=3, search=SearchConfig(beam=20)).search.beam
    20
    """

    model: Literal["linear"] = "linear"
    seed: int = 0
    """Seed of everything random: the same seed gives the same model."""
    memory: str = field(default="auto", metadata=EXECUTION | former({"": "auto"}))
    """Limit on host memory for training and search, such as 8GB; auto: the limit of the machine or control group."""
    threads: int | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Number of threads on the host; auto: the cores that the process may use, or `OMP_NUM_THREADS`."""
    data: DataConfig = field(default_factory=DataConfig, metadata=EXECUTION)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    tree: TreeConfig = field(default_factory=TreeConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    disentangle: DisentangleConfig = field(default_factory=DisentangleConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig, metadata=EXECUTION)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig, metadata=QUIET | EXECUTION)
    rerank: RerankConfig = field(default_factory=RerankConfig, metadata=QUIET | EXECUTION)
    trees: int = field(default=1, metadata=QUIET)
    """Number of trees in a forest, whose predictions are combined; tree i is built with seed + i."""
    combine: CombinationName = field(default="average", metadata=QUIET | EXECUTION)
    """How the predictions of a forest's trees are combined."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(0 <= self.seed < 2**31, self, "seed", "0 to 2^31 - 1")
        check(1 <= self.trees <= 64, self, "trees", "1 (no forest) to 64")
        check(self.seed + self.trees <= 2**31, self, "seed", "0 to 2^31 - trees")
        check_machine(self)
        merge = self.disentangle.merge
        if merge != "auto" and MERGES[merge].needs_probabilities and not _gives_probabilities(self):
            kinds = ",".join(as_tuple(self.search.post_processor))
            known = ", ".join(name for name, p in POST_PROCESSORS.items() if p.is_probability)
            raise InputError(
                f"disentangle.merge={merge} given for search.post_processor={kinds}, scores in "
                f"[0, 1] needed ({known}); set disentangle.merge to auto, mean or max"
            )


def choose_merge(config: LinearConfig) -> MergeName:
    """Returns how the scores of a label's copies are merged, with `auto` resolved."""
    if config.disentangle.merge != "auto":
        return config.disentangle.merge
    return "noisy-or" if _gives_probabilities(config) else "max"


def _gives_probabilities(config: LinearConfig) -> bool:
    kinds = as_tuple(config.search.post_processor)
    return all(POST_PROCESSORS[kind].is_probability for kind in kinds)
