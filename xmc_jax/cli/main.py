"""`xmc COMMAND ...`: finds the command, runs it, and turns every failure into one line and an exit code.

Only the command asked for is imported, and a command imports what it needs when it runs: help and
errors of usage come at once.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from xmc_jax import __version__
from xmc_jax.cli.interrupts import Interrupts, listen
from xmc_jax.cli.options import Arguments
from xmc_jax.cli.streams import drop_output, flush_output, prepare_streams, tell
from xmc_jax.errors import InputError, Note, XMCError, suggest

COMMANDS = {
    "demo": "train on the bundled WordNet set, evaluate, predict; about a minute, no network",
    "data": "show what would be read from a file or folder, and what looks odd",
    "train": "train a model, or resume an interrupted run",
    "update": "make a new run from a complete one, with more documents and labels",
    "predict": "label documents, one line of results per document",
    "evaluate": "score a model on a split of a data set",
    "explain": "explain why documents get their labels, or do not get others",
    "report": "make one page to look at: scores, thresholds, the tree, and what went wrong",
    "calibrate": "fit a run's probabilities to documents that it was not trained on",
    "describe": "show a run: its tree level by level, its sizes, and what is complete",
    "plan": "show tree shape, memory and work of a training before anything runs",
}
DONE, FAILED = 0, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code: 0 done, 1 failed, 2 wrong usage or bad input, 130 and 143 ended by
    Ctrl-C and SIGTERM.
    """
    is_process = argv is None
    if is_process:
        prepare_streams()
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv
    if not debug:
        _silence_libraries()
    stage = Stage(argv)
    interrupts = Interrupts(ends_process=is_process)
    try:
        with listen(interrupts):
            code = interrupts.code = _run(stage, interrupts, debug)
    except KeyboardInterrupt as error:  # in the last moment
        code = _fail(error, f"interrupted; {stage.resume_hint()}", debug, interrupts.exit_code)
    if is_process and interrupts.asked:
        # Threads that are still at work are not waited for.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)
    return code


def _run(stage: Stage, interrupts: Interrupts, debug: bool) -> int:
    """Runs a command and returns its exit code."""
    try:
        with print_notes():
            stage.run()
        interrupts.check()
        flush_output()
        return DONE
    except SystemExit as stop:  # argparse, after --help
        return stop.code if isinstance(stop.code, int) else DONE
    except BaseException as error:
        # Libraries turn an interruption into errors of their own.
        if interrupts.asked or isinstance(error, KeyboardInterrupt):
            line = f"interrupted; {stage.resume_hint()}"
            return _fail(error, line, debug, interrupts.exit_code)
        if isinstance(error, BrokenPipeError):  # who read our output has gone
            drop_output(sys.stdout)
            return FAILED
        return _fail(error, describe_failure(error), debug, getattr(error, "exit_code", FAILED))


def describe_failure(error: BaseException) -> str:
    """Returns what went wrong, in a line."""
    if isinstance(error, XMCError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory; see `xmc plan` for what takes it"
    if isinstance(error, OSError):
        return f"{error.filename or 'input/output'}: {error.strerror or error}"
    text = str(error)
    # Of the device alone: the storage layer has the same word for a full disk.
    if type(error).__name__ == "JaxRuntimeError" and "RESOURCE_EXHAUSTED" in text:
        return "the device is out of memory; try a smaller --search.batch, or see `xmc plan`"
    return f"unforeseen {type(error).__name__}: {text:.300}; --debug shows where, please report it"


class Stage:
    """How far a command line has come, for the line that is printed if it is interrupted."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self._command: ModuleType | None = None
        self._arguments: Arguments | None = None

    def run(self) -> None:
        argv = [a for a in self._argv if a != "--debug"]
        if argv[:1] == ["help"] and len(argv) > 1:
            argv = [argv[1], "--help"]
        if not argv or argv[0] in ("-h", "--help", "help"):
            print(_overview())
            return
        if argv[0] == "--version":
            print(f"xmc_jax {__version__}")
            return
        name = argv[0]
        if name not in COMMANDS:
            kind = "option" if name.startswith("-") else "command"
            raise InputError(f"unknown {kind} '{name}'{suggest(name, COMMANDS)}")
        self._command = importlib.import_module(f"xmc_jax.cli.{name}")
        self._arguments = self._command.parse(argv[1:])
        self._command.run(self._arguments)

    def resume_hint(self) -> str:
        """Returns what an interruption left behind and how to resume."""
        if self._command is None or self._arguments is None:
            return "nothing was begun"
        hint = getattr(self._command, "resume_hint", None)
        if hint is not None:
            return hint(self._arguments, self._argv)
        if not getattr(self._command, "RESUMES", False):
            return "no file was written"
        if not os.path.isdir(self._arguments.named.workdir):
            return "nothing was written yet"
        again = shlex.join(a for a in self._argv if a != "--debug")
        return f"finished stages are kept; to resume: xmc {again}"


def _overview() -> str:
    wide = max(map(len, COMMANDS))
    lines = [f"  {name:<{wide}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: xmc COMMAND [options]     extreme multi-label text classification",
            "",
            *lines,
            "",
            "xmc COMMAND --help shows a command's options; --debug shows tracebacks.",
            "Exit codes: 0 done, 1 failed, 2 wrong usage or bad input, 130 Ctrl-C, 143 SIGTERM.",
        ]
    )


def _fail(error: BaseException, message: str, debug: bool, code: int = FAILED) -> int:
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    tell(f"xmc: {' '.join(message.split())}")
    return code


@contextlib.contextmanager
def print_notes() -> Iterator[None]:
    """Prints what the library notes as one line on standard error, each line once."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, Note):
            others(message, category, *place, **more)
        elif str(message) not in seen:
            seen.add(str(message))
            tell(f"note: {message}")

    with warnings.catch_warnings():
        others = warnings.showwarning
        warnings.showwarning = show
        warnings.simplefilter("always", Note)
        yield


def _silence_libraries() -> None:
    """Leaves standard error to our own lines: libraries log warnings there that are no user's business."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("jax", "datasets", "huggingface_hub", "fsspec"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # What fails while a checkpoint is written is raised as well, and its traceback would stand above our line.
    for name in ("absl", "orbax"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
