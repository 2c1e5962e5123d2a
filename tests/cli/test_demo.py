from __future__ import annotations

import json

import pytest

from xmc_jax.cli import demo
from xmc_jax.data import open_dataset


def test_the_sentences_are_not_in_the_data():
    data = open_dataset(demo.DATA)
    for name in data.splits:
        texts = data.load_split(name).texts
        assert not set(demo.SENTENCES) & set(texts)


def test_the_demo_trains_evaluates_labels_and_is_reused(tiny, tmp_path, xmc, monkeypatch):
    monkeypatch.setattr(demo, "DATA", str(tiny.data))
    run = tmp_path / "demo"
    first = xmc("demo", "--workdir", run)
    assert first.code == 0
    assert "test split, 12 documents:" in first.out
    for sentence in demo.SENTENCES:
        assert f"{sentence}\n  -> label" in first.out
    assert json.loads((run / "meta.json").read_text())["complete"]

    second = xmc("demo", "--workdir", run)
    assert second.out == first.out
    assert second.err[0].endswith("it is used if it is the demo's")
    assert not any(line.startswith("level") for line in second.err)

    other = xmc("demo", "--workdir", tiny.run)
    assert other.code == 2
    assert "other settings" in other.err[-1]


def test_the_folder_is_named_by_the_contract():
    assert demo.parse([]).named.workdir == "xmc-demo"


@pytest.mark.slow
def test_the_real_demo(tmp_path, xmc, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = xmc("demo")
    assert done.code == 0
    assert float(done.out.split("P@1 ")[1].split()[0]) > 53
    assert (tmp_path / "xmc-demo" / "meta.json").is_file()
