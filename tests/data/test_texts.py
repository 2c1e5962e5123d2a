import numpy as np
import pytest

from xmc_jax.data.texts import TextStore, TextStoreBuilder
from xmc_jax.errors import InputError

TEXTS = ["one", "", "żółw 🐢", "日本語", "last"]


@pytest.fixture
def store():
    return TextStore.from_texts(TEXTS)


def test_gives_back_the_texts(store):
    assert len(store) == 5
    assert list(store) == TEXTS
    assert [store[i] for i in range(-5, 5)] == TEXTS + TEXTS
    assert "日本語" in store and "no" not in store


def test_index_beyond_the_end(store):
    for i in (5, -6):
        with pytest.raises(IndexError):
            store[i]


@pytest.mark.parametrize(
    "rows", [slice(1, 4), slice(None), slice(3, 1), slice(4, None, -2), slice(9, 12), slice(-2, 99)]
)
def test_slices_like_a_list(store, rows):
    assert list(store[rows]) == TEXTS[rows]
    assert len(store[rows]) == len(TEXTS[rows])


def test_slice_of_a_slice_shares_the_buffer(store):
    part = store[1:][1:3]
    assert list(part) == TEXTS[2:4] and part[-1] == TEXTS[3]
    assert part._buffer is store._buffer
    assert part.nbytes == len("".join(TEXTS[2:4]).encode())


def test_rows_by_array(store):
    assert list(store[np.array([4, 0, 0])]) == ["last", "one", "one"]
    assert list(store[np.array([True, False, False, False, True])]) == ["one", "last"]
    assert store[np.int64(3)] == "日本語"


def test_iterates_past_a_block_of_offsets():
    many = [str(i) for i in range(65540)]
    assert list(TextStore.from_texts(many)) == many


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one string", "a list of strings needed"),
        (7, "a list of strings needed"),
        (["a", 3], r"texts\[1\]: the text is 3, a string needed"),
        (["a", None], r"texts\[1\]: the text is None"),
        (["\ud800"], r"texts\[0\]: .*half a surrogate pair"),
    ],
)
def test_refuses_what_is_no_text(texts, message):
    with pytest.raises(InputError, match=message):
        TextStore.from_texts(texts)


def test_builder_counts():
    builder = TextStoreBuilder()
    assert len(builder) == 0
    builder.add("a")
    assert len(builder) == 1 and list(builder.build()) == ["a"]
