"""Settings of prototype heads: one head over all labels, built from the vectors of their documents and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from xmc_jax.config.calibrate import CalibrateConfig
from xmc_jax.config.fields import EXECUTION, QUIET, check, check_choices, check_least
from xmc_jax.config.former import absent, former
from xmc_jax.config.rerank import RerankConfig
from xmc_jax.config.sections import DataConfig, EncoderConfig, ParallelConfig, check_machine
from xmc_jax.errors import InputError


@dataclass(frozen=True)
class HeadConfig:
    """The prototypes of all labels, and how documents are compared with them."""

    loss: Literal["decoupled", "softmax", "bce"] = "decoupled"
    """Softmax in which a document's positives do not compete, plain softmax, or binary cross-entropy per label."""
    start: Literal["sums", "texts", "random"] = "sums"
    """How a prototype is initialised: the sum of its label's documents and text, the text alone, or random numbers."""
    labels_text: str | None = field(default="names", metadata=former({"": "names"}))
    """Texts of the labels: `names`: their names; none: no texts; or a file: `.json` (name → text, or a list) or lines
    (name, tab, text; or one text per label)."""
    text_weight: float = 2.0
    """Number of documents that a label's text counts as in its sum; without texts, the mean of all documents has this
    weight."""
    leave_out: bool = True
    """Leaves a document out of the prototypes of its own labels when it is compared with them."""
    offsets: bool = True
    """Trains prototypes along with the encoder; false: they stay as initialised."""
    scale: float = 20.0
    """Factor of the cosine in a logit."""
    prior: float = 1.0
    """Share of log n, n the label's documents, in a logit."""
    unseen: float | Literal["auto"] = field(default="auto", metadata=absent(1.0))
    """Documents that a label without any counts as there; auto: as many as the labels of one document let expect (Good
    and Turing), at most the mean of the others."""
    refresh: int | None = field(default=None, metadata=former({0: None}))
    """Updates after which the sums are made anew of the encoder's new vectors; none: never."""
    negatives: Literal["all", "sampled", "clustered"] = "all"
    """What a document is compared with in training: all labels, or, where these are too many, those of its batch, the
    nearest to them and some at random; clustered: so too, and batches are made of groups of documents that are near
    each other, whose labels are hard to tell apart."""
    sampled: int = 4096
    """Labels drawn at random for each batch, where negatives are sampled or clustered."""
    cluster_every: int | Literal["auto"] = "auto"
    """Updates after which documents are grouped anew by their vectors as they are then, where negatives are clustered;
    auto: five passes over the documents."""
    mined: int = 8
    """Number of nearest labels, by their sums, that are added for each label of a batch; 0: none."""
    optimizer: Literal["adam", "row-adam", "sgd"] = "adam"
    """Optimizer of the prototypes: with moments of every number (8 bytes each), with one per label, or with none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the prototypes in training; bfloat16 is rounded stochastically, so that small steps add up."""
    chunk: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Number of labels whose logits are held at once; auto: chosen from the number of labels."""
    storage: Literal["float32", "bfloat16", "int8"] = "float32"
    """Type of the prototypes in the finished model."""
    project: int | None = None
    """Number of principal directions that the finished prototypes are projected onto; none: they keep all columns."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("text_weight", "prior"):
            check(getattr(self, name) >= 0, self, name, "0 or more")
        check(self.scale > 0, self, "scale", "a number above 0")
        check(self.unseen == "auto" or self.unseen > 0, self, "unseen", "a number above 0")
        check_least(self, 1, "refresh", "chunk", "sampled", "cluster_every", "project")
        check(0 <= self.mined <= 1000, self, "mined", "0 to 1000")
        if self.refresh and self.start != "sums":
            raise InputError(
                f"head.refresh={self.refresh} given with head.start={self.start}, which has no sums; "
                "set head.refresh to none or head.start to sums"
            )
        if self.start == "texts" and (self.labels_text is None or not self.text_weight):
            raise InputError(
                "head.start=texts given without texts of labels; set head.labels_text and head.text_weight, "
                "or head.start to sums"
            )


