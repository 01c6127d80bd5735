"""The settings that are options of the command line and keyword arguments, read from the configuration's fields."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from topwork.core.names import strategies_of

if TYPE_CHECKING:  # the configuration needs pydantic, `topwork --help` does not
    from topwork.core.base_config import BaseConfig, Flag

OptionValue = str | int | float | bool | Sequence[str] | os.PathLike[str] | None
Function = TypeVar("Function", bound=Callable[..., Any])
COMMANDS = ("train", "compare")


@dataclass(frozen=True)
class Option:
    """A setting that has a flag.

    Attributes:
        name: Of the keyword argument; the flag has dashes for underscores.
        path: In the configuration, e.g. ``data.source``; for settings of strategies, in those of each.
        type: Of the value that the flag takes.
        help: The docstring of the field, with the default.
        strategies: Strategies that have the setting; empty if it is not one of strategies.
    """

    name: str
    path: str
    type: Any
    help: str
    flag: Flag
    strategies: tuple[str, ...] = ()

    @property
    def flag_name(self) -> str:
        """As typed on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def targets(self, strategies: Sequence[str]) -> list[str]:
        """Those of the strategies that the flag sets: one alone, of several those that train on images."""
        strategies = strategies_of(strategies)
        known = [name for name in strategies if name in self.strategies]
        return known if len(strategies) == 1 else [name for name in known if name in self.networks]

    @property
    def networks(self) -> list[str]:
        """Those of its strategies that train on images."""
        from topwork.core.strategy_config import ImageTrainingConfig, StrategySettings

        defaults = StrategySettings()
        return [name for name in self.strategies if isinstance(defaults[name], ImageTrainingConfig)]


@cache
def options() -> dict[str, Option]:
    """All options by name, in the order of the configuration."""
    from topwork.core.config import Config

    found: dict[str, Option] = {}
    for option in _walk(Config, ""):
        known = found.get(option.name)
        found[option.name] = replace(option, strategies=known.strategies + option.strategies) if known else option
    return found


def option_names(*selected: str) -> list[str]:
    """Names of options, e.g. ``"seed"``; all of ``"train"`` or ``"compare"``; all of a section such as ``"data"``."""
    return [
        option.name
        for word in selected
        for option in options().values()
        if (option.flag.only in ("", word) if word in COMMANDS else word in (option.name, option.path.split(".")[0]))
    ]


def with_options(
    names: Sequence[str], annotate: Callable[[Option], Any] | None = None
) -> Callable[[Function], Function]:
    """Replace ``**options`` in the signature of a function by one keyword per option, for typer and for ``help()``.

    Args:
        names: Of the options.
        annotate: Gives the annotation of a keyword; its type or None if left out.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True) if annotate else {}
        own = [
            p.replace(annotation=hints.get(p.name, p.annotation))
            for p in signature.parameters.values()
            if p.kind is not p.VAR_KEYWORD and p.name not in names
        ]
        for name in names:
            hint = annotate(options()[name]) if annotate else options()[name].type | None
            own.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint))
        seen: dict[str, Any] = {"__signature__": signature.replace(parameters=own)}
        if annotate:
            seen["__annotations__"] = {p.name: p.annotation for p in own}
        for name, value in seen.items():
            setattr(function, name, value)
        return function

    return decorate


def _walk(model: type[BaseConfig], path: str, strategy: str = "") -> Iterator[Option]:
    from topwork.core.base_config import BaseConfig
    from topwork.core.strategy_config import StrategySettings

    for name, field in model.model_fields.items():
        kind, flag, inner = field.annotation, model.flag_of(name), f"{path}.{name}".strip(".")
        if isinstance(kind, type) and issubclass(kind, BaseConfig):
            own = issubclass(model, StrategySettings)  # the path of a strategy's setting is below each strategy
            yield from _walk(kind, "" if own else inner, name if own else "")
        elif flag:
            number = isinstance(field.default, int) and not isinstance(field.default, bool)
            shown = not strategy and (number or field.default not in (None, "", "auto", (), False))
            text = model.help_of(name) + (f"  [default: {field.default}]" if shown else "")
            yield Option(name, inner, _type(kind), text, flag, (strategy,) if strategy else ())


def _type(annotation: Any) -> Any:
    """What a flag takes for a field: ``int`` for ``int | "auto"``, ``list[str]`` for tuples, ``str`` for literals."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return str
    if origin is tuple:
        return list[str]
    if origin in (Union, UnionType):
        return next(_type(a) for a in arguments if a is not NoneType and get_origin(a) is not Literal)
    return annotation
