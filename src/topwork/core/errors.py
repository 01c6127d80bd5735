"""Every error that topwork raises on purpose, each one line: what, where, and one way out.

TopworkError            exit status 1
+-- UsageError          2   a flag, a setting or a name that is not allowed
|   +-- ConfigError     2   a configuration file or --set that does not fit
|   +-- ChangedSettings 2   --resume with other settings than the run was started with
|   `-- UnknownName     2   no such model, strategy or source; carries the nearest names
+-- DataError           1   the images cannot be used: none, one class, a class too small
+-- WeightsError        1   pretrained weights are missing, unreadable or of another shape
+-- StorageError        1   the output cannot be written: full, read-only, in use
|   `-- DamagedFile     1   a file's SHA-256 is not what was written
+-- MissingExtra        3   an optional package is needed
+-- LostProcess         1   another process of the same training has ended
+-- Ended               1   a process that --devices started has ended; with its own exit status if it had one
`-- Interrupted         130 (Ctrl-C), 143 (SIGTERM) or 138 (SIGUSR1); everything is saved
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class TopworkError(Exception):
    """Base of all deliberate errors; ``exit_status`` is what the command line returns."""

    exit_status = 1


class UsageError(TopworkError):
    """Something was asked for that is not allowed."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration does not fit; the message names every field that is off."""


class SettingsChanged(UsageError):
    """A resume asked for settings that differ from those the run was started with."""


class UnknownName(UsageError):
    """A name that is not in a list of allowed ones.

    Args:
        kind: What was looked for, e.g. ``"model"``.
        name: What was given.
        allowed: All names there are; the five nearest are put into the message.
        advice: Where to see all names.
    """

    def __init__(self, kind: str, name: str, allowed: Iterable[str], advice: str = "") -> None:
        pool = sorted(allowed)
        self.nearest = difflib.get_close_matches(name, pool, n=5, cutoff=0.0)
        known = ", ".join(self.nearest) if len(pool) > 5 else ", ".join(pool)
        lead = "the nearest are" if len(pool) > 5 else "there are"
        super().__init__(f"No {kind} is called {name!r}; {lead} {known}. {advice}".strip())


class DataError(TopworkError):
    """The images cannot be used for what was asked."""


class WeightsError(TopworkError):
    """Pretrained weights are missing, unreadable or do not fit the model."""


class StorageError(TopworkError):
    """The output cannot be written or is in use."""


class CorruptFile(StorageError):
    """A stored file is not what was written."""


class MissingDependency(TopworkError):
    """An optional dependency is needed.

    Args:
        what: The thing that needs it.
        extra: The name of the extra in ``pip install 'topwork[extra]'``.
    """

    exit_status = 3

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package; pip install 'topwork[{extra}]'.")


class PeerLost(TopworkError):
    """Another process of the same training has ended, and this one cannot go on alone.

    Args:
        advice: The command that goes on; empty as long as there is nothing to go on with.
    """

    def __init__(self, advice: str = "") -> None:
        super().__init__(
            "Another process of this training has ended. What was reported as saved is saved"
            + (f"; resume with: {advice}" if advice else ".")
        )


class ProcessFailed(TopworkError):
    """A process of a training on several devices has ended badly.

    Args:
        title: Which.
        status: Its exit status, which was told why; or less than 0, the number of the signal that it could not tell of.
        advice: The command that goes on.
    """

    def __init__(self, title: str, status: int, advice: str) -> None:
        super().__init__(f"{title} was ended by {describe_exit(status)}. Resume with: {advice}" if status < 0 else "")
        self.exit_status = max(status, 1)


def describe_exit(status: int) -> str:
    """How a process ended, by its exit status as ``subprocess`` gives it: ``SIGKILL``, ``exit status 3``."""
    try:
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"
    except ValueError:
        return f"signal {-status}"


class Interrupted(TopworkError):
    """Stopped by a signal after everything was saved.

    Args:
        message: What was saved, and the command that goes on.
        signal_number: The signal; the exit status is 128 + this.
    """

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number
