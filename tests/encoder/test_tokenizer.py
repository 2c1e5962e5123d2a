from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, processors

from xmc_jax.encoder import TextTokenizer, load_tokenizer, read_architecture
from xmc_jax.encoder.tokens import list_widths
from xmc_jax.errors import InputError, Note


def load(folder) -> TextTokenizer:
    return load_tokenizer(folder, read_architecture(folder))


def ids_of(tokens, row: int) -> list[int]:
    ids, mask = tokens.take(np.array([row]))
    assert not ids[0][~mask[0]].any()
    return ids[0][mask[0]].tolist()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("bert", [3], [4]),
        ("distilbert", [3], [4]),
        ("roberta", [0], [2]),
        ("mpnet", [0], [2]),
        ("electra", [3], [4]),
        ("deberta_v3", [3], [4]),
        ("xlnet", [], [4, 3]),
        ("modernbert", [3], [4]),
    ],
)
def test_special_tokens_of_the_family(name, before, after, make_folder):
    tokens = load(make_folder(name)).tokenize(["w8 w9", "", "w10"], 20)
    assert ids_of(tokens, 0) == [*before, 8, 9, *after]
    assert ids_of(tokens, 1) == [*before, *after]
    assert ids_of(tokens, 2) == [*before, 10, *after]


def test_a_tokenizer_that_adds_special_tokens_is_left_alone(make_folder):
    folder = make_folder("bert")
    tool = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tool.post_processor = processors.TemplateProcessing(
        single="[SEP] $A", special_tokens=[("[SEP]", 4)]
    )
    tool.enable_padding(length=50)  # what a file may hold is not what is wanted
    tool.enable_truncation(3)
    tool.save(str(folder / "tokenizer.json"))
    tokens = load(folder).tokenize(["w8 w9 w10 w11"], 20)
    assert ids_of(tokens, 0) == [4, 8, 9, 10, 11]


def test_long_texts_are_cut_before_the_special_tokens(make_folder):
    tool = load(make_folder("xlnet"))
    tokens = tool.tokenize([" ".join(["w7"] * 100), "w8"], 10)
    assert ids_of(tokens, 0) == [7] * 8 + [4, 3]
    assert tokens.take(np.array([0]))[0].shape == (1, 10)
    with pytest.raises(InputError, match="max_length=2 given, 3 or more needed"):
        tool.tokenize(["w8"], 2)


def test_order_is_kept_over_buckets_and_chunks(make_folder, monkeypatch):
    monkeypatch.setattr("xmc_jax.encoder.tokenizer._CHUNK", 7)
    rng = np.random.default_rng(0)
    numbers = [rng.integers(6, 60, rng.integers(0, 70)).tolist() for _ in range(40)]
    texts = [" ".join(f"w{i}" for i in row) for row in numbers]
    tokens = load(make_folder("bert")).tokenize(texts, 64)
    assert len(tokens) == 40
    assert {a.shape[1] for a in tokens.ids} == set(list_widths(64))
    for i, row in enumerate(numbers):
        assert ids_of(tokens, i) == [3, *row[:62], 4]
        assert tokens.lengths[i] == min(len(row), 62) + 2
    every, mask = tokens.take(np.arange(40)[::-1])
    np.testing.assert_array_equal(mask.sum(axis=1), tokens.lengths[::-1])
    for i in (0, 17, 39):
        assert every[39 - i][mask[39 - i]].tolist() == ids_of(tokens, i)


def test_texts_that_come_one_by_one(make_folder):
    tokens = load(make_folder("bert")).tokenize((t for t in ("w8", "w9")), 20)
    assert ids_of(tokens, 1) == [3, 9, 4]


def test_no_texts_at_all(make_folder):
    tokens = load(make_folder("bert")).tokenize([], 20)
    assert len(tokens) == 0 and not list(tokens.iterate_buckets())
    assert tokens.take(np.zeros(0, int))[0].shape[0] == 0


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("one text", r"write \[text\]"),
        (["a", None], "text 1 given as NoneType"),
        (7, "texts given as int"),
    ],
)
def test_what_is_no_list_of_texts(texts, said, make_folder):
    with pytest.raises(InputError, match=said):
        load(make_folder("bert")).tokenize(texts, 20)


@pytest.mark.parametrize("lower", [True, False])
def test_wordpiece_from_a_vocabulary(lower, make_folder):
    folder = make_folder("bert")
    (folder / "tokenizer.json").unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tree", "##s", "Tree", ",", "cafe"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    if not lower:
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    tokens = load(folder).tokenize(["Trees, café zebra [SEP]"], 20)
    first, last = (5, 9) if lower else (7, 1)
    assert ids_of(tokens, 0) == [2, first, 6, 8, last, 1, 3, 3]


