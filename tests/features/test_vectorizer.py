import json
from itertools import product

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from xmc_jax.config import FeaturesConfig
from xmc_jax.errors import InputError, Note, RunError
from xmc_jax.features import blocks
from xmc_jax.features.vectorizer import fit_transform, fit_vectorizer, load_vectorizer
from xmc_jax.threads import use_threads

WORDS = [
    *("the", "Tree", "of", "labels—LABELS", "a_b", "Äpfel", "naïve", "ΟΔΟΣ", "straße"),
    *("x", "42", "½", "™brand", "re-do", "İstanbul", "中文"),
]


def _texts(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 9))) for _ in range(n)]


def _reference(config):
    """scikit-learn's vectoriser with options that mean the same."""
    return TfidfVectorizer(
        analyzer=config.analyzer,
        ngram_range=(config.ngram_min, config.ngram_max),
        token_pattern={"unicode": r"(?u)\b\w\w+\b", "whitespace": r"\S+"}[config.token_pattern]
        if config.analyzer == "word"
        else None,
        lowercase=config.lowercase,
        strip_accents="unicode" if config.strip_accents else None,
        sublinear_tf=config.sublinear_tf,
        binary=config.binary,
        use_idf=config.use_idf,
        norm=None if config.norm == "none" else config.norm,
        min_df=config.min_count,
        max_df=config.max_share,
        max_features=config.max_features,
        dtype=np.float32,
    )


GRID = [
    *(
        dict(analyzer=a, ngram_min=low, ngram_max=high)
        for a, (low, high) in product(["char", "char_wb"], [(1, 1), (2, 4)])
    ),
    *(
        dict(token_pattern=p, lowercase=lower, strip_accents=strip, ngram_max=n)
        for p, lower, strip, n in product(
            ["unicode", "whitespace"], [True, False], [True, False], [1, 2]
        )
    ),
    *(
        dict(sublinear_tf=sub, binary=binary, norm=norm)
        for sub, binary, norm in product([True, False], [True, False], ["l1", "l2", "none"])
        if not (sub and binary)  # the same as binary alone
    ),
    *(
        dict(use_idf=use, min_count=count, max_share=share)
        for use, count, share in product([True, False], [1, 3], [1.0, 0.4])
    ),
    dict(max_features=5),
    dict(max_features=6, binary=True, sublinear_tf=False, min_count=1),
]


@pytest.mark.parametrize("options", GRID, ids=lambda o: " ".join(f"{k}={v}" for k, v in o.items()))
def test_same_numbers_as_scikit_learn(options):
    config = FeaturesConfig(**{"analyzer": "word", "token_pattern": "unicode"} | options)
    train, test = _texts(), [*_texts(40, seed=1), "", "unseen"]
    reference = _reference(config)
    expected = reference.fit_transform(train)
    vectorizer, matrix = fit_transform(train, config)
    assert list(vectorizer.vocabulary) == reference.get_feature_names_out().tolist()
    assert matrix.dtype == np.float32
    assert matrix.has_canonical_format
    np.testing.assert_allclose(matrix.toarray(), expected.toarray(), atol=1e-6)
    np.testing.assert_allclose(
        vectorizer.transform(test).toarray(), reference.transform(test).toarray(), atol=1e-6
    )


@pytest.mark.parametrize("kind", ["tfidf", "hashing"])
def test_neither_blocks_nor_threads_change_the_result(kind, monkeypatch):
    texts = _texts(200)
    config = FeaturesConfig(kind=kind, hash_bits=8)
    vectorizer, whole = fit_transform(texts, config)
    monkeypatch.setattr(blocks, "_DOCUMENTS", 17)
    with use_threads(3):
        parallel, cut = fit_transform(iter(texts), FeaturesConfig(kind=kind, hash_bits=8))
    assert parallel.vocabulary == vectorizer.vocabulary
    np.testing.assert_array_equal(cut.toarray(), whole.toarray())
    np.testing.assert_array_equal(parallel.transform(texts).toarray(), whole.toarray())
    rows = [vectorizer.transform([t]).toarray()[0] for t in texts[:30]]
    np.testing.assert_array_equal(rows, whole[:30].toarray())


