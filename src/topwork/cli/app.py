"""The application, the options that several commands share, and those made from the fields of the configuration."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from topwork.core.errors import UsageError
from topwork.core.options import Function, Option, OptionValue, option_names, with_options
from topwork.core.progress import printable

FIRST_STEPS = """\
What to do first:
  topwork demo             compare four strategies on images of solar cells (extra 'demo')
  topwork check photos/    look for problems in your images, a folder with one folder for each class
  topwork compare photos/  train on them, compare the strategies and recommend one
"""
MORE_HELP = "Help: topwork --help, topwork compare --help, ... for each command. What is installed: topwork doctor"


class RootGroup(TyperGroup):
    """The commands; without one it says what to do first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Answer an empty command line, which is no error of somebody who has just installed topwork."""
        if args or ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        formatter = ctx.make_formatter()
        self.format_commands(ctx, formatter)
        print(f"{self.help}\n\n{FIRST_STEPS}\n{formatter.getvalue()}\n{MORE_HELP}")
        raise typer.Exit


app = typer.Typer(
    name="topwork",
    help="Transfer learning on your own images: four strategies on one split, compared with confidence intervals.",
    cls=RootGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)

DATA_HELP = "Folder of class folders, table, tar shards, or name of a data set."
Data = Annotated[str | None, typer.Argument(help=DATA_HELP)]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write to.  [default: a new one in runs/]")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in the output folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser at the end.")]


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"topwork {version('topwork')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the command."""


class SettingsCommand(TyperCommand):
    """A command that reads its settings when it is used: the list of commands needs none of them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All arguments and options."""
        function = inspect.unwrap(self.callback) if self.callback else None
        selected = getattr(function, "settings", ())
        if function and selected and not any(param.name in option_names(*selected) for param in self.params):
            app = typer.Typer(add_completion=False)
            annotate = partial(typer_option, command=selected[0])
            app.command()(with_options(option_names(*selected), annotate)(function))
            complete = get_command(app)
            self.params, self.callback = complete.params, complete.callback
        return super().get_params(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an option without its value here: the parser would take the next option for it."""
        if ctx.resilient_parsing:  # the shell completes a line that is not whole yet
            return super().parse_args(ctx, args)
        options = {name: param for param in self.get_params(ctx) for name in param.opts if name.startswith("-")}
        words = [*takewhile(lambda word: word != "--", args), ""]
        for word, value in pairwise(words):
            if word in options and not getattr(options[word], "is_flag", False) and (value in options or not value):
                if word != "--resume":
                    raise UsageError(f"{word} needs a value: {options[word].help}")
                from topwork.core import commands

                out = next((b for a, b in pairwise(words) if a in ("--out", "-o") and b not in options), "FOLDER")
                resume = commands.command(self.name or "", "--resume", commands.as_argument(out))
                raise UsageError(f"--resume needs the folder and takes data and settings from it: {resume}")
        return super().parse_args(ctx, args)


def setting_options(*selected: str) -> Callable[[Function], Function]:
    """Replace ``**options`` of a command by the options of settings, see ``option_names``."""

    def decorate(function: Function) -> Function:
        setattr(with_options([], typer_option)(function), "settings", selected)  # noqa: B010
        return function

    return decorate


def typer_option(option: Option, command: str = "") -> Any:
    """The annotation that makes typer offer a setting."""
    names = [option.flag_name, *([option.flag.short] if option.flag.short else [])]
    kind = list[option.type] if command and option.flag.repeated == command else option.type
    return Annotated[kind | None, typer.Option(*names, help=option.help)]


def explicit(options: Mapping[str, OptionValue]) -> dict[str, Any]:
    """The options that are on the command line, as keyword arguments."""

    def is_set(value: OptionValue) -> bool:
        return len(value) > 0 if isinstance(value, list | tuple) else value is not None and value is not False

    return {name: value for name, value in options.items() if is_set(value)}


def open_page(page: Path, requested: bool) -> None:
    """Open a page in the user's browser; without one say where the page is, which is no failure."""
    if not requested:
        return
    import webbrowser

    # without a window webbrowser would start a text browser in this terminal
    has_window = sys.platform in ("win32", "darwin") or {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if not (has_window and webbrowser.open(page.resolve().as_uri())):
        print(printable(f"No browser can be opened here. Open this file in one: {page}"), file=sys.stderr)
