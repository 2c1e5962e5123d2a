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


_WHOLE = "all (fine-tuning takes its batches from all documents)"


@dataclass(frozen=True)
class TuningConfig:
    """How the encoder is fine-tuned on each level of a tree (Zhang et al. 2021, "XR-Transformer")."""

    head: Literal["levels", "prototype"] = field(default="levels", metadata=QUIET)
    """What the encoder is fine-tuned with: a head for each level of a tree, or one over all labels (section `head`)."""
    steps: int | tuple[int, ...] = 1000
    """Updates on each level (of one head over all labels: in all); 0: the encoder is used as it is."""
    batch_size: int | Literal["auto"] = 32
    """Documents of an update; auto: as many as the devices hold at once, 64 on each at most (32 on CPUs). A run keeps
    what it began with."""
    accumulate: int | Literal["auto"] = "auto"
    """Cuts a batch into so many parts, whose gradients are averaged: less memory, the same update (other units are
    dropped); auto: as many as it takes to fit the devices."""
    learning_rate: float | tuple[float, ...] = 5e-5
    """Greatest rate, after the warm-up."""
    head_learning_rate: float | tuple[float, ...] | Literal["auto"] = field(
        default="auto", metadata=former({0: "auto"})
    )
    """Of the heads; auto: as the encoder's."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """After the warm-up: to 0 at the last step, or none."""
    warmup: int | tuple[int, ...] = 100
    """Steps on each level over which the rate rises from 0."""
    weight_decay: float = 0.0
    """Share of a weight that an update takes away, beside the rate."""
    epsilon: float = 1e-8
    """Of AdamW, beside the root of the second moment."""
    clip: float | None = field(default=1.0, metadata=former({0: None}))
    """Greatest norm of the gradient, of the encoder and of the head apart; none: any."""
    loss: Loss = "squared_hinge"
    """Of a document's margins."""
    weighted: bool = True
    """A positive cluster weighs as many times as the document has labels in it."""
    negatives: TuningNegatives = "tfn+man"
    """Below level 0 a document is scored against the children of which clusters."""
    max_candidates: int | tuple[int, ...] | None = field(default=1000, metadata=former({0: None}))
    """Nodes that a document is scored against at most: its positives, and negatives drawn anew each time; none: all."""
    bootstrap: Bootstrap = "linear"
    """Where a head begins: a linear model on the vectors, its parent's weights, or small random numbers."""
    match: Literal["concat", "encoder"] = "concat"
    """What says which clusters come near: a linear level on [features, vector], or the head."""
    match_beam: int = 10
    """Clusters of a level that come near a document."""
    threshold: float = 0.001
    """Smaller weights of the linear levels between the resolutions are dropped."""
    cost_sensitive: bool = False
    """Their positives weigh their share of a document's labels."""
    max_clusters: int = 32_768
    """Levels with more nodes are not fine-tuned."""
    save_every: int = 200
    """Steps between checkpoints, and between evaluations where there is a validation set."""
    patience: int | None = field(default=None, metadata=former({0: None}))
    """Evaluations without a gain after which a level ends; none: never. The best parameters are kept."""
    log_every: int = field(default=50, metadata=EXECUTION)
    """Steps between lines of `metrics.jsonl`."""
    embed_batch: int = field(default=64, metadata=EXECUTION)
    """Documents of the greatest length encoded at once; more of them where they are short."""

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
        """Returns the settings of the updates with one head over all labels.

        Raises:
            InputError: a setting has several values, one for each level.
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
        return UpdateConfig(**values | {"warmup": min(values["warmup"], values["steps"])})

    @property
    def is_off(self) -> bool:
        """Tells that no level is fine-tuned."""
        return not any(as_tuple(self.steps))


@dataclass(frozen=True)
class XRTransformerConfig:
    """XR-Transformer (Zhang et al. 2021): an encoder fine-tuned level by level down a first tree, then XR-Linear on
    [features, vector] with a tree of its own."""

    model: Literal["xr-transformer"] = "xr-transformer"
    seed: int = 0
    """Of everything random: the same seed, the same model."""
    memory: str = field(default="auto", metadata=EXECUTION | former({"": "auto"}))
    """Host memory that the final levels and their search keep to; auto: what machine and control group have."""
    threads: int | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Threads on the host; auto: the cores that the process may use, or `OMP_NUM_THREADS`."""
    data: DataConfig = field(default_factory=DataConfig, metadata=EXECUTION)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    preliminary: PreliminaryConfig = field(default_factory=PreliminaryConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    head: HeadConfig = field(default_factory=HeadConfig, metadata=QUIET)
    """The prototypes that the encoder is fine-tuned with under `tuning.head=prototype`."""
    mix: float = field(default=0.5, metadata=QUIET | EXECUTION)
    """Share of the prototypes' score in that of a label, the rest is the linear levels'; documents that are held out
    (validation, `rerank`, `calibrate`) choose it anew. Without prototypes nothing is mixed."""
    tree: TreeConfig = field(default_factory=TreeConfig)
    """The tree of the final levels, of features and vectors."""
    refine: bool = True
    """False: the final levels take the preliminary tree too."""
    ranker: RankerConfig = field(
        default_factory=lambda: RankerConfig(threshold=0.001, negatives="tfn+man")
    )
    search: SearchConfig = field(default_factory=lambda: SearchConfig(beam=20))
    disentangle: DisentangleConfig = field(default_factory=DisentangleConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig, metadata=EXECUTION)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig, metadata=QUIET | EXECUTION)
    rerank: RerankConfig = field(default_factory=RerankConfig, metadata=QUIET | EXECUTION)
    trees: int = field(default=1, metadata=QUIET)
    """Trees of the final levels, a forest on the vectors of one encoder."""
    combine: CombinationName = field(default="average", metadata=QUIET | EXECUTION)
    """How the predictions of a forest's trees become one."""

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
    """X-Transformer (Chang et al. 2020): an encoder fine-tuned once on flat label clusters; its head finds the
    clusters of a document, a linear model on [features, vector] ranks the labels in them."""

    model: Literal["x-transformer"] = "x-transformer"
    seed: int = 0
    """Of everything random: the same seed, the same model."""
    memory: str = field(default="auto", metadata=EXECUTION | former({"": "auto"}))
    """Host memory that the final levels and their search keep to; auto: what machine and control group have."""
    threads: int | Literal["auto"] = field(default="auto", metadata=EXECUTION)
    """Threads on the host; auto: the cores that the process may use, or `OMP_NUM_THREADS`."""
    data: DataConfig = field(default_factory=DataConfig, metadata=EXECUTION)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    label_embedding: Literal["pifa-tfidf", "pifa-neural", "text"] = "pifa-tfidf"
    """What is clustered: means of the documents' features, of their vectors, or the vectors of the labels' names."""
    tree: TreeConfig = field(default_factory=TreeConfig)
    """Of the clusters `max_leaf_size` counts; there is one level of them, whatever `branching` is."""
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
    """Rounds train the last level only: the head finds the clusters."""
    parallel: ParallelConfig = field(default_factory=ParallelConfig, metadata=EXECUTION)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig, metadata=QUIET | EXECUTION)
    rerank: RerankConfig = field(default_factory=RerankConfig, metadata=QUIET | EXECUTION)
    trees: int = field(default=1, metadata=QUIET)
    """Trees of a forest on the vectors of one encoder: the head finds the clusters of the first, a linear level those
    of the others."""
    combine: CombinationName = field(default="average", metadata=QUIET | EXECUTION)
    """How the predictions of a forest's trees become one."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(
            self.tuning.head == "levels",
            self.tuning,
            "head",
            "levels (X-Transformer's head finds clusters; xr-transformer takes prototypes)",
        )
        check(self.parallel.holds == "all", self.parallel, "holds", _WHOLE)
        linear_part(self)
        check(
            self.disentangle.retrain == "last",
            self.disentangle,
            "retrain",
            "last (x-transformer's clusters are found by its head, which rounds do not train)",
        )
        check(
            self.tree.embedding == "pifa",
            self.tree,
            "embedding",
            "pifa (label_embedding says what it is made of)",
        )


TransformerConfig = XRTransformerConfig | XTransformerConfig
TreeModelConfig = LinearConfig | XRTransformerConfig | XTransformerConfig
"""Settings of models that search down trees."""
Config = TreeModelConfig | PrototypeConfig

CONFIGS: dict[str, type] = {
    "linear": LinearConfig,
    "xr-transformer": XRTransformerConfig,
    "x-transformer": XTransformerConfig,
    "prototype": PrototypeConfig,
}
"""Name of a model → its settings."""


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
