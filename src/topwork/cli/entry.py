"""The entry point: every error is one line, and one for each command to choose from, and an exit status."""

from __future__ import annotations

import os
import re
import sys
from typing import NoReturn

from topwork.cli.app import app
from topwork.compute.ranks import under_torchrun, world
from topwork.core.errors import DataError, Interrupted, PeerLost, TopworkError, UsageError
from topwork.core.progress import print_in_any_encoding, printable

_HINTS = {
    "--batch": "--batch-size", "--bs": "--batch-size", "--imgsz": "--img-size", "--output-dir": "--out",
    "--output_dir": "--out", "--save_dir": "--out", "--save-dir": "--out", "--learning-rate": "--lr", "--name": "--out",
}  # fmt: skip


def main() -> NoReturn:
    """Run the command that was typed; ``--debug`` shows the traceback of an error."""
    if under_torchrun():
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else every process repeats notes on its set-up
    print_in_any_encoding()
    debug = "--debug" in sys.argv
    if debug:  # allowed anywhere on the line
        sys.argv.remove("--debug")
    for word in sys.argv[1:]:
        if word.split("=")[0] in _HINTS:
            _fail(UsageError(f"There is no option {word}; did you mean {_HINTS[word.split('=')[0]]}?"), debug)
    try:
        app()
    except TopworkError as error:
        _fail(error, debug)
    except KeyboardInterrupt:
        print("Stopped at once; what was reported as saved is saved.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(DataError(f"{error.strerror or error}{where}. Check that path, or use --debug for details."), debug)
    except Exception as error:  # a fault of topwork: one line all the same, and how to see more
        reason = str(error).splitlines()[0] if str(error) else ""
        _fail(
            TopworkError(f"Unexpected {type(error).__name__}: {reason}. Run it again with --debug and report it."),
            debug,
        )
    sys.exit(0)


def shown(error: TopworkError) -> str:
    """The message as a terminal shows it: in one line, apart from indented ones with commands to choose from."""
    break_ = r"\s*\n(?!  )\s*" if isinstance(error, UsageError) else r"\s*\n\s*"
    return printable(re.sub(break_, " ", str(error).strip()))


def _fail(error: TopworkError, debug: bool) -> NoReturn:
    if debug:
        import traceback

        traceback.print_exc()
    if not world().is_main and isinstance(error, UsageError | Interrupted | PeerLost):
        sys.exit(error.exit_status)  # rank 0 prints the same, or the cause
    line = shown(error)
    if line:
        process_name = f" in process {world().rank} of {world().size}" if not world().is_main else ""
        print(f"Error{process_name}: {line}" if error.exit_status < 128 else line, file=sys.stderr, flush=True)
    sys.exit(error.exit_status)
