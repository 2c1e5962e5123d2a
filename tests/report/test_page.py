"""The page of every kind of model: what is in it, what is not and why, and what no label's name can do to it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.cli.main import main
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError
from xmc_jax.report.page import SECTIONS

CORPUS = make_corpus(n_train=200, n_test=40, n_labels=40, branching=4, seed=0)
SETTINGS = dict(max_leaf_size=5, branching=4, min_count=1, beam=3)
ASKED = [CORPUS.test_labels[1], *CORPUS.test_labels[:-1]]
"""Labels of other documents: many are missed."""
EVIL = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(2)>",
    "عنوان ‮ عربي",
    "</style>]]>",
    "a\u2028b&amp;",
]


class Reader(HTMLParser):
    """Checks that elements are closed in order, and keeps what is asked about."""

    VOID = frozenset(("meta", "input", "br", "img", "link"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts: list[dict] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id"]
        if tag == "script":
            self.scripts.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(page):
    """Checks what holds for every page, and returns it read."""
    reader = Reader()
    reader.feed(page.html)
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert len([s for s in reader.scripts if "type" not in s]) == 1
    assert not reader.tags & {"img", "link", "iframe", "object"}
    assert not [key for key, _ in reader.attributes if key.startswith("on") or key == "src"]
    for key, value in reader.attributes:
        assert key != "href" or (value or "").startswith("#")
    for text in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page.html, re.S):
        json.loads(text)
    for picture in page.pictures.values():
        ElementTree.fromstring(picture._repr_svg_())
    shown = {name for name in reader.ids if f'<section id="{name}"' in page.html}
    assert len(shown) == len(SECTIONS)
    return reader


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a <run>"
    model = xmc.XRLinear(**SETTINGS, calibrate=dict(share=0.3))
    return model.fit(CORPUS.train_texts, CORPUS.train_labels, workdir=folder), folder


def test_everything_is_in_the_page_of_a_calibrated_model(run):
    model, _ = run
    page = model.report(CORPUS.test_texts, ASKED, n_worst=2)
    check(page)
    assert page.title == "a <run>"
    assert page.absent == {}
    assert {"scores", "frequency", "reliability", "precision-recall", "thresholds", "tree"} <= set(
        page.pictures
    )
    scores = xmc.metrics.evaluate(
        model.predict(CORPUS.test_texts, top_k=5), model_truth(model), k=1
    )
    assert f"right in {scores['P@1']:.1f} % of the 40 documents" in page.html
    assert "expected calibration error" in page.html
    assert "micro-f1" in page.html and "contributions" in page.html
    assert page.html == model.report(CORPUS.test_texts, ASKED, n_worst=2).html
    assert "srcdoc=" in page._repr_html_()


def model_truth(model):
    names = {name: i for i, name in enumerate(model.label_names)}
    rows = [[names[n] for n in row if n in names] for row in ASKED]
    truth = np.zeros((len(rows), model.n_labels))
    for i, row in enumerate(rows):
        truth[i, row] = 1
    return sp.csr_matrix(truth)


TRUST, TREE, LOG = "Can the probabilities be trusted?", "The label tree", "Training"
ENCODED = dict(encoder=dict(name="static"), seed=0)
KINDS = {
    "plain": (lambda: xmc.XRLinear(**SETTINGS), {LOG}, "not calibrated"),
    "forest": (lambda: xmc.XRLinear(**SETTINGS, trees=2), {LOG}, "the first of 2 trees"),
    "copies": (lambda: xmc.XRLinear(**SETTINGS, copies=2), {LOG}, "places"),
    "margins": (
        lambda: xmc.XRLinear(**SETTINGS, post_processor="noop"),
        {LOG, TRUST},
        "no probabilities",
    ),
    "memory": (
        lambda: xmc.XRLinear(**SETTINGS, rerank=dict(mode="reranker"), calibrate=dict(share=0.3)),
        {LOG},
        "Nearest training documents",
    ),
    "xr-transformer": (
        lambda: xmc.XRTransformer(tuning=dict(steps=4), **ENCODED),
        {LOG},
        "XRTransformer",
    ),
    "x-transformer": (
        lambda: xmc.XTransformer(tuning=dict(steps=4), **ENCODED),
        {LOG},
        "XTransformer",
    ),
    "prototype": (
        lambda: xmc.PrototypeModel(tuning=dict(steps=4), **ENCODED),
        {LOG, TREE},
        "has no tree",
    ),
}


@pytest.mark.parametrize(
    "kind", ["plain", *(pytest.param(k, marks=pytest.mark.slow) for k in list(KINDS)[1:])]
)
def test_every_kind_of_model_says_what_is_missing(kind):
    make, absent, said = KINDS[kind]
    model = make().fit(CORPUS.train_texts, CORPUS.train_labels)
    page = model.report(CORPUS.test_texts, ASKED, n_worst=1)
    check(page)
    assert set(page.absent) == absent
    assert said in page.html
    alone = model.report()
    check(alone)
    assert set(alone.absent) >= {"Scores", "Worst documents"}
    assert "--data D" in alone.absent["Scores"]
    both = xmc.Ensemble([model, model]).report(CORPUS.test_texts, ASKED, n_worst=1)
    check(both)
    assert TREE in both.absent
    assert "ask each of .members" in both.html


@pytest.mark.slow
def test_training_curves_are_in_the_page_of_a_run(tmp_path):
    model = xmc.XRTransformer(tuning=dict(steps=4, log_every=1), **ENCODED)
    model.fit(CORPUS.train_texts, CORPUS.train_labels, workdir=tmp_path / "run")
    page = model.report()
    check(page)
    assert {"loss", "rate", "seconds"} <= set(page.pictures)


@pytest.mark.filterwarnings("ignore:rows of features are scaled")
def test_names_do_nothing_but_stand_there():
    rng = np.random.default_rng(0)
    x = sp.random(60, 12, 0.5, "csr", np.float32, random_state=rng)
    rows = [[EVIL[i % len(EVIL)]] for i in range(60)]
    model = xmc.XRLinear(max_leaf_size=2, branching=2).fit(x, rows)
    page = model.report(
        x, [[EVIL[(i + 1) % len(EVIL)]] for i in range(60)], title=EVIL[0], data=EVIL[1]
    )
    check(page)
    assert "<script>alert" not in page.html and "<img" not in page.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.html
    assert "script-src 'sha256-" in page.html.replace("&#x27;", "'")


def test_control_characters_and_half_surrogates_are_replaced():
    from xmc_jax.report.markup import clean, cut, embed, name

    assert clean("a\x00b\x1bc\ud800d\x85") == "a�b�c�d�"
    assert cut("  a \n b ", 9) == "a b"
    assert name("x" * 200).count("x") == 279  # cut, and whole as a hint
    assert embed("i", "</script>").count("<") == 2


def test_wrong_inputs(run, tmp_path):
    model, _ = run
    texts, labels = CORPUS.test_texts, ASKED
    cases = [
        (lambda: model.report(texts), "documents given without labels"),
        (lambda: model.report(labels=labels), "labels given without documents"),
        (lambda: model.report(texts, labels[:3]), "40 documents given for 3 rows"),
        (
            lambda: model.report(texts, [["never seen"]] * 40),
            "without any label that the model knows",
        ),
        (lambda: model.report(texts, labels, n_worst=-1), "n_worst=-1"),
        (lambda: model.report(texts, labels, path=tmp_path), "a file in a writable folder"),
        (
            lambda: model.report(texts, labels, path=tmp_path / "no" / "r.html"),
            "a file in a writable folder",
        ),
        (lambda: xmc.XRLinear().report(), "not trained"),
    ]
    for ask, message in cases:
        with pytest.raises(InputError, match=message):
            ask()
    assert list(tmp_path.iterdir()) == []


def test_command(run, tmp_path, capsys):
    _, folder = run
    data = tmp_path / "test.jsonl"
    lines = zip(CORPUS.test_texts, ASKED, strict=True)
    data.write_text("".join(json.dumps({"text": t, "labels": row}) + "\n" for t, row in lines))
    output = tmp_path / "r.html"
    call = ["report", "--workdir", str(folder), "--data", str(data), "--worst", "1", "--output"]
    assert main([*call, str(output)]) == 0
    assert output.read_text().startswith("<!DOCTYPE html>")
    assert "split 'train'" not in capsys.readouterr().out
    assert main([*call, str(tmp_path / "r.pdf")]) == 2
    assert "ends in .html" in capsys.readouterr().err
    assert main([*call, str(tmp_path / "none" / "r.html")]) == 2
    assert (
        main(["report", "--workdir", str(folder), "--output", str(output)]) == 0
    )  # no data were noted
    assert "not in the report: Scores" in capsys.readouterr().err
    assert main(["report", "--workdir", str(folder), "--split", "test", "--output", "-"]) == 2


def test_many_labels_make_a_page_of_some_megabytes():
    from xmc_jax.report import Subject, make_page
    from xmc_jax.tree import tree_from_levels

    n_labels = 100_000
    clusters = np.arange(n_labels) // 100
    tree = tree_from_levels([np.arange(1000) // 32, clusters])
    counts = np.random.default_rng(0).integers(0, 40, n_labels).astype(np.int32)
    subject = Subject(
        "many", [], lambda i: f"a label with a rather long name, number {i}", counts, 10**6, tree
    )
    assert len(make_page(subject).html) < 2_000_000
