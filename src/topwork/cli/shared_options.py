"""Options of a command that are settings: made from the fields of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from topwork.core.options import Option, OptionValue


def typer_option(option: Option) -> Any:
    """The annotation that makes typer offer a setting."""
    names = [option.flag_name, *([option.flag.short] if option.flag.short else [])]
    return Annotated[option.type | None, typer.Option(*names, help=option.help)]


def explicit(options: Mapping[str, OptionValue]) -> dict[str, Any]:
    """The options that are on the command line, as keyword arguments."""
    return {name: value for name, value in options.items() if value is not None and value is not False and value != []}
