"""Export: a bundle as a model file of another runtime, checked on real images before it is kept.

Enters: a run and images to check on. Leaves: a folder with the model file and ``export.json``. A new format is a module
with a subclass of ``format.ExportFormat``, and an entry in ``FORMATS``.
"""

from __future__ import annotations

from topwork.inference.export.format import ExportFormat
from topwork.inference.export.to_onnx import ONNX
from topwork.inference.export.to_openvino import OpenVINO
from topwork.inference.export.to_torch import TorchExport

FORMATS: dict[str, ExportFormat] = {format.name: format for format in (ONNX(), TorchExport(), OpenVINO())}