@dataclass(frozen=True)
class NearestConfig:
    """The search among prototypes, which compares a document with all of them or with those in some clusters."""

    top_k: int = 20
    """Largest number of results per document."""
    beam: int | None = None
    """Clusters of a tree over the prototypes whose labels are compared with a document; none: all labels are compared,
    which is exact and needs no tree. On a CPU a beam pays off from about 100,000 labels on."""
    batch: int | Literal["auto"] = field(default="auto", metadata=former({0: "auto"}))
    """Number of documents searched at once; auto: 256."""
    recall: float = 1.0
    """Share of the best labels that must be found; below 1, a TPU sorts only in part and is faster."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.top_k >= 1, self, "top_k", "1 or more")
        check_least(self, 1, "batch", "beam")
        check(0 < self.recall <= 1, self, "recall", "a share in (0, 1]")


@dataclass(frozen=True)
class UpdateConfig:
    """How the encoder and the prototypes are updated."""

    steps: int = 1000
    """Number of updates; 0: the encoder is used as it is, and the prototypes stay as initialised."""
    batch_size: int = 64
    """Documents per update."""
    accumulate: int = 1
    """Cuts a batch into so many parts that are encoded one after the other (twice): less memory, the same update but
    for the units that dropout drops."""
    learning_rate: float = 1e-4
    """Peak learning rate, reached after the warm-up."""
    head_learning_rate: float | Literal["auto"] = field(
        default="auto", metadata=former({0: "auto"})
    )
    """Peak learning rate of the prototypes; auto: the encoder's."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Decay of the learning rate after the warm-up, to 0 at the last step; `constant`: no decay."""
    warmup: int = 20
    """Steps over which the learning rate rises from 0."""
    weight_decay: float = 0.0
    """Weight decay of AdamW (decoupled, multiplied by the learning rate)."""
    epsilon: float = 1e-8
    """Epsilon of AdamW, added to the root of the second moment."""
    clip: float | None = field(default=1.0, metadata=former({0: None}))
    """The encoder's gradient is clipped to this norm; none: no clipping."""
    save_every: int = 200
    """Steps between checkpoints, and between evaluations if there is a validation set."""
    patience: int | None = field(default=None, metadata=former({0: None}))
    """Evaluations without a gain after which it ends; none: never. The best parameters are kept."""
    log_every: int = field(default=50, metadata=EXECUTION)
    """Steps between lines of `metrics.jsonl`."""
    embed_batch: int = field(default=64, metadata=EXECUTION)
    """Documents of the greatest length encoded at once; more of them where they are short."""

    def __post_init__(self) -> None:
        check_choices(self)
        least = {"steps": 0, "warmup": 0}
        for name in ("batch_size", "accumulate", "save_every", "log_every", "embed_batch"):
            least[name] = 1
        for name, low in least.items():
            check(getattr(self, name) >= low, self, name, f"{low} or more")
        for name in ("learning_rate", "head_learning_rate", "epsilon", "clip"):
            value = getattr(self, name)
            check(value in (None, "auto") or value > 0, self, name, "a number above 0")
        check(self.weight_decay >= 0, self, "weight_decay", "0 or more")
        check_least(self, 1, "patience")
        whole = f"a divisor of batch_size={self.batch_size}"
        check(self.batch_size % self.accumulate == 0, self, "accumulate", whole)

    @property
    def is_off(self) -> bool:
        """Whether nothing is updated."""
        return not self.steps


@dataclass(frozen=True)
class PrototypeConfig:
    """One encoder and one head over all labels: prototypes built from their documents and texts, trained together.

    >>> PrototypeConfig(head=HeadConfig(scale=30)).head.scale
    30
    """

    model: Literal["prototype"] = "prototype"
    seed: int = 0
    """Seed of everything random: the same seed gives the same model."""
    memory: str = field(default="auto", metadata=EXECUTION | former({"": "auto"}))
    """Limit on host memory for the search, such as 8GB; auto: the limit of the machine or control group."""
    threads: int | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Number of threads on the host; auto: the cores that the process may use, or `OMP_NUM_THREADS`."""
    data: DataConfig = field(default_factory=DataConfig, metadata=EXECUTION)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    tuning: UpdateConfig = field(default_factory=UpdateConfig)
    search: NearestConfig = field(default_factory=NearestConfig, metadata=EXECUTION)
    parallel: ParallelConfig = field(default_factory=ParallelConfig, metadata=EXECUTION)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig, metadata=EXECUTION)
    rerank: RerankConfig = field(default_factory=RerankConfig, metadata=QUIET | EXECUTION)

    def __post_init__(self) -> None:
        check_choices(self)
        what = "all (fine-tuning takes its batches from all documents)"
        check(self.parallel.holds == "all", self.parallel, "holds", what)
        check(0 <= self.seed < 2**31, self, "seed", "0 to 2^31 - 1")
        check_machine(self)
