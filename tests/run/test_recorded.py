"""Folders of format 1, as the version before this one wrote them: whole ones answer, killed ones resume to the same."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.errors import InputError
from xmc_jax.run import read_header

RECORDED = Path(__file__).parent / "recorded"
_spec = importlib.util.spec_from_file_location("record_runs", RECORDED.with_name("record.py"))
record = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(record)
KINDS = ["copies", "forest", "xr-transformer"]
pytestmark = pytest.mark.usefixtures("optimized")


def unpack(name: str, place: Path) -> Path:
    with tarfile.open(RECORDED / f"{name}.tar.gz") as archive:
        archive.extractall(place, filter="data")
    return place / "run"


def same(model, name: str) -> None:
    found = model.predict(record.corpus().test_texts, top_k=5)
    with np.load(RECORDED / f"{name}.npz") as wanted:
        np.testing.assert_array_equal(found.ids, wanted["ids"])
        np.testing.assert_array_equal(found.scores, wanted["scores"])


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_one_answers_as_it_did_and_is_left_as_it_is(tmp_path, name):
    folder = unpack(name, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    same(xmc.load(folder), name)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}


@pytest.mark.parametrize("name", ["copies", pytest.param("forest", marks=pytest.mark.slow)])
def test_a_killed_one_resumes_to_the_same(tmp_path, name):
    folder = unpack(f"{name}-killed", tmp_path)
    with pytest.raises(InputError, match="unfinished"):
        xmc.load(folder)
    kind, words, _ = record.settings("")[name]
    c = record.corpus()
    same(kind(**words).fit(c.train_texts, c.train_labels, workdir=folder), name)
    assert read_header(folder)["format"] == 2
    same(xmc.load(folder), name)


def test_a_killed_fine_tuning_resumes_to_the_same(tmp_path, tiny_encoder):
    folder = unpack("xr-transformer-killed", tmp_path)
    file = folder / "config.json"
    file.write_text(file.read_text().replace(record.ENCODER, str(tiny_encoder)))
    kept = (folder / "level_00" / "5").stat().st_mtime_ns
    kind, words, _ = record.settings(str(tiny_encoder))["xr-transformer"]
    c = record.corpus()
    same(kind(**words).fit(c.train_texts, c.train_labels, workdir=folder), "xr-transformer")
    assert (folder / "level_00" / "5").stat().st_mtime_ns == kept


def test_what_can_be_checked_without_a_manifest_is(tmp_path):
    folder = unpack("copies", tmp_path)
    shutil.rmtree(folder / "round_02")
    with pytest.raises(InputError, match=r"round_02/tree: missing"):
        xmc.load(folder)
    header = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(header | {"format": 3}))
    with pytest.raises(InputError, match=r"layout version 3, this program reads 2; update"):
        xmc.load(folder)
