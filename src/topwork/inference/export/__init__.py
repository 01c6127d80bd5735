"""Export: a model bundle as one graph of another runtime, checked on real images before it is handed over.

Adding a format is a file that follows ``base.Format`` and a line in the dict here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from topwork.core.errors import UnknownName

if TYPE_CHECKING:
    from topwork.inference.export.format import Format

FORMATS = {"onnx": "to_onnx.ONNX", "torch-export": "to_torch.TorchExport", "openvino": "to_openvino.OpenVINO"}


def format_named(name: str) -> Format:
    """The format of a name in ``FORMATS``.

    Raises:
        UnknownName: There is none.
    """
    if name not in FORMATS:
        raise UnknownName("format", name, FORMATS)
    module, _, kind = FORMATS[name].partition(".")
    return getattr(import_module(f"topwork.inference.export.{module}"), kind)()
