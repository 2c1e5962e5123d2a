"""Settings of the models with an encoder: XR-Transformer and X-Transformer."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Literal

from xmc_jax.config.calibrate import CalibrateConfig
from xmc_jax.config.fields import EXECUTION, QUIET, as_tuple, check, check_choices, check_least
from xmc_jax.config.former import former
from xmc_jax.config.prototype import HeadConfig, PrototypeConfig, UpdateConfig
from xmc_jax.config.rerank import RerankConfig
from xmc_jax.config.sections import (
    CombinationName,
    DataConfig,
    DisentangleConfig,
    EncoderConfig,
    FeaturesConfig,
    LinearConfig,
    Loss,
    ParallelConfig,
    PreliminaryConfig,
    RankerConfig,
    SearchConfig,
    TreeConfig,
)
from xmc_jax.errors import InputError

TuningNegatives = Literal["tfn", "man", "tfn+man"]
Bootstrap = Literal["linear", "weighted-linear", "inherit", "none"]
"""What the head of a level starts from."""


_WHOLE = "all (fine-tuning takes its batches from all documents)"


@dataclass(frozen=True)
class TuningConfig:
    """How the encoder is fine-tuned on each level of a tree (Zhang et al. 2021, "XR-Transformer")."""

    head: Literal["levels", "prototype"] = field(default="levels", metadata=QUIET)
    """What the encoder is fine-tuned with: one head per level of a tree, or one over all labels (section `head`)."""
    steps: int | tuple[int, ...] = 1000
    """Updates per level (in total with one head over all labels); 0: the encoder is used as it is."""
    batch_size: int | Literal["auto"] = 32
    """Documents of an update; auto: as many as the devices hold at once, 64 on each at most (32 on CPUs). A run keeps
    what it began with."""
    accumulate: int | Literal["auto"] = "auto"
    """Cuts a batch into so many parts, whose gradients are averaged: less memory, the same update (other units are
    dropped); auto: as many as it takes to fit the devices."""
    learning_rate: float | tuple[float, ...] = 5e-5
    """Peak learning rate, reached after the warm-up."""
    head_learning_rate: float | tuple[float, ...] | Literal["auto"] = field(
        default="auto", metadata=former({0: "auto"})
    )
    """Peak learning rate of the heads; auto: the encoder's."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Decay of the learning rate after the warm-up, to 0 at the last step; `constant`: no decay."""
    warmup: int | tuple[int, ...] = 100
    """Steps per level over which the learning rate rises from 0."""
    weight_decay: float = 0.0
    """Weight decay of AdamW (decoupled, multiplied by the learning rate)."""
    epsilon: float = 1e-8
    """Epsilon of AdamW, added to the root of the second moment."""
    clip: float | None = field(default=1.0, metadata=former({0: None}))
    """Gradients are clipped to this norm, separately for encoder and head; none: no clipping."""
    loss: Loss = "squared_hinge"
    """Loss of a document's margins."""
    weighted: bool = True
    """Weights a positive cluster by the number of the document's labels in it."""
    negatives: TuningNegatives = "tfn+man"
    """Which clusters' children a document is scored against below level 0: those of its true clusters (tfn), those that
    its beam reaches (man), or both."""
    max_candidates: int | tuple[int, ...] | None = field(default=1000, metadata=former({0: None}))
    """Largest number of nodes that a document is scored against: its positives, and negatives redrawn each time; none:
    all."""
    bootstrap: Bootstrap = "linear"
    """How a head is initialised: a linear model on the vectors, its parent's weights, or small random numbers."""
    match: Literal["concat", "encoder"] = "concat"
    """What finds the clusters near a document: a linear level on [features, vector], or the head."""
    match_beam: int = 10
    """Number of clusters found per document on each level."""
    threshold: float = 0.001
    """Weights with a smaller absolute value are dropped from the linear levels between the resolutions."""
    cost_sensitive: bool = False
    """Weights the positives of these linear levels by their share of a document's labels."""
    max_clusters: int = 32_768
    """Levels with more nodes than this are not fine-tuned."""
    save_every: int = 200
    """Steps between checkpoints, and between evaluations if there is a validation set."""
    patience: int | None = field(default=None, metadata=former({0: None}))
    """Stops a level after this many evaluations without a gain; none: never. The best parameters are kept."""
    log_every: int = field(default=50, metadata=EXECUTION)
    """Steps between lines in `metrics.jsonl`."""
    embed_batch: int = field(default=64, metadata=EXECUTION)
    """Number of documents of the greatest length encoded at once; more if they are shorter."""

    def __post_init__(self) -> None:
        check_choices(self)
        least = {
            "steps": 0,
            "warmup": 0,
            "batch_size": 1,
            "accumulate": 1,
            "match_beam": 1,
            "max_clusters": 1,
            "save_every": 1,
            "log_every": 1,
            "embed_batch": 1,
        }
        for name, low in least.items():
            values = as_tuple(getattr(self, name))
            check(all(v == "auto" or v >= low for v in values), self, name, f"{low} or more")
        for name in ("learning_rate", "head_learning_rate", "epsilon", "clip"):
            values = as_tuple(getattr(self, name))
            check(all(v in (None, "auto") or v > 0 for v in values), self, name, "above 0")
        for name in ("weight_decay", "threshold"):
            check(getattr(self, name) >= 0, self, name, "0 or more")
        check_least(self, 1, "max_candidates", "patience")
        if self.batch_size != "auto" and self.accumulate != "auto":
            whole = f"a divisor of batch_size={self.batch_size}"
            check(self.batch_size % self.accumulate == 0, self, "accumulate", whole)

    def to_updates(self) -> UpdateConfig:
        """Returns the settings for updates with one head over all labels.

        Raises:
            InputError: a setting has one value per level, or `batch_size` is `auto`.
        """
        shared = [f.name for f in fields(UpdateConfig)]
        for name in shared:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) > 1:
                raise InputError(
                    f"tuning.{name}={value} given with tuning.head=prototype, which has no levels; one value needed"
                )
        values = {name: as_tuple(getattr(self, name))[0] for name in shared}
        if values["batch_size"] == "auto":
            raise InputError(
                "tuning.batch_size=auto given with tuning.head=prototype, a number needed"
            )
        if values["accumulate"] == "auto":
            values["accumulate"] = 1
        return UpdateConfig(**values)

    @property
    def is_off(self) -> bool:
        """Whether no level is fine-tuned."""
        return not any(as_tuple(self.steps))


