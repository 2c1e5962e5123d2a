"""What README and the guides show is true: their commands run, their Python prints what stands there."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from xmc_jax.cli.main import COMMANDS, main
from xmc_jax.cli.settings import build_config
from xmc_jax.data.jsonl import write_documents
from xmc_jax.data.synthetic import make_corpus

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(ROOT / f"{n}/README.md" for n in ("benchmarks", "configs", "colab"))]
PAGES += [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "configs/DATA.md")]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README = PAGES[0].read_text(encoding="utf-8")
BLOCKS = BLOCK.findall(README)
COMMAND_LINES = [
    line
    for page in PAGES
    for _, block in BLOCK.findall(page.read_text(encoding="utf-8"))
    for line in block.splitlines()
    if line.startswith("xmc ")
]
INLINE = [
    line
    for page in PAGES
    for line in re.findall(r"`(xmc \w+ [^`\n]+)`", page.read_text(encoding="utf-8"))
    if re.search(r"(--data|--input|data) \S+", line)
]
WORDS = {"products.csv", "documents.txt"}  # files that the reader has


def test_it_is_short_and_begins_with_install_and_tests():
    assert README.count("\n") <= 220
    assert README[: README.index("```")].count("\n") < 40
    first = [line.partition("#")[0].strip() for line in BLOCKS[0][1].splitlines()]
    assert first[0].startswith("git clone ")
    assert first[1] == "pip install -e . && xmc demo"
    assert first[2] == 'pip install -e ".[test]" && pytest -n auto --dist loadfile'


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_and_named_files_are_there(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    outside = BLOCK.sub("", text)
    for name in re.findall(
        r"`((?:xmc_jax|tests|configs|benchmarks|colab)/[\w./]+|\.ci/run)`", outside
    ):
        assert (ROOT / name).exists(), name


def test_tables_are_those_of_the_results():
    command = [sys.executable, str(ROOT / "benchmarks/report.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_figures_of_the_choice_of_model_are_in_the_results():
    """Each triple in the running text of README stands in a file of the summary's device."""
    results = ROOT / "benchmarks/results/cpu-2-cores"
    tables = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    triples = re.findall(r"\d+\.\d\d / \d+\.\d\d / \d+\.\d\d", README)
    assert len(triples) > 20 and results.exists()
    assert [t for t in triples if t not in tables] == []


def test_the_map_of_the_rooms_is_that_of_the_floors():
    spec = importlib.util.spec_from_file_location("floors", ROOT / "tests/test_floors.py")
    floors = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(floors)
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    lines = next(block for _, block in blocks if "__main__" in block).splitlines()
    # A line names its rooms before two blanks and what they are for; rooms of one floor share a line.
    shown = [{w for w in line.split() if w in floors.FLOOR} for line in lines]
    alone = [line.split()[0] for line in lines]
    assert all(rooms and first in rooms for rooms, first in zip(shown, alone, strict=True))
    for rooms, line in zip(floors.FLOORS[::-1], lines, strict=True):
        assert rooms <= set(line.split()), f"CONTRIBUTING.md's map: {sorted(rooms)} in '{line}'"


def test_every_command_is_shown():
    shown = {line.split()[1] for line in COMMAND_LINES} | {"demo"}
    assert sorted(set(COMMANDS) - shown - set(re.findall(r"`xmc (\w+)`", README))) == []


@pytest.mark.parametrize("line", [*COMMAND_LINES, *INLINE])
def test_command_lines_parse(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in WORDS:
        (tmp_path / name).write_text("text,labels\n")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    _, name, *words = shlex.split(line)
    for run in (word for word in words if word.startswith("runs/")):
        (tmp_path / run).mkdir(parents=True, exist_ok=True)
        (tmp_path / run / "config.json").write_text("{}")
    command = importlib.import_module(f"xmc_jax.cli.{name}")
    arguments = command.parse(words)
    if name in ("train", "plan"):
        build_config(arguments)


def write_examples(folder: Path) -> None:
    """Writes the files that README's reader has: products with categories, and documents to label."""
    corpus = make_corpus(n_train=400, n_test=10, n_labels=32, branching=4, seed=0)
    rows = zip(corpus.train_texts, corpus.train_labels, strict=True)
    first = str(corpus.train_labels[0][0])
    names = {first: "old name"}  # which the guide renames
    lines = [
        f"{number},{text},{';'.join(names.get(str(label), str(label)) for label in labels)},9.50"
        for number, (text, labels) in enumerate(rows)
    ]
    (folder / "products.csv").write_text("sku,text,labels,price\n" + "\n".join(lines) + "\n")
    (folder / "documents.txt").write_text("\n".join(corpus.test_texts) + "\n")


def test_commands_on_a_table_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_examples(tmp_path)
    block = next(block for _, block in BLOCKS if "products.csv" in block)
    for line in block.splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
        capsys.readouterr()
    assert len((tmp_path / "labels.jsonl").read_text().splitlines()) == 10


def python_blocks() -> tuple[str, str]:
    """Returns README's Python as one program, and what it prints."""
    shown = [at for at, (kind, _) in enumerate(BLOCKS) if kind == "python"]
    return "".join(BLOCKS[at][1] for at in shown), "".join(BLOCKS[at + 1][1] for at in shown)


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_runs_on_a_small_set(tmp_path):
    corpus = make_corpus(n_train=400, n_test=50, n_labels=32, branching=4, seed=0)
    for name, texts, labels in (
        ("train", corpus.train_texts, corpus.train_labels),
        ("test", corpus.test_texts, corpus.test_labels),
    ):
        names = [[f"label {i}" for i in row] for row in labels]
        write_documents(tmp_path / f"{name}.jsonl", zip(texts, names, strict=True))
    code, shown = python_blocks()
    printed = run_python(code.replace("bundled:wordnet", str(tmp_path)), tmp_path)
    assert printed.splitlines()[2:] == shown.splitlines()[2:]


@pytest.mark.slow
def test_the_python_prints_what_is_shown(tmp_path):
    code, shown = python_blocks()
    printed = run_python(code, tmp_path)
    # Scores may move in the last digit that is shown when the arithmetic of a machine differs.
    number = re.compile(r"\d+\.\d+")
    assert number.sub("#", printed) == number.sub("#", shown)
    assert [float(n) for n in number.findall(printed)] == pytest.approx(
        [float(n) for n in number.findall(shown)], abs=0.3
    )


@pytest.mark.slow
def test_every_command_runs_as_printed(tmp_path, tiny_encoder):
    """In the order of the pages, each in a process of its own; those that belong together side by side."""
    write_examples(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    env = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    waiting = []
    for line in COMMAND_LINES:
        # Hours on a CPU: another encoder, and few updates.
        line = line.replace("sentence-transformers/all-MiniLM-L6-v2", str(tiny_encoder))
        line = re.sub(r"--steps \d+", "--steps 4", line)
        words = [sys.executable, "-m", "xmc_jax", *shlex.split(line)[1:]]
        child = subprocess.Popen(
            words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        waiting.append((line, child))
        if "--process 0" in line:
            continue
        for shown, started in waiting:
            _, said = started.communicate(timeout=1500)
            assert started.returncode == 0, f"{shown}: {said[-2000:]}"
            print(shown)
        waiting = []
