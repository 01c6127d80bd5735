"""Options of a command that are settings: made from the fields of the configuration when the command is used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from topwork.core.options import Function, Option, OptionValue, option_names, with_options


class SettingsCommand(TyperCommand):
    """A command that reads its settings when it is used: the list of commands needs none of them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All arguments and options."""
        function = inspect.unwrap(self.callback) if self.callback else None
        selected = getattr(function, "settings", ())
        if function and selected and not any(param.name in option_names(*selected) for param in self.params):
            app = typer.Typer(add_completion=False)
            app.command()(with_options(option_names(*selected), typer_option)(function))
            complete = get_command(app)
            self.params, self.callback = complete.params, complete.callback
        return super().get_params(ctx)


def setting_options(*selected: str) -> Callable[[Function], Function]:
    """Replace ``**options`` of a command by the options of settings, see ``option_names``."""

    def decorate(function: Function) -> Function:
        setattr(with_options([], typer_option)(function), "settings", selected)  # noqa: B010
        return function

    return decorate


def typer_option(option: Option) -> Any:
    """The annotation that makes typer offer a setting."""
    names = [option.flag_name, *([option.flag.short] if option.flag.short else [])]
    return Annotated[option.type | None, typer.Option(*names, help=option.help)]


def explicit(options: Mapping[str, OptionValue]) -> dict[str, Any]:
    """The options that are on the command line, as keyword arguments."""
    return {name: value for name, value in options.items() if value is not None and value is not False and value != []}
