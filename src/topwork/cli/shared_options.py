"""Options that several commands share as one set: ``**shared: Unpack[Options]`` in a signature, each declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_type_hints

Command = TypeVar("Command", bound=Callable[..., None])


def unpacked(command: Command) -> Command:
    """Let typer see each option that ``**shared: Unpack[Options]`` stands for, after those of the command itself.

    Args:
        command: Its ``Options`` is a ``TypedDict``. What is not given is None, or False if it is a switch.
    """
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    (shared,) = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    (options,) = get_args(hints.pop(shared))
    own = [p.replace(annotation=hints[p.name]) for p in signature.parameters.values() if p.name != shared]
    for name, hint in get_type_hints(options, include_extras=True).items():
        default = False if get_args(hint)[0] is bool else None
        own.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
        hints[name] = hint
    seen: dict[str, Any] = {"__signature__": signature.replace(parameters=own), "__annotations__": hints}
    for name, value in seen.items():
        setattr(command, name, value)
    return command