def test_truncate_reads_the_first_tokens_only():
    config = FeaturesConfig(truncate=2, min_count=1)
    vectorizer = fit_vectorizer(["one two three", "! two one one"], config)
    assert vectorizer.vocabulary == ("one", "two")
    row = vectorizer.transform(["three two one"]).toarray()[0]
    assert row.tolist() == [0.0, 1.0]


def test_texts_without_known_terms_have_empty_rows():
    vectorizer = fit_vectorizer(["aa bb", "aa"])
    matrix = vectorizer.transform(["", "cc dd", "aa cc", " \n"])
    assert np.diff(matrix.indptr).tolist() == [0, 0, 1, 0]
    assert vectorizer.transform([]).shape == (0, vectorizer.n_features)


@pytest.mark.parametrize("kind", ["tfidf", "hashing"])
def test_nothing_to_fit_is_refused(kind):
    config = FeaturesConfig(kind=kind, hash_bits=4)
    with pytest.raises(InputError, match="no document given"):
        fit_vectorizer([], config)
    with pytest.raises(InputError, match="no term in the 3 documents"):
        fit_vectorizer(["", " ", "!"], config)
    with pytest.raises(InputError, match="min_count=2 leaves no feature"):
        fit_vectorizer(["one", "two"], FeaturesConfig(kind=kind))
    with pytest.raises(InputError, match="document 1 is of type int"):
        fit_vectorizer(["one", 2], config)


@pytest.mark.parametrize("kind", ["tfidf", "hashing"])
def test_saved_and_loaded_it_is_the_same(kind, tmp_path):
    config = FeaturesConfig(kind=kind, hash_bits=9, ngram_max=2, norm="l1")
    vectorizer = fit_vectorizer(_texts(), config)
    vectorizer.save(tmp_path / "deep" / "vectorizer")
    vectorizer.save(tmp_path / "deep" / "vectorizer")
    names = sorted(p.name for p in (tmp_path / "deep" / "vectorizer").iterdir())
    assert names == ["vectorizer.json", "vocabulary.json", "weights.npz"]
    loaded = load_vectorizer(tmp_path / "deep" / "vectorizer")
    assert (loaded.config, loaded.vocabulary) == (config, vectorizer.vocabulary)
    texts = _texts(seed=3)
    expected, matrix = vectorizer.transform(texts), loaded.transform(texts)
    assert matrix.nnz > 0
    np.testing.assert_array_equal(matrix.toarray(), expected.toarray())


@pytest.mark.parametrize("name", ["vectorizer.json", "vocabulary.json", "weights.npz"])
@pytest.mark.parametrize("damage", ["missing", "cut", "emptied", "changed"])
def test_a_damaged_folder_is_refused_by_file(name, damage, tmp_path):
    fit_vectorizer(_texts()).save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(content.replace(b'"l2"', b'"l1"').replace(b"tree", b"free") + b" ")
        if name == "vectorizer.json":
            assert json.loads(path.read_bytes())["features"]["norm"] == "l1"
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(InputError, match=name):
        load_vectorizer(tmp_path)


def test_another_format_is_refused(tmp_path):
    fit_vectorizer(_texts()).save(tmp_path)
    path = tmp_path / "vectorizer.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(InputError, match="format 2, this version reads 1"):
        load_vectorizer(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        fit_vectorizer(_texts()).save(tmp_path / "file")


def test_terms_of_scripts_without_blanks_are_told():
    texts = ["苹果手机和电脑", "手机很好", "苹果很好吃"]
    with pytest.warns(Note, match="terms are runs of characters .*features.analyzer=auto"):
        vectorizer, matrix = fit_transform(texts)
    assert "手机" in vectorizer.vocabulary and (np.diff(matrix.indptr) > 0).all()
    clauses = fit_vectorizer(texts, FeaturesConfig(analyzer="word", min_count=1))
    assert not clauses.transform(["电脑"]).nnz


def test_documents_without_terms_are_told():
    texts = ["red apple", "red pear", *(f"word{i}" for i in range(20))]
    with pytest.warns(Note, match=r"20 of 22 documents have no term \(min_count=2"):
        fit_vectorizer(texts)
