"""Whatever happens to a file of a run is named, or the answers are the same: truncated, flipped, deleted, edited, or in
the place of another run's. A part that is gone is missed."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError
from xmc_jax.run import find_manifest

SMALL = dict(tree=dict(branching=2, max_leaf_size=4), features=dict(min_count=1))
KINDS = {
    "linear": (xmc.XRLinear, SMALL),
    "copies": (xmc.XRLinear, SMALL | dict(beam=2, disentangle=dict(copies=2, least_gain=0.0))),
    "forest": (xmc.XRLinear, SMALL | dict(trees=2, calibrate=dict(share=0.3))),
    "xr-transformer": (xmc.XRTransformer, SMALL),
    "prototype": (xmc.PrototypeModel, dict(beam=2, rerank=dict(mode="mixture", share=0.3))),
    "prototype, levels": (xmc.XRTransformer, SMALL | {"tuning.head": "prototype"}),
}
TUNING = dict(steps=2, batch_size=8, warmup=1, save_every=1)
LOGS = {"metrics.jsonl", "curves.png"}
DAMAGES = {
    "truncated": lambda data, other: data[: len(data) // 2],
    "longer": lambda data, other: data + b" ",
    "empty": lambda data, other: b"",
    "flipped": lambda data, other: data[:-1] + bytes([data[-1] ^ 1]) if data else b"x",
    "flipped in the middle": lambda data, other: _flip(data, len(data) // 2),
    "reversed": lambda data, other: data[::-1] if data != data[::-1] else data + b"x",
    "of another run": lambda data, other: other,
    "deleted": lambda data, other: None,
}
CORPUS = make_corpus(n_train=120, n_test=20, n_labels=16, branching=4, seed=0)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([(data[at] if data else 0) ^ 4]) + data[at + 1 :]


def fit(kind: str, folder: Path, encoder: Path, seed: int = 0):
    model, settings = KINDS[kind]
    if kind != "linear":
        settings = settings | dict(seed=seed)
    if model is not xmc.XRLinear:
        settings = settings | {
            "encoder": dict(name=str(encoder), max_length=8),
            **{f"tuning.{k}": v for k, v in TUNING.items()},
        }
    if kind == "xr-transformer":
        settings = settings | dict(preliminary=SMALL["tree"])
    rows = slice(0, 120 if not seed else 100)
    return model(**settings).fit(
        CORPUS.train_texts[rows], CORPUS.train_labels[rows], workdir=folder
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_encoder):
    """Gives, for each kind, a run, another one of the same kind, and what the first answers."""
    made: dict = {}

    def find(kind: str):
        if kind not in made:
            place = tmp_path_factory.mktemp("runs")
            model = fit(kind, place / "a", tiny_encoder)
            fit(kind, place / "b", tiny_encoder, seed=1)
            made[kind] = place / "a", place / "b", model.predict(CORPUS.test_texts, top_k=5)
        return made[kind]

    return find


def list_files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in LOGS]


def find_twin(file: Path, folder: Path, other: Path) -> bytes:
    """Returns the file of another run in the same place; names of data files are random, so one of their folder."""
    twin = other / file.relative_to(folder)
    if not twin.exists() and twin.parent.is_dir():
        twin = next((p for p in sorted(twin.parent.iterdir()) if p.is_file()), twin)
    return twin.read_bytes() if twin.exists() else b"another"


def check(folder: Path, file: Path, other: bytes, damage: str, wanted) -> None:
    data = file.read_bytes()
    new = DAMAGES[damage](data, other)
    if new == data:
        return
    try:
        file.unlink() if new is None else file.write_bytes(new)
        told = rf"{file.name}|{file.parent.name}|unfinished"
        with pytest.raises(InputError, match=told):
            find_manifest(folder).check_all()
            xmc.load(folder)
            raise InputError(f"{damage} {file.name} not seen")
        try:
            found = xmc.load(folder).predict(CORPUS.test_texts, top_k=5)
        except InputError as error:
            assert "\n" not in str(error) and str(folder) in str(error)
            return
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_array_equal(found.scores, wanted.scores)
    finally:
        file.write_bytes(data)


def list_unlike(folder: Path) -> list[Path]:
    """Returns a file of each kind: levels, rounds and members are alike, and so are data files of random names."""
    alike = {
        re.sub(
            r"\d+", "N", f"{p.parent.relative_to(folder)}/{'' if p.parent.name == 'd' else p.name}"
        ): p
        for p in list_files(folder)
    }
    return list(alike.values())


@pytest.mark.parametrize(
    ("kind", "choose"),
    [
        ("copies", list_unlike),
        pytest.param("copies", list_files, marks=pytest.mark.slow),
        pytest.param("forest", list_files, marks=pytest.mark.slow),
    ],
)
def test_one_kind_of_damage_to_every_file_is_named(runs, tmp_path, kind, choose):
    first, second, wanted = runs(kind)
    folder = shutil.copytree(first, tmp_path / "run")
    for file, damage in zip(choose(folder), itertools.cycle(DAMAGES)):
        check(folder, file, find_twin(file, folder, second), damage, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_to_every_file_is_named(runs, tmp_path, kind, damage):
    first, second, wanted = runs(kind)
    folder = shutil.copytree(first, tmp_path / "run")
    for file in list_files(folder):
        check(folder, file, find_twin(file, folder, second), damage, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_flips_in_twenty_places_of_every_file_are_named(runs, tmp_path, kind, monkeypatch):
    first, _, wanted = runs(kind)
    folder = shutil.copytree(first, tmp_path / "run")
    rng = np.random.default_rng(0)
    for file in list_files(folder):
        size = file.stat().st_size
        for at in rng.integers(0, max(size, 1), 20):
            monkeypatch.setitem(DAMAGES, "here", lambda data, other, at=int(at): _flip(data, at))
            check(folder, file, b"", "here", wanted)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("copies", "round_01"),
        ("copies", "vectorizer"),
        pytest.param("forest", "member_01", marks=pytest.mark.slow),
        pytest.param("forest", "calibration", marks=pytest.mark.slow),
        pytest.param("xr-transformer", "encoder", marks=pytest.mark.slow),
        pytest.param("xr-transformer", "ranker/level_01", marks=pytest.mark.slow),
    ],
)
def test_a_part_that_is_gone_or_another_runs_is_missed(runs, tmp_path, kind, part):
    first, second, _ = runs(kind)
    folder = shutil.copytree(first, tmp_path / "run")
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=rf"{part}.*: missing, though it belongs to the run"):
        xmc.load(folder)
    shutil.copytree(second / part, folder / part)
    with pytest.raises(InputError, match=rf"{part}.*(missing|bytes instead|not as it was)"):
        xmc.load(folder)


EDITS = {
    "search.beam": lambda h: h["config"]["search"].update(beam=1),
    "post-processor": lambda h: h["config"]["search"].update(post_processor="sigmoid"),
    "a key less": lambda h: h["config"].pop("search"),
    "a key more": lambda h: h["config"].update(what=3),
    "a list": lambda h: h.update(config=[]),
    "format": lambda h: h.update(format=1),
    "id": lambda h: h.update(id="0" * 16),
}


@pytest.mark.parametrize("edit", EDITS)
def test_settings_edited_by_hand_are_named_and_neither_used_nor_resumed(runs, tmp_path, edit):
    first, second, _ = runs("copies")
    folder = shutil.copytree(first, tmp_path / "run")
    file = folder / "config.json"
    header = json.loads(file.read_text())
    EDITS[edit](header)
    file.write_text(json.dumps(header, indent=2))
    for use in (xmc.load, lambda path: fit("copies", path, Path())):
        with pytest.raises(InputError, match=r"config\.json: (not|'config'|of another run)"):
            use(folder)
    shutil.copy(second / "config.json", file)
    with pytest.raises(
        InputError, match=r"config\.json: belongs to another run than manifest\.json"
    ):
        xmc.load(folder)


@pytest.mark.parametrize(
    "order", [sorted, lambda lines: lines[::-1], lambda lines: ["x", *lines[1:]]]
)
def test_names_edited_by_hand_are_named(runs, tmp_path, order):
    first, _, _ = runs("linear")
    folder = shutil.copytree(first, tmp_path / "run")
    file = folder / "labels.txt"
    lines = file.read_text().splitlines()
    new = order(lines)
    if new == lines:
        new = lines[1:] + lines[:1]
    file.write_text("\n".join(new) + "\n")
    with pytest.raises(InputError, match=r"labels\.txt: "):
        xmc.load(folder)


def test_a_damaged_part_is_never_trained_on_and_made_anew_where_it_is_deleted(runs, tmp_path):
    first, _, wanted = runs("copies")
    folder = shutil.copytree(first, tmp_path / "run")
    (folder / "meta.json").unlink()
    file = next(p for p in (folder / "level_01").rglob("*") if p.is_file() and p.parent.name == "d")
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(
        InputError, match=r"damaged, .* delete .*level_01 and run the same command again"
    ):
        fit("copies", folder, Path())
    file.write_bytes(_flip(data, len(data) // 2))
    with pytest.raises(InputError, match=r"level_01.* not as it was written"):
        fit("copies", folder, Path())
    shutil.rmtree(folder / "level_01")
    kept = (folder / "level_00").stat().st_mtime_ns
    found = fit("copies", folder, Path()).predict(CORPUS.test_texts, top_k=5)
    np.testing.assert_array_equal(found.scores, wanted.scores)
    assert kept == (folder / "level_00").stat().st_mtime_ns
