"""Cutting a long text before it is tokenized changes no id."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from xmc_jax.encoder import TextTokenizer
from xmc_jax.encoder.cutter import make_cutter

WORDS = [
    *(
        "trees",
        "of",
        "labels",
        "Größe",
        "naïve",
        "e\u0301tude",
        "ΣΊΣΥΦΟΣ",
        "C++",
        "don't",
        "x" * 130,
    ),
    *(
        "北京",
        "東京大学",
        "データ",
        "ไทย",
        "नमस्ते",
        "ا\u0600",
        "\u0d4e",
        "👩‍🔬",
        "ﬁne",
        "1,234.5",
        "a_b",
    ),
    *("[SEP]", "<mask>", "ab\u200bcd", "\ufffd", "İstanbul", "²"),
]
BLANKS = [
    " ",
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\t",
    "\u3000",
    "\u00a0",
    " \u0301",
    "",
    "\r\n",
    "   ",
    ". ",
]


def make_text(rng: random.Random, n: int) -> str:
    return "".join(rng.choice(WORDS) + rng.choice(BLANKS) for _ in range(n))


CORPUS = [make_text(random.Random(i), 60) for i in range(60)]


def train(model, trainer, normalizer, splitter) -> Tokenizer:
    tool = Tokenizer(model)
    tool.normalizer, tool.pre_tokenizer = normalizer, splitter
    tool.train_from_iterator(CORPUS, trainer)
    return tool


def add_specials(tool: Tokenizer) -> Tokenizer:
    tool.add_special_tokens(["[CLS]", "[SEP]", AddedToken("<mask>", lstrip=True)])
    pairs = [(n, tool.token_to_id(n)) for n in ("[CLS]", "[SEP]")]
    tool.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=pairs
    )
    return tool


@pytest.fixture(scope="module")
def tools() -> dict[str, Tokenizer]:
    n = normalizers
    p = pre_tokenizers
    options = {"vocab_size": 300, "show_progress": False}
    byte_pairs = trainers.BpeTrainer(initial_alphabet=p.ByteLevel.alphabet(), **options)
    pieces = trainers.UnigramTrainer(unk_token="<unk>", special_tokens=["<unk>"], **options)
    made = {
        "wordpiece": train(
            models.WordPiece(unk_token="[UNK]"),
            trainers.WordPieceTrainer(special_tokens=["[UNK]"], **options),
            n.BertNormalizer(),
            p.BertPreTokenizer(),
        ),
        "bytes": train(models.BPE(), byte_pairs, n.NFC(), p.ByteLevel(add_prefix_space=False)),
        "pieces": train(
            models.Unigram(),
            pieces,
            n.Sequence([n.Strip(), n.NFKC(), n.Replace(Regex(" {2,}"), " ")]),
            p.Sequence([p.WhitespaceSplit(), p.Metaspace()]),
        ),
        "metaspace": train(models.Unigram(), pieces, n.NFKC(), p.Metaspace()),
        "whole": train(models.Unigram(), pieces, n.NFKC(), None),
    }
    return {name: add_specials(tool) for name, tool in made.items()}


KINDS = ["wordpiece", "bytes", "pieces", "metaspace"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_beginning_has_the_first_tokens_of_the_whole(kind, tools):
    tool = tools[kind]
    cutter = make_cutter(tool.to_str())
    rng = random.Random(7)
    tried = 0
    for _ in range(60):
        text = make_text(rng, 40)
        whole = tool.encode(text, add_special_tokens=False).ids
        for least in range(1, len(text), 5):
            part = cutter.cut(text, least)
            assert text.startswith(part) and len(part) >= min(least, len(text))
            ids = tool.encode(part, add_special_tokens=False).ids
            assert whole[: len(ids)] == ids, (part, text[len(part) :][:20])
            tried += len(part) < len(text)
    assert tried > 500


@pytest.mark.parametrize("kind", [*KINDS, "whole"])
@pytest.mark.parametrize("prompt", ["", "query: "])
def test_long_texts_have_the_same_ids(kind, prompt, tools, monkeypatch):
    monkeypatch.setattr("xmc_jax.encoder.tokenizer._CHARACTERS", 3000)
    tool = tools[kind]
    rng = random.Random(1)
    texts = [make_text(rng, n) for n in (400, 3, 0, 90, 1200, 1, 700)]
    texts += ["x " * 2000, "\n" * 5000 + "labels of trees " * 9, "aé" * 4000, "北京" * 4000]
    texts += [" " * 3000 + "x" * 3000 + " labels"]
    tokens = TextTokenizer(tool.to_str(), prompt).tokenize(texts, 24)
    tool = Tokenizer.from_str(tool.to_str())
    tool.enable_truncation(24)
    for i, text in enumerate(texts):
        ids, mask = tokens.take(np.array([i]))
        assert ids[0][mask[0]].tolist() == tool.encode(prompt + text).ids


def test_where_nothing_is_known_nothing_is_cut(tools):
    assert make_cutter(tools["whole"].to_str()) is None
    tool = Tokenizer.from_str(tools["wordpiece"].to_str())
    tool.add_tokens(["New York"])  # could lie across a cut
    assert make_cutter(tool.to_str()) is None
    tool = Tokenizer.from_str(tools["wordpiece"].to_str())
    tool.normalizer = normalizers.Replace(" ", "")
    assert make_cutter(tool.to_str()) is None
    tool = Tokenizer.from_str(tools["wordpiece"].to_str())
    assert make_cutter(tool.to_str()).ideographs
    tool.add_tokens(["北京"])
    assert not make_cutter(tool.to_str()).ideographs


def test_texts_cut_at_the_left_are_read_whole(tools):
    tool = Tokenizer.from_str(tools["wordpiece"].to_str())
    tool.enable_truncation(10, direction="left")
    text = "x " * 4000 + "labels of trees"
    ids, _ = TextTokenizer(tool.to_str()).tokenize([text], 6).take(np.array([0]))
    assert tool.decode(ids[0].tolist()[1:5]).endswith("trees")


class Repeated:
    """As many texts as one likes, of which one exists at a time."""

    def __init__(self, n: int, text: str) -> None:
        self.rows, self.text = range(n), text

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at):
        if isinstance(at, slice):
            return Repeated(len(self.rows[at]), self.text)
        return self.text + str(at)


def test_memory_is_bounded(tools):
    text = "labels of trees " * 40_000
    tracemalloc.start()
    tokens = TextTokenizer(tools["wordpiece"].to_str()).tokenize(Repeated(500, text), 32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(tokens) == 500 and (tokens.lengths == 32).all()
    assert peak < 12 * len(text)  # of 500 times that
