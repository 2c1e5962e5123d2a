"""A fine-tuning of prototypes as a whole: it learns, it resumes where it was, it keeps what did best."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import HeadConfig, UpdateConfig
from xmc_jax.encoder import wrap_function
from xmc_jax.features import normalize_rows
from xmc_jax.predict.nearest import build_nearest, find_nearest
from xmc_jax.run import Run
from xmc_jax.run.manifest import Manifest
from xmc_jax.tuning.level import Reporter
from xmc_jax.tuning.prototype.batches import group_texts
from xmc_jax.tuning.prototype.shortlist import find_negatives
from xmc_jax.tuning.prototype.start import (
    begin_head,
    begin_sums,
    expect_unseen,
    finish_head,
    refresh_rows,
)
from xmc_jax.tuning.prototype.sums import sum_labels
from xmc_jax.tuning.prototype.tune import PrototypeTuning, tune_prototypes
from xmc_jax.types import PAD, NoProgress

N, L, H, WORDS = 96, 12, 8, 24
UPDATE = UpdateConfig(steps=12, batch_size=16, learning_rate=0.05, warmup=0, save_every=4)


def count_words(params, ids):
    return (params["words"][ids]).sum(axis=1)


def make_tuning(head: HeadConfig | None = None, **changes) -> PrototypeTuning:
    """Documents of two words of each of their labels among noise; label L - 1 has a text and no document."""
    rng = np.random.default_rng(0)
    labels = np.zeros((N, L), bool)
    words = rng.integers(2 * L, WORDS + 1, (N, 6)) % WORDS
    for row in range(N):
        mine = rng.choice(L - 1, 2, replace=False)
        labels[row, mine] = True
        words[row, :4] = np.repeat(2 * mine, 2) + rng.integers(0, 2, 4)
    params = {"words": jnp.asarray(rng.standard_normal((WORDS, H)), jnp.float32)}
    encoder = wrap_function(count_words, params, H)
    texts = np.stack([2 * np.arange(L), 2 * np.arange(L) + 1], axis=1)
    settings = dict(
        encoder=encoder,
        tokens=encoder.tokenize(words),
        labels=sp.csr_matrix(labels.astype(np.float32)),
        label_tokens=encoder.tokenize(texts),
        silent=np.zeros(L, bool),
        head=head or HeadConfig(chunk=5),
        update=UPDATE,
        seed=0,
        mesh=None,
    )
    return PrototypeTuning(**(settings | changes))


def measure(tuning, outcome) -> float:
    """P@2 on the documents themselves."""
    vectors = tuning.embed(tuning.tokens, outcome.params)
    index = build_nearest(outcome.prototypes)
    ids, *_ = find_nearest(index, vectors, L, top_k=2, scores=outcome.prototypes.scores)
    return float(np.take_along_axis(tuning.labels.toarray(), ids, axis=1).mean())


class StopError(Exception):
    pass


class Stopping(NoProgress):
    """Ends a run after some documents."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, n: int) -> None:
        self.left -= n
        if self.left < 0:
            raise StopError


@pytest.fixture(scope="module")
def whole():
    tuning = make_tuning()
    return tuning, tune_prototypes(tuning, Run().steps("tuning"), Reporter(NoProgress(), Run(), 5))


