"""The cost of training prototypes, before it runs.

With L labels, N documents, P parameters and H columns of the encoder, F multiply-adds per text, batches of B:

    vectors before        4·H·(N + L) bytes, and as many again while sums are made; (N + L)·F multiply-adds, and as many
                          at each refresh; N·F whenever documents are grouped anew
    prototypes            b·L·H bytes, b = 4 or 2 (bfloat16); moments 8·L·H (adam), 4·L (row-adam) or none; 12·L beside
    fine-tuning           prototypes and moments, 16·P of the encoder, its activations, a few chunks of K·H and B·K;
                          steps · B · (3·F + 4·L·H) multiply-adds, one more L·H where a sum goes before the gradient;
                          L is that of a batch's shortlist where negatives are not all labels
    re-ranker             4·H·N bytes of vectors, twice, and labels and their pairs; N·H multiply-adds per document
    search                prototypes as they are stored, batches of K·256; L·H multiply-adds per document, or by a beam
                          of b clusters of 100 twice 4·L·H bytes beside, and (L / 100 + 100·b)·H multiply-adds
"""

from __future__ import annotations

from xmc_jax.config import HeadConfig, PrototypeConfig, TreeConfig, UpdateConfig
from xmc_jax.memory import PROGRAM
from xmc_jax.plan.counts import Counts
from xmc_jax.plan.encoder import EncoderCost, encode
from xmc_jax.plan.linear import Plan, Stage, count_labels, plan_memory
from xmc_jax.plan.pace import CUTTING, FLOP, PARSING, STAGE, START

_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
_MOMENTS = {"adam": (8, 8), "row-adam": (0, 8), "sgd": (0, 0)}
"""Optimizer → bytes of moments per number and per label."""
_PASSES = {"decoupled": 4, "softmax": 4, "bce": 3}
"""Products of a batch with all prototypes."""
_CHUNKS = 6
"""Arrays of the size of a chunk that are alive at once."""


def plan_prototypes(counts: Counts, config: PrototypeConfig, cost: EncoderCost) -> Plan:
    """Returns memory and work of a training; the formulas are at the top of this file."""
    n, n_labels, hidden = counts.n_documents, counts.n_labels, cost.hidden
    has_texts = config.head.labels_text is not None
    held = PROGRAM + counts.text_bytes + 8 * (counts.nnz_labels + n) + 100 * n_labels
    vectors = 4 * hidden * (n + has_texts * n_labels)
    encoded = (n + has_texts * n_labels) * cost.text
    begun = START + counts.text_bytes * (CUTTING + PARSING) + encode(n + has_texts * n_labels, cost)
    stages = [Stage("vectors", held + 2 * vectors + 4 * cost.parameters, encoded, begun)]
    numbers = n_labels * hidden
    if not config.tuning.is_off:
        batch, head = config.tuning.batch_size, _weigh_head(numbers, n_labels, config)
        # The state is on the host once more while it is saved.
        memory = held + vectors + head + 4 * cost.parameters
        memory += weigh_prototypes(counts, config, cost)["tuning"]
        passes = _PASSES[config.head.loss] - (not config.head.offsets)
        compared = n_labels
        if config.head.negatives != "all":
            near = (1 + config.head.mined) * batch * count_labels(counts)
            compared = min(n_labels, config.head.sampled + round(near))
        work = config.tuning.steps * batch * (3 * cost.text + passes * compared * hidden)
        again = count_again(config.head, config.tuning, n, has_texts * n_labels)
        work += again * cost.text
        seconds = STAGE + encode(3 * config.tuning.steps * batch + again, cost)
        seconds += 2 * FLOP * config.tuning.steps * batch * passes * compared * hidden
        stages.append(Stage("tuning", memory, work, seconds))
    kept = hidden if config.head.project is None else config.head.project
    numbers = n_labels * kept
    stored = n_labels * (_BYTES[config.head.storage] * kept + 8)
    model, memory = stored + 4 * cost.parameters, 0
    if config.rerank.mode != "off":
        share = config.calibrate.share or config.rerank.share
        keys = 4 * hidden * n
        stage, memory = plan_memory(counts, config.rerank, share, keys, held + model, n * hidden)
        stages.append(stage)
    search, compared = held + 2 * stored + 4 * cost.parameters + memory, n_labels
    if config.search.beam is not None:
        leaf = TreeConfig().max_leaf_size
        search += 2 * 4 * numbers
        compared = min(n_labels, n_labels // leaf + leaf * config.search.beam)
    stages.append(Stage("search", search, n * compared * kept, 0.0))
    return Plan((), tuple(stages), model)


def count_again(head: HeadConfig, update: UpdateConfig, n: int, n_texts: int) -> int:
    """Returns how many texts are encoded again while prototypes are trained: for new sums, and for new groups.

    Args:
        head: the settings of the prototypes.
        update: the settings of the updates.
        n: N, the number of documents.
        n_texts: the number of labels with texts.
    """
    last = max(0, update.steps - 1)  # nothing is encoded after the last update
    again = last // head.refresh * (n + n_texts) if head.refresh else 0
    if head.negatives == "clustered":
        passes = max(1, 5 * n // update.batch_size)
        again += last // (passes if head.cluster_every == "auto" else head.cluster_every) * n
    return again


def weigh_prototypes(
    counts: Counts, config: PrototypeConfig, cost: EncoderCost, n_devices: int = 1
) -> dict[str, int]:
    """Returns the bytes on a device for each stage: labels and texts are split over devices, the encoder is not."""
    from xmc_jax.encoder import count_activations
    from xmc_jax.tuning.prototype.head import choose_chunk

    n_labels, hidden = counts.n_labels, cost.hidden
    needs = {}
    if not config.tuning.is_off:
        tuning, wanted = config.tuning, config.head.chunk
        size = choose_chunk(n_labels, 0 if wanted == "auto" else wanted)
        texts = -(-tuning.batch_size // (tuning.accumulate * n_devices))
        activations = count_activations(
            cost.architecture,
            texts,
            cost.length,
            config.encoder.dtype,
            config.encoder.remat is True,
        )
        chunks = 4 * _CHUNKS * size * (hidden + tuning.batch_size)
        head = _weigh_head(n_labels * hidden, n_labels, config) // n_devices
        needs["tuning"] = head + 16 * cost.parameters + activations + chunks
    stored = n_labels * (_BYTES[config.head.storage] * hidden + 9)
    needs["search"] = stored // n_devices + 4 * cost.parameters
    return needs


def _weigh_head(numbers: int, n_labels: int, config: PrototypeConfig) -> int:
    """Returns the bytes of all prototypes and their moments."""
    a_number, a_label = _MOMENTS[config.head.optimizer]
    return numbers * (_BYTES[config.head.precision] + a_number) + n_labels * (12 + a_label)
