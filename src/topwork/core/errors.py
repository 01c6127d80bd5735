"""The errors of topwork. Each message is one line: what happened, what was expected, what to do.

The exit status of the command line is 1, of usage errors 2, of a missing package 3, of an interruption 128 + signal.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class TopworkError(Exception):
    """Base of all deliberate errors; ``exit_status`` is what the command line returns."""

    exit_status = 1


class UsageError(TopworkError):
    """A flag, a setting or an argument is not allowed."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration is invalid; the message names every invalid field."""


class SettingsChanged(UsageError):
    """The settings of a resume differ from those the run was started with."""


class UnknownName(UsageError):
    """A name that is not among the allowed ones.

    Args:
        kind: What is named, e.g. ``"model"``.
        allowed: All names; the message has the five nearest.
        hint: Where to see all names.
    """

    def __init__(self, kind: str, name: str, allowed: Iterable[str], hint: str = "") -> None:
        pool, lead = sorted(allowed), "there are"
        self.nearest = difflib.get_close_matches(name, pool, n=5, cutoff=0.0)
        if len(pool) > 5:
            pool, lead = self.nearest, "the nearest are"
        super().__init__(f"No {kind} is called {name!r}; {lead} {', '.join(pool)}. {hint}".strip())


class DataError(TopworkError):
    """The images cannot be used for the command."""


class SettingNeeded(DataError):
    """The images cannot be used as they are, but with a setting.

    Args:
        problem: What happened and what to do, without a stop.
        setting, value: Of the data, which do that.
    """

    def __init__(self, problem: str, setting: str, value: str | int) -> None:
        super().__init__(f"{problem}, with --{setting.replace('_', '-')} {value}.")
        self.problem, self.change = problem, {setting: value}


class WeightsError(TopworkError):
    """Pretrained weights are missing, unreadable or do not match the model."""


class TrainingFailed(TopworkError):
    """A training cannot end well with its settings, for instance because its loss is no number any more."""


class StorageError(TopworkError):
    """The output cannot be written or is in use."""


class CorruptFile(StorageError):
    """A stored file is missing, truncated or changed."""


class MissingDependency(TopworkError):
    """An optional package is not installed.

    Args:
        what: The feature that needs it.
        extra: The name of the extra in ``pip install 'topwork[extra]'``.
    """

    exit_status = 3

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package. Install it with: pip install 'topwork[{extra}]'.")


class PeerLost(TopworkError):
    """Another process of the same training has ended; ``resume_command`` is empty as long as nothing was saved."""

    def __init__(self, resume_command: str = "") -> None:
        super().__init__(
            "Another process of this training has ended. Everything that was reported as saved is saved"
            + (f"; resume with: {resume_command}" if resume_command else ".")
        )


class ProcessFailed(TopworkError):
    """A process of a training on several devices, or of a parallel comparison, has failed.

    Args:
        status: Its exit status, after it has printed why; or below 0, minus the signal that ended it.
        resume_command: Empty as long as nothing was saved.
    """

    def __init__(self, title: str, status: int, resume_command: str) -> None:
        then = f"Resume with: {resume_command}" if resume_command else "Nothing was saved yet."
        message = f"{title} was ended by {describe_exit(status)}. {then}"
        super().__init__(message if status < 0 else "")
        self.exit_status = max(status, 1)


def describe_exit(status: int) -> str:
    """How a process ended, by its ``subprocess`` return code.

    >>> describe_exit(-9), describe_exit(3)
    ('SIGKILL', 'exit status 3')
    """
    try:
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"
    except ValueError:
        return f"signal {-status}"


class Interrupted(TopworkError):
    """Stopped by a signal after everything was saved; ``message`` has the command to resume."""

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number