def test_a_vocabulary_larger_than_the_embedding(make_folder):
    folder = make_folder("bert")
    config = json.loads((folder / "config.json").read_text()) | {"vocab_size": 59}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="ids up to 59 given, the encoder has 59 embeddings"):
        load(folder)


def test_tokenizers_that_cannot_be_read(make_folder):
    folder = make_folder("bert")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="not a tokenizer"):
        load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer, a tokenizer\.json needed"):
        load(folder)
    (folder / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"no \[UNK\]"):
        load(folder)
    (folder / "vocab.txt").write_text("[UNK]\n[CLS]\nb\n")
    with pytest.raises(InputError, match=r"no token \[SEP\]"):
        load(folder)
    (folder / "vocab.txt").unlink()
    (folder / "spiece.model").write_bytes(b"x")
    with pytest.raises(InputError, match=r"only spiece\.model"):
        load(folder)


def make_vocabulary(folder, kind: str) -> None:
    """Puts the files of a vocabulary in the place of tokenizer.json."""
    (folder / "tokenizer.json").unlink()
    if kind == "pairs":
        words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "t", "r", "e", "Ġ", "tr", "ee", "Ġtr"]
        words += ["tree", "Ġtree"]
        merges = ["t r", "e e", "Ġ tr", "tr ee", "Ġtr ee"]
        (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    else:
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tree", "##s", "cafe"]
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def test_electra_from_a_vocabulary(make_folder):
    folder = make_folder("electra")
    make_vocabulary(folder, "pieces")
    assert ids_of(load(folder).tokenize(["Trees café"], 20), 0) == [2, 5, 6, 7, 3]


def test_roberta_from_a_vocabulary_and_merges(make_folder):
    folder = make_folder("roberta")
    make_vocabulary(folder, "pairs")
    tokens = load(folder).tokenize(["tree tree  <mask>tree"], 20)
    assert ids_of(tokens, 0) == [0, 12, 13, 4, 12, 2]
    (folder / "merges.txt").write_text("a b c\n")
    with pytest.raises(InputError, match=r"vocab\.json and merges\.txt do not fit"):
        load(folder)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("BertJapaneseTokenizer", r"only vocab\.txt of BertJapaneseTokenizer.*save_pretrained"),
        ("T5Tokenizer", r"only vocab\.txt of T5Tokenizer"),
    ],
)
def test_a_vocabulary_of_another_tokenizer(kind, said, make_folder):
    folder = make_folder("bert")
    make_vocabulary(folder, "pieces")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    with pytest.raises(InputError, match=said):
        load(folder)


def test_deberta_with_sentencepiece_only(make_folder):
    folder = make_folder("deberta_v3")
    (folder / "tokenizer.json").unlink()
    (folder / "spm.model").write_bytes(b"x")
    line = r"only spm\.model, a tokenizer\.json needed; make one: python -c .*AutoTokenizer"
    with pytest.raises(InputError, match=line):
        load(folder)


@pytest.mark.parametrize("beside", ["added_tokens", "tokenizer_config"])
def test_tokens_beside_the_tokenizer(beside, make_folder):
    folder = make_folder("bert")
    tool = Tokenizer.from_file(str(folder / "tokenizer.json"))
    vocabulary = {w: i for w, i in tool.get_vocab().items() if i < 58}
    Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    two = {"<new>": 58, "<law>": 59}
    values = two
    if beside == "tokenizer_config":
        values = {"added_tokens_decoder": {str(i): {"content": t} for t, i in two.items()}}
    (folder / f"{beside}.json").write_text(json.dumps(values))
    assert ids_of(load(folder).tokenize(["<law><new>"], 20), 0) == [3, 59, 58, 4]
    (folder / "added_tokens.json").write_text(json.dumps({"<other>": 70}))
    with pytest.raises(InputError, match=r"'<other>' has id \d+ in"):
        load(folder)


def test_case_as_the_options_say(make_folder):
    folder = make_folder("bert")
    tool = Tokenizer(models.WordLevel({"[UNK]": 1, "[CLS]": 3, "[SEP]": 4, "Tree": 5, "tree": 6}))
    tool.model.unk_token = "[UNK]"
    tool.normalizer = normalizers.BertNormalizer(lowercase=True)
    tool.save(str(folder / "tokenizer.json"))
    assert ids_of(load(folder).tokenize(["Tree"], 8), 0) == [3, 6, 4]
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    with pytest.warns(Note, match="do_lower_case=False is used"):
        assert ids_of(load(folder).tokenize(["Tree"], 8), 0) == [3, 5, 4]


def test_the_side_of_the_cut(make_folder):
    folder = make_folder("bert")
    (folder / "tokenizer_config.json").write_text(json.dumps({"truncation_side": "left"}))
    tokens = load(folder).tokenize(["w7 w8 w9 w10"], 4)
    assert ids_of(tokens, 0) == [3, 9, 10, 4]
