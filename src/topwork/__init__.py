"""Transfer learning on your own images: strategies are trained on one split and compared with confidence intervals.

``compare`` and ``train`` turn a folder of images into a run folder and return views on it. ``load``, ``predict``,
``export`` and ``serve`` use its model, ``show`` inspects its networks, and ``check`` inspects images before training.
"""

from __future__ import annotations

import sys
import warnings
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
    "Callback", "Check", "Comparison", "Prediction", "Predictor", "Run", "TopworkError", "TrainingRun",
    "TransferClassifier", "check", "compare", "explain", "export", "load", "predict", "serve", "show", "train",
]  # fmt: skip
_MODULES = {
    "bundle.postprocessing": ("Prediction",),
    "core.errors": ("TopworkError",),
    "explain.show": ("show",),
    "inference.export.exporter": ("export",),
    "inference.predict": ("predict",),
    "inference.predictor": ("Predictor", "load"),
    "pipeline.api": ("compare", "train"),
    "pipeline.check": ("Check", "check"),
    "pipeline.estimator": ("TransferClassifier",),
    "report.results": ("Comparison", "Run"),
    "serving": ("serve",),
    "training.callbacks": ("Callback", "TrainingRun"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import topwork`` is instant."""
    from importlib import import_module

    if name == "explain":
        return import_module("topwork.explain")
    if "ipykernel" in sys.modules:
        warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm, whose bars are not used
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'topwork' has no attribute {name!r}")
    return getattr(import_module(f"topwork.{_MODULE_OF[name]}"), name)
