import threading

import pytest

from xmc_jax.errors import InputError
from xmc_jax.features import blocks
from xmc_jax.features.blocks import cut_blocks, map_threads


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


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_results_come_in_order(threads):
    assert list(map_threads(lambda x: x * x, range(40), threads)) == [x * x for x in range(40)]


def test_threads_limit_the_workers_and_the_look_ahead():
    taken, names = [], set()

    def work(x):
        names.add(threading.get_ident())
        return x

    results = map_threads(work, (taken.append(i) or i for i in range(100)), 2)
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) < 10
    assert list(results) == list(range(2, 100))
    assert len(names) <= 2


def test_an_error_of_a_worker_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(map_threads(lambda x: 1 // x, [2, 1, 0], 2))
