"""Every setting of a run, as frozen dataclasses that are checked when they are made.

A field that may differ by resolution level holds one value for all levels or a tuple, one value a level
(the last value is used for deeper levels).
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
Loss = Literal["squared_hinge", "hinge", "logistic"]
Negatives = Literal["tfn", "man", "tfn+man", "usn", "usn+tfn", "usn+man", "usn+tfn+man"]
Formulation = Annotated[str, Names(SOLVERS, "auto")]
MergeName = Annotated[str, Names(MERGES)]
CombinationName = Annotated[str, Names(COMBINATIONS)]
"""How predictions of several models become one; `scores/combination.py` has the formulas."""

_BEAM, _BEAM_COPIES = 10, 8


@dataclass(frozen=True)
class FeaturesConfig:
    """Text to sparse vectors (algorithms: TF-IDF as in Salton & Buckley 1988; feature hashing, Weinberger 2009)."""

    kind: Literal["tfidf", "hashing"] = "tfidf"
    """A column for each term of the training set, or for each hash value."""
    analyzer: Literal["auto", "word", "char", "char_wb"] = "auto"
    """Terms are words, runs of characters, or runs of characters within words; auto: words, and runs of one to four
    characters in scripts without blanks between words (Chinese, Japanese, Thai ...)."""
    ngram_min: int = 1
    """Words (characters) of the shortest terms."""
    ngram_max: int = 1
    """Words (characters) of the longest terms."""
    token_pattern: Literal["words", "unicode", "whitespace"] = "words"
    """`words`: runs of letters with their marks, digits and underscores, and such as `C++`, `C#`, `.NET`; `unicode`:
    runs of two or more letters, digits or underscores, marks cut words; `whitespace`: what stands between spaces."""
    lowercase: bool = True
    """Upper and lower case are the same."""
    strip_accents: bool = True
    """Letters are read without their accents."""
    sublinear_tf: bool = True
    """A term that stands n times in a document counts 1 + ln n."""
    binary: bool = False
    """A term counts once, however often it stands in a document."""
    use_idf: bool = True
    """Terms weigh 1 + ln((1 + documents) / (1 + documents with the term))."""
    norm: Literal["l1", "l2", "none"] = "l2"
    """Rows are scaled to this norm."""
    min_count: int = 2
    """Smallest number of documents that a feature must occur in."""
    max_share: float = 1.0
    """Largest share of the documents that a feature may occur in."""
    max_features: int | None = field(default=None, metadata=former({0: None}))
    """Keeps so many features, the most frequent; none: all."""
    truncate: int | None = field(default=None, metadata=former({0: None}))
    """Tokens of a document that are read; none: all."""
    hash_bits: int = 20
    """Feature hashing: 2^bits columns."""

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
    """The label tree: balanced recursive 2-means, regrouped to the branching wanted."""

    kind: Literal["kmeans", "flat"] = "kmeans"
    """`flat`: one level of all labels, no tree (one-vs-rest)."""
    branching: int = 32
    """Children of a cluster above the last level."""
    max_leaf_size: int = 100
    """Labels of a cluster of the last level at most."""
    min_clusters: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Clusters of the first level at most; auto: `branching`."""
    embedding: Literal["pifa", "pii", "pifa_lf_concat", "pifa_lf_convex"] = "pifa"
    """What of a label is clustered: the mean of its documents' features (pifa), the documents themselves (pii), or the
    mean beside features of its own, joined or averaged."""
    label_features: str | None = field(default=None, metadata=former({"": None}))
    """An .npz (CSR) or .npy [L, D'] of label features, for the two `pifa_lf` embeddings."""
    sketch: int | Literal["auto"] | None = field(
        default="auto", metadata=former({0: None, -1: "auto"})
    )
    """Columns of the Johnson-Lindenstrauss sketch of the features; none: exact; auto: exact unless it would be huge."""
    start: Literal["auto", "principal", "random"] = field(default="auto", metadata=QUIET)
    """Where the split of a node begins: its principal direction, or that between two of its members drawn at random;
    `auto`: principal, for the trees of a forest after the first random, so that they differ more."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.branching >= 2, self, "branching", "2 or more")
        check(self.max_leaf_size >= 1, self, "max_leaf_size", "1 or more")
        check_least(self, 1, "min_clusters", "sketch")


@dataclass(frozen=True)
class PreliminaryConfig:
    """The tree that an encoder is fine-tuned on, of the means of the documents' features."""

    branching: int = 16
    """Children of a cluster above the last level."""
    max_leaf_size: int = 32
    """Labels of a cluster of the last level at most."""
    min_clusters: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Clusters of the first level at most; auto: `branching`."""

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
    """The one-vs-rest problems of a level: ½(‖w‖²+b²) + Σ C_i · loss(y_i f_i) (Fan et al. 2008, LIBLINEAR)."""

    loss: Loss = "squared_hinge"
    """What a margin costs."""
    cost_positive: float | tuple[float, ...] = 1.0
    """C of a label's documents."""
    cost_negative: float | tuple[float, ...] = 1.0
    """C of the others."""
    bias: float = 1.0
    """Value of the constant feature, whose weight is regularised; 0: none."""
    threshold: float | tuple[float, ...] = 0.1
    """Weights smaller than this are dropped."""
    max_nonzeros: int | None = field(default=None, metadata=former({0: None}))
    """Weights kept for a label, the largest first; none: all."""
    negatives: Negatives | tuple[Negatives, ...] = "tfn"
    """Documents that a label is told apart from: those of its parent's other labels (tfn), those whose beam reaches its
    parent (man), your own (usn, in Python)."""
    relevance: Literal["none", "induce", "last"] = "none"
    """Positives weighted by the relevance matrix: on all levels (summed up the tree) or on the last only."""
    relevance_norm: Literal["none", "l1", "l2", "max"] = "none"
    """A document's relevance is scaled to this norm on every level."""
    formulation: Formulation | tuple[Formulation, ...] = "auto"
    """The solver; auto: the one that costs least on each level."""
    tolerance: float = 1e-4
    """Stops when an epoch (Newton step) gains less than this share of the objective."""
    max_epochs: int = 60
    """Epochs (Newton steps) at most."""

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
    """Clusters kept on each level; auto: 10, and 8 to search a model whose labels have copies, of which fewer hold as
    much."""
    top_k: int = field(default=20, metadata=EXECUTION)
    """Results per document at most."""
    post_processor: PostProcessorName | tuple[PostProcessorName, ...] = "l3-hinge"
    """What makes a score of a margin on each level; scores are multiplied down the tree (log-: added)."""
    batch: int | Literal["auto"] = field(default="auto", metadata=EXECUTION | former({0: "auto"}))
    """Documents searched at once; auto: chosen from the memory budget."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_least(self, 1, "beam", "batch")
        check(self.top_k >= 1, self, "top_k", "1 or more")

    def choose_beam(self, has_copies: bool = False) -> int:
        """Returns the clusters kept on each level, 1 or more."""
        return (_BEAM_COPIES if has_copies else _BEAM) if self.beam == "auto" else self.beam


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder whose vectors stand beside the sparse features: a pretrained one, or one made from the texts."""

    name: str = "bert-base-uncased"
    """A folder with `config.json`, `tokenizer.json` and `model.safetensors`, or a name on the Hugging Face hub;
    `static`: a small one is made from the training texts, without any download."""
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
    """`auto`: what the folder of a sentence encoder asks for, else as the family was trained."""
    max_length: int | Literal["auto"] = field(default="auto", metadata=QUIET)
    """Tokens of a document that are read, special ones counted; `auto`: what the folder of a sentence encoder asks for,
    else 128 (512 of static vectors)."""
    prompt: str = field(default="auto", metadata=QUIET)
    """What stands before each text: `none`, the name of one of the folder's prompts, or a text of your own; `auto`: the
    prompt that the folder gives to every text, if it does."""
    vocabulary: int = field(default=30_000, metadata=QUIET)
    """Pieces of words at most of an encoder that is made from the texts (`name=static`)."""
    hidden: int = field(default=256, metadata=QUIET)
    """Columns of an encoder that is made from the texts."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the products; parameters, their gradients, norms and the vectors are float32. `float32` is that on every
    device, which takes a TPU six passes where `bfloat16` takes one."""
    remat: bool | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Computes each layer again in the backward pass: less memory, a third more work; auto: where a batch does not fit
    the devices otherwise."""
    dropout: float | Literal["auto"] = field(default="auto", metadata=former({-1: "auto"}))
    """Rate for embeddings, layers and the vector; auto: as the encoder's `config.json` says."""
    attention_dropout: float | Literal["auto"] = field(
        default="auto", metadata=former({-1: "auto"})
    )
    """Rate for attention weights; auto: as `config.json` says; 0 trains fastest."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.name != "", self, "name", "a folder or a name on the hub")
        check_least(self, 1, "max_length")
        check(self.vocabulary >= 300, self, "vocabulary", "300 (256 of them bytes) or more")
        check(self.hidden >= 1, self, "hidden", "1 or more")
        for name, default in (("vocabulary", 30_000), ("hidden", 256)):
            is_theirs = self.name != "static" and getattr(self, name) != default
            check(not is_theirs, self, name, "the one of the pretrained encoder, so nothing,")
        for name in ("dropout", "attention_dropout"):
            value = getattr(self, name)
            check(value == "auto" or 0 <= value < 1, self, name, "auto or a share in [0, 1)")


@dataclass(frozen=True)
class DisentangleConfig:
    """Labels under several clusters, chosen by where their documents are routed (Liu et al. 2021)."""

    copies: int = 1
    """Clusters of a label at most; 1: none of this."""
    rounds: int = 1
    """Times that labels are assigned and weights trained again; 0: none of this."""
    capacity: float | None = field(default=1.5, metadata=former({0: None}))
    """Labels of a cluster at most, relative to the mean, from 128 on a multiple of 32 near it; none: no limit."""
    folds: int = 2
    """The documents' beams are searched in so many parts, each by a matcher trained on the others; 1: by the one that
    was trained on them, whose beams hold nearly every true cluster and tell less of those of new documents."""
    positives: Literal["all", "routed"] = "all"
    """A document is a positive of all copies of its label, or of those that its beam reaches."""
    retrain: Literal["all", "last"] = "all"
    """The levels that a round trains again."""
    merge: Annotated[str, Names(MERGES, "auto")] = field(default="auto", metadata=EXECUTION)
    """The score of a label that was found under several clusters; `auto`: `noisy-or`, 1 − Π(1 − score), where scores
    are probabilities, else `max`."""
    least_gain: float = 0.01
    """Rounds end when one would gain less than this share of the objective."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(1 <= self.copies <= 6, self, "copies", "1 to 6")
        check(self.rounds >= 0, self, "rounds", "0 (none) or more")
        check(1 <= self.folds <= 10, self, "folds", "1 (none) to 10")
        check_least(self, 1, "capacity")
        check(0 <= self.least_gain < 1, self, "least_gain", "a number in [0, 1)")


