"""The base of all settings, and the mark of those that are options of the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_SIDE = 4096  # pixels of the input of a network
Auto = Literal["auto"]
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=16, le=MAX_SIDE)]
Share = Annotated[float, Field(gt=0, lt=1)]
File = Annotated[str, BeforeValidator(lambda path: os.path.abspath(path) if path else "")]


@dataclass(frozen=True)
class Flag:
    """Marks a setting that has an option ``--name`` and a keyword argument ``name``; its docstring is the help.

    Attributes:
        short: A short form such as ``-b``.
        only: The one command, or pair of commands, that has the option; empty: all that train.
        repeated: The command that takes the option several times.
    """

    short: str = ""
    only: str = ""
    repeated: str = ""


class BaseConfig(BaseModel):
    """Base of all settings: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def help_of(cls, name: str) -> str:
        """The docstring of a setting, on one line; a class that overrides a default inherits it."""
        texts = [fields[name].description for fields in cls._declarations() if name in fields]
        return " ".join(next((text for text in texts if text), "").split())

    @classmethod
    def flag_of(cls, name: str) -> Flag | None:
        """The mark of a setting, if it has an option."""
        marks = [item for fields in cls._declarations() if name in fields for item in fields[name].metadata]
        return next((mark for mark in marks if isinstance(mark, Flag)), None)

    @classmethod
    def _declarations(cls) -> list[dict[str, Any]]:
        return [base.model_fields for base in cls.__mro__ if issubclass(base, BaseConfig)]