@dataclass(frozen=True)
class XRTransformerConfig:
    """XR-Transformer (Zhang et al. 2021): an encoder is fine-tuned level by level down a first tree; XR-Linear on
    [features, vector], with a tree of its own, then ranks the labels.

    >>> XRTransformerConfig(tuning=TuningConfig(steps=(100, 300))).tuning.steps
    (100, 300)
    """

    model: Literal["xr-transformer"] = "xr-transformer"
    seed: int = 0
    """Seed of everything random: the same seed gives the same model."""
    memory: str = field(default="auto", metadata=EXECUTION | former({"": "auto"}))
    """Limit on host memory for the final levels and their search; auto: the limit of the machine or control group."""
    threads: int | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Number of threads on the host; auto: the cores that the process may use, or `OMP_NUM_THREADS`."""
    data: DataConfig = field(default_factory=DataConfig, metadata=EXECUTION)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    preliminary: PreliminaryConfig = field(default_factory=PreliminaryConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    head: HeadConfig = field(default_factory=HeadConfig, metadata=QUIET)
    """The prototypes that the encoder is fine-tuned with under `tuning.head=prototype`."""
    mix: float = field(default=0.5, metadata=QUIET | EXECUTION)
    """Share of the prototypes' score in a label's score; the rest is that of the linear levels. Held-out documents
    (validation, `rerank`, `calibrate`) choose it instead, if there are any. Without prototypes nothing is mixed."""
    tree: TreeConfig = field(default_factory=TreeConfig)
    """The tree of the final levels, which clusters labels by features and vectors."""
    refine: bool = True
    """Whether the final levels have a tree of their own; false: they use the preliminary tree."""
    ranker: RankerConfig = field(
        default_factory=lambda: RankerConfig(threshold=0.001, negatives="tfn+man")
    )
    search: SearchConfig = field(default_factory=lambda: SearchConfig(beam=20))
    disentangle: DisentangleConfig = field(default_factory=DisentangleConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig, metadata=EXECUTION)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig, metadata=QUIET | EXECUTION)
    rerank: RerankConfig = field(default_factory=RerankConfig, metadata=QUIET | EXECUTION)
    trees: int = field(default=1, metadata=QUIET)
    """Number of trees of the final levels, a forest on the vectors of one encoder."""
    combine: CombinationName = field(default="average", metadata=QUIET | EXECUTION)
    """How the predictions of a forest's trees are combined."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(0 <= self.mix <= 1, self, "mix", "a share in [0, 1]")
        if self.has_prototypes:
            self.tuning.to_updates()
        check(self.parallel.holds == "all", self.parallel, "holds", _WHOLE)
        linear_part(self)

    @property
    def has_prototypes(self) -> bool:
        """Whether the encoder is fine-tuned with prototypes of all labels."""
        return self.tuning.head == "prototype" and not self.tuning.is_off


