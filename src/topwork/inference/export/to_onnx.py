"""Format ``onnx``: written by torch's exporter; int8 by onnxruntime."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from topwork.inference.export.export_module import INPUT_NAME, OUTPUT_NAMES
from topwork.inference.export.format import ExportFormat, InferenceFn

OPSET = 20
QUANTIZED_OPS = ["Conv", "Gemm", "MatMul"]


class ONNX(ExportFormat):
    """Open Neural Network Exchange, written with onnx and onnxscript, checked with onnxruntime."""

    name, file, modules = "onnx", "model.onnx", ("onnx", "onnxscript", "onnxruntime")

    def write(self, program: torch.export.ExportedProgram, folder: Path, metadata: dict[str, str]) -> None:
        """Write ``model.onnx``; weights of more than 2 GB become a file beside it."""
        with silence_output():
            graph: Any = torch.onnx.export(
                program, dynamo=True, opset_version=OPSET, input_names=[INPUT_NAME], output_names=list(OUTPUT_NAMES),
                verbose=False,
            )  # fmt: skip
            graph.save(str(folder / self.file))
        _set_metadata(folder / self.file, metadata)

    def open(self, folder: Path) -> InferenceFn:
        """By onnxruntime on the CPU."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(folder / self.file), options, providers=["CPUExecutionProvider"])

        def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            probabilities, scores = session.run(list(OUTPUT_NAMES), {INPUT_NAME: images})
            return np.asarray(probabilities), np.asarray(scores)

        return run

    def quantize(self, source: Path, folder: Path, images: list[np.ndarray], metadata: dict[str, str]) -> None:
        """Static quantization of the backbone: weights per channel, activations by their range on the images.

        Preprocessing and head stay in float32.
        """
        with silence_output():
            import onnx
            from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

            class Reader(CalibrationDataReader):
                def __init__(self) -> None:
                    self._images = iter(images)

                def get_next(self) -> Any:
                    image = next(self._images, None)
                    return None if image is None else {INPUT_NAME: image[None]}

            model = onnx.load(str(source / self.file))
            excluded_nodes = [
                node.name
                for node in model.graph.node
                if not any(p.key == "namespace" and "network.backbone" in p.value for p in node.metadata_props)
            ]
            quantize_static(
                str(source / self.file), str(folder / self.file), Reader(), quant_format=QuantFormat.QDQ,
                op_types_to_quantize=QUANTIZED_OPS, per_channel=True, activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8, nodes_to_exclude=excluded_nodes,
            )  # fmt: skip
        _set_metadata(folder / self.file, metadata)


def _set_metadata(path: Path, metadata: dict[str, str]) -> None:
    """Write metadata into the file, and remove what the exporter noted about source files of this machine."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    onnx.helper.set_model_props(model, metadata)
    model.producer_name, model.producer_version = "topwork", metadata["topwork"]
    branches = [attribute.g for node in model.graph.node for attribute in node.attribute]  # empty but for an If
    for node in chain(model.graph.node, *(branch.node for branch in branches)):
        namespaces = [p.value for p in node.metadata_props if p.key == "namespace"]
        del node.metadata_props[:]
        for value in namespaces:
            node.metadata_props.add(key="namespace", value=value)
    onnx.save(model, str(path))


@contextlib.contextmanager
def silence_output() -> Iterator[None]:
    """Suppress warnings, log lines and printed lines of exporters; exceptions pass."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