@dataclass(frozen=True)
class ParallelConfig:
    """Devices as a grid: rows of instances beside columns of weights. It changes no result."""

    data: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Parts that instances are cut into; auto: as many as there are devices left."""
    label: int = 1
    """Parts that the clusters of the last level are cut into, for models that one device cannot hold."""
    holds: Literal["all", "share"] = "all"
    """What each of several processes holds: all documents and weights, or its share of them."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_least(self, 1, "data")
        check(self.label >= 1, self, "label", "1 or more")


def check_machine(config: Any) -> None:
    """Checks what all models say of the machine: the size of `memory`, the number of `threads`."""
    if config.memory != "auto":
        parse_size(config.memory)
    check_least(config, 1, "threads")


@dataclass(frozen=True)
class LinearConfig:
    """XR-Linear (Yu et al. 2022, "PECOS"): tree, one linear level for each resolution, beam search."""

    model: Literal["linear"] = "linear"
    seed: int = 0
    """Of everything random: the same seed, the same model."""
    memory: str = field(default="auto", metadata=EXECUTION | former({"": "auto"}))
    """Host memory that training and search keep to, such as 8GB; auto: what machine and control group have."""
    threads: int | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Threads on the host; auto: the cores that the process may use, or `OMP_NUM_THREADS`."""
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
    """Trees of a forest; tree i is that of seed + i, their predictions are combined."""
    combine: CombinationName = field(default="average", metadata=QUIET | EXECUTION)
    """How the predictions of a forest's trees become one."""

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