def test_it_learns(whole):
    tuning, outcome = whole
    still = replace(tuning, update=replace(UPDATE, steps=0))
    before = tune_prototypes(still, Run().steps("tuning"), Reporter(NoProgress(), Run(), 5))
    assert measure(tuning, outcome) > max(0.8, measure(tuning, before))
    norms = np.linalg.norm(outcome.prototypes.rows, axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_a_label_without_documents_is_found_by_its_text(whole):
    tuning, outcome = whole
    vectors = tuning.embed(tuning.encoder.tokenize(np.array([[22, 23]])), outcome.params)
    ids, *_ = find_nearest(build_nearest(outcome.prototypes), vectors, L, top_k=3, scores="share")
    assert L - 1 in ids[0]
    silent = make_tuning(label_tokens=None)
    head = begin_head(
        silent.labels, normalize_rows(np.ones((N, H), np.float32)), None, silent.head, 0
    )
    unknown = finish_head(head, silent.labels, np.ones((N, H)), None, silent.head, 0)
    assert unknown.bias[L - 1] == -np.inf and np.isfinite(unknown.bias[:-1]).all()


@pytest.mark.parametrize("stop", [60, 150])
def test_a_stopped_run_resumes_to_the_same(whole, tmp_path, stop):
    tuning, outcome = whole
    progress = Stopping(N + L + stop)
    kept = Run(Manifest(tmp_path, "id", {}, is_held=True)).steps("tuning")
    with pytest.raises(StopError):
        tune_prototypes(tuning, kept, Reporter(progress, Run(), 5))
    for _ in range(2):  # and once more, when it is finished
        again = tune_prototypes(tuning, kept, Reporter(NoProgress(), Run(), 5))
        assert kept.last_step == UPDATE.steps + 1
        np.testing.assert_array_equal(again.params["words"], outcome.params["words"])
        np.testing.assert_array_equal(again.prototypes.rows, outcome.prototypes.rows)
        np.testing.assert_array_equal(again.prototypes.bias, outcome.prototypes.bias)


def test_the_best_parameters_are_kept_also_across_a_stop(tmp_path):
    scores = {1: 0.5, 2: 0.9, 3: 0.1}
    head = HeadConfig(chunk=5, refresh=6)
    outcomes = []
    for stops in (False, True):
        calls = iter(range(1, 9))

        def evaluate(params, prototypes, calls=calls):
            return {"P@1": scores[next(calls)]}

        tuning = make_tuning(head)
        kept = Run(Manifest(tmp_path / str(stops), "id", {}, is_held=True)).steps("tuning")
        if stops:
            progress = Stopping(N + L + 9 * 16)
            with pytest.raises(StopError):
                tune_prototypes(tuning, kept, Reporter(progress, Run(), 5), evaluate)
            assert kept.last_step == 8
        outcomes.append(tune_prototypes(tuning, kept, Reporter(NoProgress(), Run(), 5), evaluate))
    np.testing.assert_array_equal(outcomes[0].prototypes.rows, outcomes[1].prototypes.rows)
    np.testing.assert_array_equal(outcomes[0].params["words"], outcomes[1].params["words"])


def test_sums_by_hand():
    labels = sp.csr_matrix(np.array([[1, 0, 0], [3, 1, 0]], np.float32))
    vectors = np.array([[2, 0], [0, 5]], np.float32)
    texts = np.array([[0, 0], [0, 1], [1, 0]], np.float32)
    rows, inverse = sum_labels(labels, vectors, texts, 2.0)
    middle = np.sqrt([0.5, 0.5])
    sums = np.array([np.array([1, 1]) + 2 * middle, [0, 3], [2, 0]])
    np.testing.assert_allclose(rows, sums / np.linalg.norm(sums, axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(inverse, 1 / np.linalg.norm(sums, axis=1), rtol=1e-6)
    none, nothing = sum_labels(labels, vectors, None, 0.0)
    assert not none[2].any() and nothing[2] == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_refreshed_sums_keep_the_offsets(dtype):
    config = HeadConfig(chunk=5, precision=dtype)
    tuning = make_tuning(config)
    rng = np.random.default_rng(1)
    old, new = (
        (normalize_rows(rng.standard_normal((N, H)).astype(np.float32)), None) for _ in range(2)
    )
    head = begin_head(tuning.labels, *old, config, 0)
    offset = np.float32(0.25)
    head = replace(head, rows=(head.rows + offset).astype(head.rows.dtype))
    moved = refresh_rows(head, tuning.labels, old, new, config, 0)
    wanted = begin_sums(tuning.labels, *new, config, 0)
    rows = np.asarray(moved.rows, np.float32).reshape(-1, H)[:L]
    np.testing.assert_allclose(
        rows, wanted.rows + offset, atol=1e-6 if dtype == "float32" else 2e-2
    )
    np.testing.assert_allclose(moved.inverse.reshape(-1)[:L], wanted.inverse, rtol=1e-6)


@pytest.mark.parametrize("start", ["texts", "random"])
def test_other_starts_leave_nothing_out(start):
    tuning = make_tuning(HeadConfig(start=start))
    documents, texts = (np.eye(n, H, dtype=np.float32) for n in (N, L))
    head = begin_head(tuning.labels, documents, texts, tuning.head, 0)
    assert not head.inverse.any()
    if start == "texts":
        np.testing.assert_allclose(head.rows.reshape(-1, H)[:H], np.eye(H), atol=1e-6)


@pytest.mark.parametrize("unseen, wanted", [("auto", None), (3.0, 3.0)])
def test_a_label_without_documents_counts_as_some(unseen, wanted):
    tuning = make_tuning(HeadConfig(chunk=5, unseen=unseen, prior=0.5))
    start = tuning.embed(tuning.tokens, tuning.encoder.params)
    texts = tuning.embed(tuning.label_tokens, tuning.encoder.params)
    head = begin_head(tuning.labels, start, texts, tuning.head, 0)
    found = finish_head(head, tuning.labels, start, texts, tuning.head, 0)
    counts = tuning.labels.getnnz(axis=0)
    expected = wanted or expect_unseen(counts, 1)
    assert found.bias[-1] == pytest.approx(0.5 * np.log(expected))
    assert found.bias[0] == pytest.approx(0.5 * np.log(counts[0]))


def test_unseen_labels_are_expected_as_often_as_good_and_turing_say():
    counts = np.array([1, 1, 1, 9, 0, 0])
    assert expect_unseen(counts, 2) == 1.5 and expect_unseen(counts, 1) == 3.0
    assert expect_unseen(np.array([7, 1, 1]), 1) == 2.0
    assert expect_unseen(np.array([1, 1]), 1) == 1.0 and expect_unseen(counts, 0) == 1.0
    assert expect_unseen(np.array([5, 4, 0, 0]), 2) == 0.5


def test_groups_of_near_texts_are_whole_in_every_pass():
    rng = np.random.default_rng(0)
    centres = normalize_rows(rng.standard_normal((5, H)).astype(np.float32))
    vectors = centres[np.arange(80) % 5] + 0.01 * rng.standard_normal((80, H)).astype(np.float32)
    near = group_texts(vectors, 7, seed=3)
    drawn = np.concatenate([near.draw(step, 16, 3) for step in range(7, 17)])
    for one in (drawn[:80], drawn[80:]):
        np.testing.assert_array_equal(np.sort(one), np.arange(80))
    assert (drawn[:80] != drawn[80:]).any()
    own = [len(set(part % 5)) for part in drawn.reshape(-1, 16)]
    assert np.mean(own) <= 3  # of five


def test_batches_of_near_documents_resume_in_their_groups(tmp_path):
    """Groups of step 3 are those of parameters that are gone when the run resumes at step 4."""
    head = HeadConfig(chunk=5, negatives="clustered", sampled=4, mined=1, cluster_every=3)
    tuning = make_tuning(head)
    wanted = tune_prototypes(tuning, Run().steps("tuning"), Reporter(NoProgress(), Run(), 4))
    kept = Run(Manifest(tmp_path, "id", {}, is_held=True)).steps("tuning")
    with pytest.raises(StopError):
        tune_prototypes(tuning, kept, Reporter(Stopping(N + L + 5 * 16), Run(), 5))
    assert kept.last_step == 4
    again = tune_prototypes(tuning, kept, Reporter(NoProgress(), Run(), 5))
    np.testing.assert_array_equal(again.params["words"], wanted.params["words"])
    np.testing.assert_array_equal(again.prototypes.rows, wanted.prototypes.rows)


@pytest.mark.parametrize("negatives", ["sampled", "clustered"])
def test_it_learns_from_a_shortlist(negatives):
    head = HeadConfig(chunk=5, negatives=negatives, sampled=4, mined=1)
    tuning = make_tuning(head)
    start = tuning.embed(tuning.tokens, tuning.encoder.params)
    texts = tuning.embed(tuning.label_tokens, tuning.encoder.params)
    negatives = find_negatives(
        begin_sums(tuning.labels, start, texts, head, 0).rows, tuning.labels, head, 0
    )
    assert negatives.nearest.shape == (L, 1) and (negatives.nearest[:, 0] != np.arange(L)).all()
    assert negatives.nearest[-1, 0] == PAD  # a label without documents
    outcome = tune_prototypes(tuning, Run().steps("tuning"), Reporter(NoProgress(), Run(), 4))
    whole = make_tuning()
    frozen = make_tuning(head, update=replace(UPDATE, steps=0))
    still = tune_prototypes(frozen, Run().steps("tuning"), Reporter(NoProgress(), Run(), 4))
    assert measure(whole, outcome) > measure(whole, still) + 0.05
