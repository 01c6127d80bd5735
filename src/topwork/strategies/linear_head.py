"""What the linear strategies share, and the linear softmax head that fine-tuning starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import safetensors.numpy
import torch

from topwork.compute.collectives import Files, broadcast_from_main
from topwork.compute.ranks import world
from topwork.core.artifacts import Splits
from topwork.core.strategy_config import LinearClassifierConfig
from topwork.features import FeatureStore
from topwork.linear.normalize import Normalizer, fit_normalizer
from topwork.linear.selection import DEFAULT_CS, Score, accuracy, select_c
from topwork.training.context import Features, RunContext

Data = dict[str, tuple[np.ndarray, np.ndarray]]


def normalized_splits(features: Features, splits: Splits, power: bool = True) -> tuple[Normalizer, Data]:
    """A normalizer fitted on the training set, and of ``train`` and ``val`` the normalized features and the labels."""
    train = features.load("train")
    normalizer, labels = fit_normalizer(train, power), splits.labels
    return normalizer, {
        "train": (normalizer(train), labels["train"]),
        "val": (normalizer(features.load("val")), labels["val"]),
    }


def head_tensors(normalizer: Normalizer, arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The tensors of a head in a bundle: the normalizer's and those of a classifier."""
    arrays = {"mean": normalizer.mean, "scale": np.array(normalizer.scale, np.float32), **arrays}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


@contextmanager
def track_values_of_c(name: str, config: LinearClassifierConfig, context: RunContext) -> Iterator[Callable[[], None]]:
    """A progress bar over the values of C; gives what is called after each, which also stops if that is requested."""
    with context.progress.track(name, len(config.Cs), "values of C") as bar:

        def on_step() -> None:
            bar.advance()
            context.signals.raise_if_stopped()

        yield on_step


def on_main_process(features: Features, compute: Callable[[], Files]) -> Files:
    """The result of ``compute`` in rank 0, in every process; the others help to extract the features it loads."""
    if not world().is_main:
        assert isinstance(features, FeatureStore)
        return features.extract_as_worker()
    return broadcast_from_main(compute)


def fit_linear_head(
    features: Features,
    splits: Splits,
    device: str,
    weights: np.ndarray | None = None,
    score: Score = accuracy,
) -> tuple[np.ndarray, np.ndarray]:
    """Softmax regression on the features, as a layer on the raw features.

    Its C has the highest ``score`` on the validation set. Of several processes rank 0 fits it; all get the same bits.

    Returns:
        Weight float32 (K, D) and bias float32 (K,): logits = features @ weight.T + bias.
    """

    def fit() -> dict[str, bytes]:
        # without the power: a linear layer can absorb only a shift and a scale
        normalizer, data = normalized_splits(features, splits, power=False)
        classes = len(splits.classes)
        model = select_c("softmax", DEFAULT_CS, data, classes, device, weights=weights, score=score).model
        weight = model.weight / normalizer.scale
        bias = model.bias - weight @ normalizer.mean
        layer = {"weight": np.ascontiguousarray(weight, np.float32), "bias": bias.astype(np.float32)}
        return {"head": safetensors.numpy.save(layer)}

    head = safetensors.numpy.load(on_main_process(features, fit)["head"])
    return head["weight"].copy(), head["bias"].copy()
