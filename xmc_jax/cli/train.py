"""`xmc train`: trains a model into a folder, or resumes the unfinished run that it holds."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmc_jax.cli.data import tell_data
from xmc_jax.cli.devices import check_devices
from xmc_jax.cli.format import format_bytes
from xmc_jax.cli.options import Arguments, Parser
from xmc_jax.cli.progress import open_progress
from xmc_jax.cli.settings import SECTIONS, add_config_options, build_config
from xmc_jax.cli.streams import greet, tell
from xmc_jax.config import Config, PrototypeConfig, TreeConfig
from xmc_jax.errors import InputError
from xmc_jax.progress import format_time

if TYPE_CHECKING:
    from xmc_jax.data import Dataset, LabelNames, Split
    from xmc_jax.estimator import XRLinear
    from xmc_jax.model import LabelTree
    from xmc_jax.types import Progress

RESUMES = True


def parse(argv: list[str]) -> Arguments:
    parser = Parser("train", __doc__, sections=SECTIONS)
    parser.add_argument(
        "--data",
        required=True,
        metavar="D",
        help="a file or folder (tables, JSON lines, Parquet, XMC repository, AttentionXML, PECOS, fastText, "
        "Annif, LibMultiLabel; xmc data shows what is read), hf:NAME, or bundled:wordnet",
    )
    parser.add_argument(
        "--workdir", required=True, metavar="W", help="folder of the run; resumed if one is there"
    )
    parser.add_argument(
        "--tree",
        metavar="FILE",
        help="a tree of your own: .json (nested clusters or a parent map) or .npz (labels x "
        "clusters)",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="address of process 0; trains in several processes that share one workdir, each started with this "
        "command; auto: Slurm, Open MPI, GKE, Cloud TPU or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
        "JAX_PROCESS_ID say it",
    )
    parser.add_argument("--processes", type=int, metavar="N", help="how many processes there are")
    parser.add_argument(
        "--process", type=int, metavar="I", help="the number of this process, 0 to N - 1"
    )
    add_config_options(parser)
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    named = arguments.named
    config = build_config(arguments)
    began = time.monotonic()
    is_joined = join(named.address, named.processes, named.process)
    tells = True  # how it goes: the first process
    if is_joined:
        from xmc_jax.parallel import is_first

        tells = is_first()
    if tells:
        greet(f"{config.model} model of {named.data} into {named.workdir}")
    check_devices()
    with open_progress(tells) as progress, work_together(is_joined):
        model = train_run(named.data, named.workdir, config, progress, named.tree)
    if not tells:
        return
    took = format_time(time.monotonic() - began)
    tell(f"{summarize(model)}; done in {took}")
    for line in list_next(model, named.data, named.workdir):
        tell(line)


def list_next(model: XRLinear, data: str, workdir: str) -> list[str]:
    """Returns what to do next, as lines: commands that work as they stand."""
    from xmc_jax.data import open_dataset

    splits = open_dataset(data, model.config.data).splits
    folder = shlex.quote(workdir)
    for split in ("test", "valid"):
        if split in splits:
            option = "" if split == "test" else f" --split {split}"
            return [f"next: xmc evaluate --workdir {folder} --data {shlex.quote(data)}{option}"]
    lines = [f"next: xmc describe --workdir {folder}"]
    if model.reads_text and not model.reads_vectors:
        lines = [
            f"next: echo 'a text to label' | xmc predict --workdir {folder} --input - --output -"
        ]
    return [
        "no test split: --test-share 0.1 holds a tenth of the documents out, for xmc evaluate",
        *lines,
    ]


def join(address: str | None, processes: int | None, process: int | None) -> bool:
    """Joins the processes of a run, if there are several; returns whether there are.

    Raises:
        InputError: some of the three options are given, not all.
    """
    given = {"--address": address, "--processes": processes, "--process": process}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == 3:
        return False
    if address == "auto":
        if len(missing) < 2:
            named = next(name for name in ("--processes", "--process") if name not in missing)
            raise InputError(
                f"option '{named}' given with --address auto, which finds it; leave one of them out"
            )
        address = None
    elif missing:
        there = next(name for name, value in given.items() if value is not None)
        raise InputError(
            f"option '{there}' given without {' and '.join(missing)}; all three needed"
        )
    from xmc_jax.parallel import join_processes

    join_processes(address, processes, process)
    return True


@contextlib.contextmanager
def work_together(is_joined: bool) -> Iterator[None]:
    """Lets the processes end together, and an exchange that fails wait for the name of the one that died."""
    if not is_joined:
        yield
        return
    from xmc_jax.parallel import leave_processes, wait_for_loss

    try:
        yield
    except BaseException as error:
        is_common = leave_processes(failed=True)
        # An exchange fails at once where another process died, before it is known which one.
        if not is_common and isinstance(error, Exception) and not isinstance(error, InputError):
            wait_for_loss()
        raise
    leave_processes()


def train_run(
    data: str, workdir: str, config: Config, progress: Progress, tree_file: str | None = None
) -> XRLinear:
    """Trains on a data set into a folder, resumes the run there, or loads it if it is complete.

    Raises:
        InputError: bad data, tree or settings; the folder holds another run or other files.
    """
    from xmc_jax.data import open_dataset
    from xmc_jax.estimator.growth import choose_inputs
    from xmc_jax.linear.spread import holds_share
    from xmc_jax.parallel import is_first

    folder = Path(workdir)
    check_folder(folder, config)
    check_negatives(config)
    if tree_file is not None and isinstance(config, PrototypeConfig):
        raise InputError(
            f"option '--tree {tree_file}' given for --model {config.model}, which has no tree; leave it out"
        )
    # The stage is not finished by a line of its own: if the data are refused, one line says so.
    progress.start("data", 0)
    dataset = open_dataset(data, config.data)
    split = read_part(dataset) if holds_share(config) else dataset.load_split("train")
    config = replace(config, data=dataset.settle())
    if is_first():
        tell_data(dataset, split, config)
    validation = None
    if "valid" in dataset.splits:
        held_out = dataset.load_split("valid", split.vocabulary)
        validation = choose_inputs(held_out, config), held_out.labels
    options: dict[str, Any] = {}
    if tree_file is not None and not isinstance(config, PrototypeConfig):
        options["tree"] = read_tree(tree_file, split, config.tree)
    x = choose_inputs(split, config)
    names = split.vocabulary
    display = find_names(dataset, split, config)
    model = make_model(config).fit(
        x,
        split.labels,
        label_names=names,
        **options,
        validation=validation,
        workdir=folder,
        progress=progress,
        source={"data": data} | ({"tree": tree_file} if tree_file else {}),
    )
    if display:
        model.name_labels(display)
    return model


def read_part(dataset: Dataset) -> Split:
    """Returns this process's part of the training documents, in the columns of all labels.

    Raises:
        InputError: bad data in any part, or a file that does not hold as many documents as it says.
    """
    import jax

    from xmc_jax.linear.spread import join_labels
    from xmc_jax.parallel import count_off, run_together

    part = (jax.process_index(), jax.process_count())
    split = run_together(lambda: dataset.load_split("train", part=part))
    total = count_off(len(split)).total
    if split.total is not None and split.total != total:
        raise InputError(
            f"{dataset.spec}: the header says {split.total:,} documents, the file holds {total:,}; copy it again or "
            "correct it"
        )
    labels, names = join_labels(split.labels, split.vocabulary)
    assert names is not None
    return replace(split, labels=labels, vocabulary=names)


def find_names(dataset: Dataset, split: Split, config: Config) -> LabelNames | None:
    """Returns what the labels are called, if a file of the settings or the data say so."""
    from xmc_jax.data import read_names

    if config.data.names_file:
        return read_names(config.data.names_file, split.vocabulary, config.data.language)
    return dataset.reader.names or None


def make_model(config: Config) -> Any:
    """Returns the untrained model of these settings."""
    from xmc_jax.estimator.saved import find_class

    return find_class(config.model)(config)


def check_folder(workdir: Path, config: Config) -> None:
    """Raises an InputError if the folder cannot take this run, a RunError if another training holds it, before any data
    is read.
    """
    from xmc_jax import run
    from xmc_jax.parallel import is_first

    try:
        run.check_folder(workdir, config)
    except InputError as error:
        raise InputError(f"option '--workdir': {error}") from error
    if is_first():
        run.check_free(workdir)


def check_negatives(config: Config) -> None:
    """Raises an InputError if the settings ask for negatives that no option of this command gives."""
    if isinstance(config, PrototypeConfig):
        return
    kinds = config.ranker.negatives
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        if "usn" in kind:
            raise InputError(
                f"ranker.negatives={kind!r} needs negatives of your own, which XRLinear.fit takes "
                "in Python; choose tfn, man or tfn+man"
            )


def read_tree(path: str, split: Split, config: TreeConfig) -> LabelTree:
    """Reads the tree of a user's file over the labels of the training split."""
    from xmc_jax.tree import read_tree_file

    return read_tree_file(
        path, split.vocabulary, branching=config.branching, min_clusters=config.min_clusters
    )


def summarize(model: XRLinear) -> str:
    """Returns what was trained, in a line."""
    prototypes = getattr(model, "prototypes", None)
    if prototypes is not None:
        of = f"{prototypes.n_labels:,} prototypes of {prototypes.hidden} numbers"
        return f"{model.n_train:,} documents; {of}, {format_bytes(prototypes.n_bytes)}"
    assert model.model is not None
    sizes = " - ".join(f"{size:,}" for size in model.model.tree.level_sizes)
    levels = [level for member in model.models for level in member.levels]
    weights = sum(level.n_entries for level in levels)
    size = format_bytes(sum(level.n_bytes for level in levels))
    n = len(model.models)
    trees = f"{n} trees like {sizes}" if n > 1 else f"tree {sizes}"
    return f"{model.n_train:,} documents; {trees}; {weights:,} weights, {size}"
