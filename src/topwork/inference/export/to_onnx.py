"""``onnx``: by torch's exporter; int8 by onnxruntime."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from topwork.inference.export.export_module import INPUT, OUTPUTS
from topwork.inference.export.format import Run, require

OPSET = 20
QUANTIZED = ["Conv", "Gemm", "MatMul"]


class ONNX:
    """Open Neural Network Exchange."""

    name, file, extra, float64 = "onnx", "model.onnx", "onnx", True

    def require(self, quantized: bool) -> None:
        """onnx, onnxscript (torch's exporter) and onnxruntime (the check)."""
        require("--format onnx", self.extra, "onnx", "onnxscript", "onnxruntime")

    def write(self, program: torch.export.ExportedProgram, folder: Path, facts: dict[str, str]) -> None:
        """Write ``model.onnx``; weights of more than 2 GB lie beside it."""
        with quiet():
            graph: Any = torch.onnx.export(
                program, dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=list(OUTPUTS),
                verbose=False,
            )  # fmt: skip
            graph.save(str(folder / self.file))
        _describe(folder / self.file, facts)

    def open(self, folder: Path) -> Run:
        """By onnxruntime on the CPU."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(folder / self.file), options, providers=["CPUExecutionProvider"])

        def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            probabilities, scores = session.run(list(OUTPUTS), {INPUT: images})
            return np.asarray(probabilities), np.asarray(scores)

        return run

    def quantize(self, source: Path, folder: Path, images: list[np.ndarray], facts: dict[str, str]) -> None:
        """Static quantisation of the backbone: weights per channel, activations by their range on the images.

        The preprocessing and the head stay in float32.
        """
        with quiet():
            import onnx
            from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

            class Reader(CalibrationDataReader):
                def __init__(self) -> None:
                    self._left = iter(images)

                def get_next(self) -> Any:
                    image = next(self._left, None)
                    return None if image is None else {INPUT: image[None]}

            model = onnx.load(str(source / self.file))
            kept = [node.name for node in model.graph.node if not _in_backbone(node)]
            quantize_static(
                str(source / self.file), str(folder / self.file), Reader(), quant_format=QuantFormat.QDQ,
                op_types_to_quantize=QUANTIZED, per_channel=True, activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8, nodes_to_exclude=kept,
            )  # fmt: skip
        _describe(folder / self.file, facts)


def _in_backbone(node: Any) -> bool:
    return any(p.key == "namespace" and "network.backbone" in p.value for p in node.metadata_props)


def _describe(path: Path, facts: dict[str, str]) -> None:
    """Put facts into the file, and take out what the exporter noted about the machine's source files."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    onnx.helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = "topwork", facts["topwork"]
    graphs = [
        model.graph,
        *(a.g for node in model.graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH),
    ]
    for graph in graphs:
        for node in graph.node:
            kept = [(p.key, p.value) for p in node.metadata_props if p.key == "namespace"]
            del node.metadata_props[:]
            for key, value in kept:
                node.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the chatter of exporters; what they raise goes through."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
