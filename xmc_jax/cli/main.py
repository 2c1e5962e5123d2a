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
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType, ModuleType
from typing import Any

from xmc_jax import __version__
from xmc_jax.cli.options import Arguments
from xmc_jax.errors import InputError, Note, XMCError, suggest

COMMANDS = {
    "demo": "train on the bundled WordNet set, evaluate, predict; about a minute, no network",
    "data": "show what would be read from a file or folder, and what looks odd in it",
    "train": "train a model, or resume an interrupted run",
    "predict": "label documents, a JSON line each",
    "evaluate": "score a model on a split of a data set",
    "explain": "why documents have their labels, or have not others",
    "calibrate": "fit a run's probabilities to documents that it was not trained on",
    "describe": "show a run: its tree level by level, sizes, what is complete",
    "plan": "show tree shape, memory and work before anything runs",
}
DONE, FAILED = 0, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code: 0 done, 1 failed, 2 wrong usage or bad input."""
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv
    if not debug:
        _silence_libraries()
    stage = Stage(argv)
    try:
        with _stop_on_sigterm(), print_notes():
            stage.run()
        sys.stdout.flush()
        return DONE
    except SystemExit as stop:  # argparse, after --help
        return stop.code if isinstance(stop.code, int) else DONE
    except BrokenPipeError:
        # Who read our output has gone. Python flushes standard output once more at exit: not there.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt as error:
        return _fail(error, f"interrupted; {stage.resume_hint()}", debug)
    except XMCError as error:
        return _fail(error, str(error), debug, error.exit_code)
    except MemoryError as error:
        hint = "see `xmc plan` for what takes it"
        return _fail(error, f"out of memory; {hint}", debug)
    except OSError as error:
        return _fail(error, f"{error.filename or 'input/output'}: {error.strerror or error}", debug)
    except Exception as error:
        return _fail(error, _describe_unforeseen(error), debug)


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
        """Returns what an interruption left behind and what to do to go on."""
        if self._command is None or self._arguments is None:
            return "nothing was begun"
        if not getattr(self._command, "RESUMES", False):
            return "no file was written"
        if not os.path.isdir(self._arguments.named.workdir):
            return "nothing was written yet"
        again = shlex.join(a for a in self._argv if a != "--debug")
        return f"what is finished is kept; to resume: xmc {again}"


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
            "Exit codes: 0 done, 1 failed, 2 wrong usage or bad input.",
        ]
    )


def _fail(error: BaseException, message: str, debug: bool, code: int = FAILED) -> int:
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    print(f"xmc: {' '.join(message.split())}", file=sys.stderr)
    return code


def _describe_unforeseen(error: Exception) -> str:
    text = str(error)
    if "RESOURCE_EXHAUSTED" in text:
        return "the device is out of memory; try a smaller --search.batch, or see `xmc plan`"
    return f"unforeseen {type(error).__name__}: {text:.300}; --debug shows where, please report it"


@contextlib.contextmanager
def print_notes() -> Iterator[None]:
    """Prints what the library notes as one line on standard error, each line once."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, Note):
            others(message, category, *place, **more)
        elif str(message) not in seen:
            seen.add(str(message))
            print(f"note: {message}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        others = warnings.showwarning
        warnings.showwarning = show
        warnings.simplefilter("always", Note)
        yield


@contextlib.contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Makes SIGTERM stop the work as Ctrl-C does, so that whatever is half-written is cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _silence_libraries() -> None:
    """Leaves standard error to our own lines: libraries log warnings there that are no user's business."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("jax", "absl", "orbax", "datasets", "huggingface_hub", "fsspec"):
        logging.getLogger(name).setLevel(logging.ERROR)