@dataclass(frozen=True)
class XTransformerConfig:
    """X-Transformer (Chang et al. 2020): an encoder is fine-tuned once on flat label clusters; its head finds the
    clusters of a document, and a linear model on [features, vector] ranks the labels in them.

    >>> XTransformerConfig(label_embedding="text").tuning.bootstrap
    'none'
    """

    model: Literal["x-transformer"] = "x-transformer"
    seed: int = 0
    """Seed of everything random: the same seed gives the same model."""
    memory: str = field(default="auto", metadata=EXECUTION | former({"": "auto"}))
    """Limit on host memory for the final levels and their search; auto: the limit of the machine or control group."""
    threads: int | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Number of threads on the host; auto: the cores that the process may use, or `OMP_NUM_THREADS`."""
    data: DataConfig = field(default_factory=DataConfig, metadata=EXECUTION)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    label_embedding: Literal["pifa-tfidf", "pifa-neural", "text"] = "pifa-tfidf"
    """Vectors by which labels are clustered: means of their documents' features, means of their documents' vectors, or
    vectors of the labels' names."""
    tree: TreeConfig = field(default_factory=TreeConfig)
    """The clusters; only `max_leaf_size` matters, as there is one level of them whatever `branching` is."""
    tuning: TuningConfig = field(
        default_factory=lambda: TuningConfig(weighted=False, bootstrap="none")
    )
    ranker: RankerConfig = field(
        default_factory=lambda: RankerConfig(threshold=0.01, negatives="tfn+man")
    )
    search: SearchConfig = field(
        default_factory=lambda: SearchConfig(post_processor=("l3-hinge", "noop"))
    )
    disentangle: DisentangleConfig = field(
        default_factory=lambda: DisentangleConfig(retrain="last")
    )
    """Rounds retrain only the last level, as the head finds the clusters."""
    parallel: ParallelConfig = field(default_factory=ParallelConfig, metadata=EXECUTION)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig, metadata=QUIET | EXECUTION)
    rerank: RerankConfig = field(default_factory=RerankConfig, metadata=QUIET | EXECUTION)
    trees: int = field(default=1, metadata=QUIET)
    """Number of trees of a forest on the vectors of one encoder: the head finds the clusters of the first, a linear
    level those of the others."""
    combine: CombinationName = field(default="average", metadata=QUIET | EXECUTION)
    """How the predictions of a forest's trees are combined."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(
            self.tuning.head == "levels",
            self.tuning,
            "head",
            "levels (X-Transformer's head finds clusters; prototypes need xr-transformer)",
        )
        check(self.parallel.holds == "all", self.parallel, "holds", _WHOLE)
        linear_part(self)
        check(
            self.disentangle.retrain == "last",
            self.disentangle,
            "retrain",
            "last (x-transformer's clusters are found by its head, which rounds do not retrain)",
        )
        check(
            self.tree.embedding == "pifa",
            self.tree,
            "embedding",
            "pifa (set label_embedding to choose what labels are clustered by)",
        )


TransformerConfig = XRTransformerConfig | XTransformerConfig
"""Settings of the models that fine-tune an encoder on a tree."""
TreeModelConfig = LinearConfig | XRTransformerConfig | XTransformerConfig
"""Settings of the models that search down trees."""
Config = TreeModelConfig | PrototypeConfig
"""Settings of any model."""

CONFIGS: dict[str, type] = {
    "linear": LinearConfig,
    "xr-transformer": XRTransformerConfig,
    "x-transformer": XTransformerConfig,
    "prototype": PrototypeConfig,
}
"""Name of a model → class of its settings."""


def linear_part(config: TreeModelConfig) -> LinearConfig:
    """Returns the settings of the final levels: those of XR-Linear on [features, vector]."""
    if isinstance(config, LinearConfig):
        return config
    same = {f.name: getattr(config, f.name) for f in fields(LinearConfig) if f.name != "model"}
    if isinstance(config, XTransformerConfig):
        same["tree"] = flat_clusters(config.tree)
    return LinearConfig(**same)


def flat_clusters(tree: TreeConfig) -> TreeConfig:
    """Returns the tree's settings with all clusters below the root."""
    return replace(tree, min_clusters=2**31 - 1)
