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
    from topwork.checks import Check, check
    from topwork.errors import TopworkError
    from topwork.explain.show import show
    from topwork.results import Comparison, Run
    from topwork.tracking import Callback, TrackedRun
    from topwork.use.decision import Prediction
    from topwork.use.estimator import TransferClassifier
    from topwork.use.export.run import export
    from topwork.use.predict import predict
    from topwork.use.predictor import Predictor, load
    from topwork.use.serve import serve
    from topwork.workflow import compare, train

__all__ = [
    "Callback",
    "Check",
    "Comparison",
    "Prediction",
    "Predictor",
    "Run",
    "TopworkError",
    "TrackedRun",
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
    "Callback": "tracking",
    "Check": "checks",
    "Comparison": "results",
    "Prediction": "use.decision",
    "Predictor": "use.predictor",
    "Run": "results",
    "TopworkError": "errors",
    "TrackedRun": "tracking",
    "TransferClassifier": "use.estimator",
    "check": "checks",
    "compare": "workflow",
    "export": "use.export.run",
    "load": "use.predictor",
    "predict": "use.predict",
    "serve": "use.serve",
    "show": "explain.show",
    "train": "workflow",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import topwork`` is instant."""
    from importlib import import_module

    if name == "explain":
        return import_module("topwork.explain")
    if name not in _HOMES:
        raise AttributeError(f"module 'topwork' has no attribute {name!r}")
    return getattr(import_module(f"topwork.{_HOMES[name]}"), name)
