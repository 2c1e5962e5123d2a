"""Stages: made once, kept, read again; a run that keeps nothing; states of a fine-tuning; rounds on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xmc_jax.errors import InputError, RunError
from xmc_jax.files import read_json, write_json
from xmc_jax.run import (
    Run,
    find_parts,
    find_round,
    layout,
    list_rounds,
    save_tree,
)
from xmc_jax.run.manifest import Manifest, read_manifest
from xmc_jax.tree import flat_tree


def new_run(folder) -> Run:
    return Run(Manifest(folder, "id", {}, is_held=True))


def read(path):
    return read_json(path, "")


def test_a_stage_is_made_once_and_read_after_that(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"a": len(made)}

    for _ in range(2):
        run = Run(read_manifest(tmp_path) or Manifest(tmp_path, "id", {}, is_held=True))
        assert run.once("tree", make, write_json, read) == {"a": 1}
    assert made == [1]
    inner = run.inside("ranker").inside("member_00")
    assert inner.once("tree", make, write_json, read) == {"a": 2}
    assert (tmp_path / "ranker" / "member_00" / "tree").exists()
    assert list(read_manifest(tmp_path).parts) == ["tree", "ranker/member_00/tree"]


def test_a_run_without_a_folder_is_the_same_value_and_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run()
    for _ in range(2):
        assert run.once("tree", lambda: 7, write_json, read) == 7
    run.inside("ranker").log({"stage": "level"})
    run.steps("level_00").save(3, {"a": np.ones(2)}, {})
    assert run.steps("level_00").last_step is None and not run.has("tree") and not run.is_complete
    run.close({})
    run.drop("tree")
    run.draw(lambda folder: 1 / 0)
    assert list(tmp_path.iterdir()) == []


def test_what_was_killed_before_it_was_taken_in_is_made_anew(tmp_path):
    write_json(tmp_path / "tree", {"half": True})
    assert new_run(tmp_path).once("tree", lambda: {"whole": True}, write_json, read) == {
        "whole": True
    }
    assert read(tmp_path / "tree") == {"whole": True}


def test_a_save_that_fails_leaves_the_stage_unmade(tmp_path):
    run = new_run(tmp_path)

    def fail(path, value):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        run.once("tree", lambda: 1, fail, read)
    assert not run.has("tree")
    assert run.once("tree", lambda: 1, write_json, read) == 1


def test_states_of_a_fine_tuning_let_the_one_before_go(tmp_path):
    run = new_run(tmp_path)
    for step in (0, 200, 400):
        run.steps("level_01").save(step, {"a": np.full(3, step)}, {"step": step})
        run = Run(read_manifest(tmp_path))
        run.manifest.is_held = True
        steps = run.steps("level_01")
        assert steps.last_step == step and run.steps("level_00").last_step is None
        arrays, note = steps.load(step)
        assert note == {"step": step} and arrays["a"].tolist() == [step] * 3
        assert steps.load(0)[1] == {"step": 0}
    assert sorted(p.name for p in (tmp_path / "level_01").iterdir()) == ["0", "400"]
    assert list(run.manifest.parts) == ["level_01/0", "level_01/400"]


def test_a_part_is_let_go(tmp_path):
    run = new_run(tmp_path)
    run.once("vectors", lambda: 1, write_json, read)
    run.drop("vectors")
    assert not run.has("vectors") and not (tmp_path / "vectors").exists()
    assert read_manifest(tmp_path).parts == {}


def test_a_complete_run_is_held_only_while_something_is_added(tmp_path):
    run = new_run(tmp_path)
    run.close({"n": 1})
    run.manifest.is_held = False
    run.keep("calibration", lambda path: write_json(path, 1))
    assert not (tmp_path / layout.LOCK).exists() and run.has("calibration")


def test_rounds_are_told_apart_and_the_newest_tree_is_found(tmp_path):
    tree, counts, run = flat_tree(4), np.ones(4), new_run(tmp_path)

    def keep(at, note):
        at.keep(layout.TREE, lambda path: save_tree(path, tree, counts, note))

    keep(run, {})
    assert find_parts(run).round == 0 and list_rounds(run) == []
    for number, first, stop in ((1, 2, False), (2, 0, False), (3, 1, True)):
        keep(find_round(run, number), {"round": number, "first_level": first, "stop": stop})
        if number == 1:
            # The levels above those that the round trains are the older ones.
            at = [find_parts(run).find_level(t).folder for t in range(4)]
            assert at == [tmp_path] * 2 + [tmp_path / "round_01"] * 2
    parts = find_parts(run)
    assert parts.round == 2 and parts.find_level(0).folder == tmp_path / "round_02"
    assert parts.read_tree().note["round"] == 2
    assert [note["round"] for note in list_rounds(run)] == [1, 2, 3]


def test_the_manifest_says_when_it_was_edited(tmp_path):
    new_run(tmp_path).once("tree", lambda: 1, write_json, read)
    file = tmp_path / layout.MANIFEST
    content = json.loads(file.read_text())
    for text in ("", "{", "[]", json.dumps(content | {"parts": {}}), json.dumps({"check": 1})):
        file.write_text(text)
        with pytest.raises(InputError, match=r"manifest\.json: not as it was written"):
            read_manifest(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "level_00").write_text("a file in the place of a folder")
    with pytest.raises(RunError, match=r"level_00.*: cannot be written"):
        new_run(tmp_path).steps("level_00").save(1, {"a": np.ones(1)}, {})
