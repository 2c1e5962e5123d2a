import unicodedata
from collections import Counter
from itertools import product

import numpy as np
import pytest

from xmc_jax.config import FeaturesConfig
from xmc_jax.features.tokens import read_block, read_few, split_document

# Characters that are hard in some way: case that depends on the neighbours (sigma), grows (İ) or
# appears after NFKD (™), combining marks, spaces beyond ASCII, UTF-8 lengths, a lone surrogate.
ALPHABET = [
    *"aAbB1_ -.,\n\t\x1c",
    *"#+C.ก็าしが\u3099한हिन्\u200d",
    *"\x85\u00a0\u2003äÄéİßΣσς™ﬁ²½中文\u0301\u0338\uffff𝒳😀\x7f\x00",
    "\ud800",
]


def _random_texts(n, seed=0):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(ALPHABET, rng.integers(0, 25))) for _ in range(n)]
    plain = ["".join(rng.choice(ALPHABET[:13], rng.integers(0, 25))) for _ in range(n)]
    return [t for pair in zip(texts, plain, strict=True) for t in pair]


def _count(block):
    terms = [t.decode() for t in block.terms.to_list()]
    assert len(set(terms)) == len(terms)
    counts = [Counter() for _ in range(block.n_documents)]
    for document, i in zip(block.documents.tolist(), block.ids.tolist(), strict=True):
        counts[document][terms[i]] += 1
    return counts


GRID = [
    dict(analyzer=analyzer, lowercase=lower, strip_accents=strip, ngram_min=low, ngram_max=high)
    for analyzer, (lower, strip), (low, high) in product(
        ["auto", "word", "char", "char_wb"],
        [(True, True), (False, False), (True, False), (False, True)],
        [(1, 1), (1, 3), (2, 3)],
    )
]


@pytest.mark.parametrize("options", GRID, ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize("pattern", ["words", "unicode", "whitespace"])
@pytest.mark.parametrize("truncate", [None, 3])
def test_a_block_holds_the_terms_of_each_document(options, pattern, truncate):
    config = FeaturesConfig(token_pattern=pattern, truncate=truncate, **options)
    texts = _random_texts(60)
    expected = [Counter(split_document(text, config)) for text in texts]
    assert _count(read_block(texts, config)) == expected
    assert _count(read_few(texts, config)) == expected


def test_terms_by_hand():
    text = "The Äpfel, a_1 x 42!"
    assert split_document(text, FeaturesConfig()) == ["the", "apfel", "a_1", "x", "42"]
    assert split_document(text, FeaturesConfig(token_pattern="unicode")) == [
        "the",
        "apfel",
        "a_1",
        "42",
    ]
    assert split_document(text, FeaturesConfig(token_pattern="whitespace", lowercase=False)) == [
        *("The", "Apfel,", "a_1", "x", "42!")
    ]
    assert split_document(text, FeaturesConfig(truncate=2)) == ["the", "apfel"]
    bigrams = FeaturesConfig(ngram_min=2, ngram_max=2)
    assert split_document(text, bigrams) == ["the apfel", "apfel a_1", "a_1 x", "x 42"]
    short = FeaturesConfig(analyzer="char_wb", ngram_min=4, ngram_max=4)
    assert split_document("a bcd", short) == [" a ", " bcd", "bcd "]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("C, C++ and C# or .NET; F#", ["c", "c++", "and", "c#", "or", ".net", "f#"]),
        (
            "see www.net, a...b 1.5 #tag issue#5 c+d x+++",
            ["see", "www", "net", "a", "b", "1", "5", "tag", "issue", "5", "c", "d", "x"],
        ),
        ("page.html# g++, (.com) e.g.", ["page", "html", "g++", ".com", "e", "g"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("தமிழ் মানুষ", ["தமிழ்", "মানুষ"]),
        ("co\u00adoperate می\u200cخواهم", ["cooperate", "میخواهم"]),
        ("שָׁלוֹם", ["שלום"]),
        ("苹果手机", ["苹", "果", "手", "机", "苹果", "果手", "手机"]),
        ("C++语言 iPhone手机", ["语", "言", "语言", "手", "机", "手机", "c++", "iphone"]),
        ("カメラ", ["カ", "メ", "ラ", "カメ", "メラ"]),
        ("ไทย", ["ไท", "ทย", "ไทย"]),
        ("한국어 문서", ["한국어", "문서"]),
    ],
)
def test_words_of_all_scripts(text, terms):
    config = FeaturesConfig()
    found = [unicodedata.normalize("NFC", term) for term in split_document(text, config)]
    assert sorted(found) == sorted(unicodedata.normalize("NFC", t) for t in terms)
    assert _count(read_block([text, "x"], config))[0] == Counter(split_document(text, config))


def test_a_word_analyzer_leaves_clauses_whole():
    assert split_document("苹果手机 test", FeaturesConfig(analyzer="word")) == ["苹果手机", "test"]


def test_runs_of_words_end_at_scripts_without_blanks():
    config = FeaturesConfig(ngram_min=1, ngram_max=2)
    assert sorted(split_document("a b 苹 c", config)) == sorted(["苹", "a", "b", "a b", "c"])


@pytest.mark.parametrize("texts", [[], [""], ["", " \n"], ["é", "!"]])
@pytest.mark.parametrize("analyzer", ["word", "char_wb"])
def test_documents_without_terms(texts, analyzer):
    config = FeaturesConfig(analyzer=analyzer, ngram_min=2, ngram_max=9 - 1)
    block = read_block(texts, config)
    assert block.n_documents == len(texts)
    assert _count(block) == [Counter(split_document(text, config)) for text in texts]


def test_a_document_longer_than_any_word_size():
    texts = ["x" * 5000 + " y " + "x" * 5000, "x" * 4999 + "é", "xx"]
    config = FeaturesConfig()
    assert _count(read_block(texts, config)) == [Counter(split_document(t, config)) for t in texts]
