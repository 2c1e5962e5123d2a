import pytest

from xmc_jax.errors import InputError
from xmc_jax.features import blocks
from xmc_jax.features.blocks import cut_blocks


def test_blocks_hold_all_texts_in_order(monkeypatch):
    monkeypatch.setattr(blocks, "_DOCUMENTS", 7)
    monkeypatch.setattr(blocks, "_CHARACTERS", 40)
    texts = [str(i) * (i % 13) for i in range(50)]
    cut = list(cut_blocks(iter(texts)))
    assert [t for block in cut for t in block] == texts
    assert max(map(len, cut)) <= 7
    assert max(sum(map(len, block)) for block in cut) < 40 + 26
    assert len(cut) > 8
    assert list(cut_blocks([])) == []


@pytest.mark.parametrize("texts", ["one text", b"one text"])
def test_a_single_text_is_refused(texts):
    with pytest.raises(InputError, match=r"give \[text\]"):
        list(cut_blocks(texts))


def test_what_is_not_text_is_named(monkeypatch):
    monkeypatch.setattr(blocks, "_DOCUMENTS", 2)
    with pytest.raises(InputError, match="document 3 is of type NoneType"):
        list(cut_blocks(["a", "b", "c", None]))
