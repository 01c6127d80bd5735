"""Format ``openvino``: converted from ONNX, float32 weights; int8 from the quantized ONNX model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from topwork.features.engines import import_openvino
from topwork.inference.export.export_module import INPUT_NAME
from topwork.inference.export.format import ExportFormat, InferenceFn
from topwork.inference.export.to_onnx import ONNX, silence_output

SLICE_END = 2**31 - 1


class OpenVINO(ExportFormat):
    """OpenVINO's intermediate representation: ``model.xml`` and ``model.bin``."""

    name, file, modules, supports_float64 = "openvino", "model.xml", ("openvino",), False

    def check_dependencies(self, quantized: bool) -> None:
        """Check openvino, and the packages of ONNX, from which it is converted."""
        super().check_dependencies(quantized)
        ONNX().check_dependencies(quantized)

    def write(self, program: torch.export.ExportedProgram, folder: Path, metadata: dict[str, str]) -> None:
        """Write ``model.xml`` and ``model.bin``."""
        with tempfile.TemporaryDirectory() as onnx_folder:
            ONNX().write(program, Path(onnx_folder), metadata)
            _convert(Path(onnx_folder), folder / self.file, metadata)

    def open(self, folder: Path) -> InferenceFn:
        """On the CPU in float32; without this hint OpenVINO uses bfloat16 where the machine has it."""
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        compiled: Any = import_openvino().Core().compile_model(str(folder / self.file), "CPU", settings)

        def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            outputs = compiled({INPUT_NAME: images})
            return np.array(outputs[0]), np.array(outputs[1])

        return run

    def quantize(self, source: Path, folder: Path, images: list[np.ndarray], metadata: dict[str, str]) -> None:
        """By onnxruntime, then converted."""
        with tempfile.TemporaryDirectory() as onnx_folder:
            ONNX().quantize(source, Path(onnx_folder), images, metadata)
            _convert(Path(onnx_folder), folder / self.file, metadata)


def _convert(source: Path, file: Path, metadata: dict[str, str]) -> None:
    openvino = import_openvino()
    model = openvino.Core().read_model(str(source / ONNX.file))
    _replace_if_nodes(model)
    for key, text in metadata.items():
        model.set_rt_info(text, ["topwork", key])
    with silence_output():
        openvino.save_model(model, str(file), compress_to_fp16=False)


def _replace_if_nodes(model: Any) -> None:
    """Replace each ``If`` by both of its branches, one run on all images and the other on none.

    OpenVINO's first result behind an ``If`` was wrong (2026.4): the next operation read uninitialized memory.
    """
    ops: Any = import_openvino().opset13
    for if_node in [node for node in model.get_ordered_ops() if node.get_type_name() == "If"]:
        condition = ops.convert(if_node.input_value(0), "i64")
        branches = []
        for number, is_selected in enumerate((condition, ops.subtract(np.int64(1), condition))):
            body = if_node.get_function(number)
            end = ops.unsqueeze(ops.multiply(is_selected, np.int64(SLICE_END)), np.int64(0))
            for link in if_node.get_input_descriptions(number):
                value = if_node.input_value(link.input_index)
                if value.get_partial_shape().rank.get_length() == 4:  # images; the others are weights
                    value = ops.slice(value, np.array([0]), end, np.array([1]), np.array([0])).output(0)
                _rewire(body.get_parameters()[link.body_parameter_index].output(0), value)
            branches.append(body.get_results()[0].input_value(0))
        _rewire(if_node.output(0), ops.concat(branches, 0).output(0))
    model.validate_nodes_and_infer_types()


def _rewire(old: Any, new: Any) -> None:
    """Connect all readers of one output to another."""
    for reader in old.get_target_inputs():
        reader.replace_source_output(new)
