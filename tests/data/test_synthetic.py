import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from xmc_jax.data import labels_from_names, make_corpus, open_dataset, write_corpus
from xmc_jax.data.synthetic import make_tree, spell
from xmc_jax.errors import InputError


def test_equal_arguments_give_equal_corpora():
    settings = dict(n_train=50, n_test=10, n_labels=20, branching=3, seed=4)
    one, two = make_corpus(**settings), make_corpus(**settings)
    assert one.train_texts == two.train_texts and one.test_labels == two.test_labels
    assert make_corpus(**{**settings, "seed": 5}).train_texts != one.train_texts


def test_tree_is_the_chain_of_parents():
    parents = make_tree(20, 3)
    assert [len(level) for level in parents] == [3, 7, 20]
    assert parents[0].tolist() == [0, 0, 0] and parents[1].tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert parents[2].max() == 6
    assert [len(level) for level in make_tree(1, 2)] == [1]


def test_every_label_occurs_and_some_often():
    corpus = make_corpus(n_train=500, n_test=0, n_labels=60)
    labels, names = labels_from_names(corpus.train_labels)
    counts = np.sort(np.asarray(labels.sum(0)).ravel())[::-1]
    assert names == corpus.names and corpus.test_texts == []
    assert counts[0] > 8 * np.median(counts)
    assert set(np.diff(labels.indptr)) == {1, 2, 3}


def test_siblings_share_words():
    corpus = make_corpus(n_train=400, n_test=0, n_labels=64, branching=4)
    words: dict[int, set[str]] = {}
    for text, names in zip(corpus.train_texts, corpus.train_labels, strict=True):
        if len(names) == 1:
            words.setdefault(corpus.names.index(names[0]), set()).update(text.split())
    rare = {
        label: {w for w in own if sum(w in other for other in words.values()) <= 4}
        for label, own in words.items()
    }
    pairs = [(a, b) for a in rare for b in rare if a < b]
    siblings = [bool(rare[a] & rare[b]) for a, b in pairs if a // 4 == b // 4]
    strangers = [bool(rare[a] & rare[b]) for a, b in pairs if a // 16 != b // 16]
    assert np.mean(siblings) > 2 * np.mean(strangers)


def test_a_linear_model_learns_it():
    corpus = make_corpus(n_train=1500, n_test=200, n_labels=30, branching=5, seed=1)
    vectorizer = TfidfVectorizer()
    x, x_test = (
        vectorizer.fit_transform(corpus.train_texts),
        vectorizer.transform(corpus.test_texts),
    )
    model = LinearSVC(random_state=0).fit(x, [names[0] for names in corpus.train_labels])
    hits = [
        name in names for name, names in zip(model.predict(x_test), corpus.test_labels, strict=True)
    ]
    assert np.mean(hits) > 0.8


def test_words_differ():
    assert len({spell(i) for i in range(20000)}) == 20000
    assert min(len(spell(i)) for i in range(100)) >= 4


def test_written_folder_reads_back(tmp_path):
    corpus = write_corpus(tmp_path / "set", n_train=40, n_test=5, n_labels=10, branching=4, seed=2)
    dataset = open_dataset(tmp_path / "set")
    train = dataset.load_split("train")
    assert list(train.texts) == corpus.train_texts and train.vocabulary == corpus.names
    assert list(dataset.load_split("test").texts) == corpus.test_texts


@pytest.mark.parametrize("setting", ["n_train", "n_labels", "branching"])
def test_refuses_too_small(setting):
    with pytest.raises(InputError, match=f"{setting}=0 given"):
        make_corpus(**{setting: 0})
