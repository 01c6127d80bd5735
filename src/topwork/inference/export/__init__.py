"""Export: a bundle as a model file of another runtime, checked on real images before it is kept.

Enters: a run and images to check on. Leaves: a folder with the model file and ``export.json``. A new format is a module
with a class that follows ``format.ExportFormat``, and an entry in ``FORMATS``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from topwork.core.errors import UnknownName

if TYPE_CHECKING:
    from topwork.inference.export.format import ExportFormat

FORMATS = {"onnx": "to_onnx.ONNX", "torch-export": "to_torch.TorchExport", "openvino": "to_openvino.OpenVINO"}


def get_format(name: str) -> ExportFormat:
    """The format of this name.

    Raises:
        UnknownName: ``FORMATS`` has no such name.
    """
    if name not in FORMATS:
        raise UnknownName("format", name, FORMATS)
    module, _, kind = FORMATS[name].partition(".")
    return getattr(import_module(f"topwork.inference.export.{module}"), kind)()
