"""The search space of settings: random points, as good as a grid at the price of one (Bergstra & Bengio 2012)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from topwork.core.seeds import derive_seed


@dataclass(frozen=True)
class LogUniform:
    """A log-uniform number in [low, high]; ``as_tuple`` makes it a tuple of one value."""

    low: float
    high: float
    as_tuple: bool = False

    def sample(self, rng: np.random.Generator) -> Any:
        """One value, to three digits."""
        value = float(f"{np.exp(rng.uniform(np.log(self.low), np.log(self.high))):.3g}")
        return (value,) if self.as_tuple else value


@dataclass(frozen=True)
class Categorical:
    """One of a few values."""

    values: tuple[Any, ...]

    def sample(self, rng: np.random.Generator) -> Any:
        """One of them."""
        return self.values[int(rng.integers(len(self.values)))]


Space = Mapping[str, LogUniform | Categorical]


def space(**settings: LogUniform | Categorical) -> Space:
    """A search space by names of settings."""
    return settings


def sample(search_space: Space, seed: int, strategy: str, trial: int) -> dict[str, Any]:
    """The settings of a trial, which counts from 1; equal arguments give equal settings."""
    rng = np.random.default_rng(derive_seed(seed, "tune", strategy, trial))
    return {name: kind.sample(rng) for name, kind in search_space.items()}
