"""Transfer learning on your own images: four strategies on one split, side by side, with honest intervals.

The way of the data; each arrow is a file that the next stage reads:

    images -> manifest.csv -> split.csv -> cached features, or batches -> strategy -> checkpoints/, history.jsonl
           -> predictions.csv -> metrics.json -> report.html, model/

``compare`` and ``train`` do all of it and return views on the folder they wrote; ``show`` looks into the networks;
``load`` and ``predict`` use what they left in ``model/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topwork import explain
    from topwork.bundle.postprocessing import Prediction
    from topwork.core.errors import TopworkError
    from topwork.explain.show import show
    from topwork.inference.export.exporter import export
    from topwork.inference.predict import predict
    from topwork.inference.predictor import Predictor, load
    from topwork.pipeline.api import compare, train
    from topwork.pipeline.check import Check, check
    from topwork.pipeline.estimator import TransferClassifier
    from topwork.report.results import Comparison, Run
    from topwork.serving import serve
    from topwork.training.callbacks import Callback, TrainingRun

__all__ = [
    "Callback",
    "Check",
    "Comparison",
    "Prediction",
    "Predictor",
    "Run",
    "TopworkError",
    "TrainingRun",
    "TransferClassifier",
    "check",
    "compare",
    "explain",
    "export",
    "load",
    "predict",
    "serve",
    "show",
    "train",
]
_HOMES = {
    "Callback": "training.callbacks",
    "Check": "pipeline.check",
    "Comparison": "report.results",
    "Prediction": "bundle.postprocessing",
    "Predictor": "inference.predictor",
    "Run": "report.results",
    "TopworkError": "core.errors",
    "TrainingRun": "training.callbacks",
    "TransferClassifier": "pipeline.estimator",
    "check": "pipeline.check",
    "compare": "pipeline.api",
    "export": "inference.export.exporter",
    "load": "inference.predictor",
    "predict": "inference.predict",
    "serve": "serving",
    "show": "explain.show",
    "train": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import topwork`` is instant."""
    from importlib import import_module

    if name == "explain":
        return import_module("topwork.explain")
    if name not in _HOMES:
        raise AttributeError(f"module 'topwork' has no attribute {name!r}")
    return getattr(import_module(f"topwork.{_HOMES[name]}"), name)
