"""``openvino``: the ONNX graph in OpenVINO's own format, weights as float32; int8 from the quantised ONNX graph."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from topwork.features.engines import import_openvino
from topwork.inference.export.export_module import INPUT
from topwork.inference.export.format import Run, require
from topwork.inference.export.to_onnx import ONNX, quiet

ALL = 2**31 - 1  # as the end of a slice


class OpenVINO:
    """OpenVINO's intermediate representation: ``model.xml`` and ``model.bin``."""

    name, file, extra, float64 = "openvino", "model.xml", "openvino", False

    def require(self, quantized: bool) -> None:
        """openvino, and what the way through ONNX needs."""
        require("--format openvino", self.extra, "openvino")
        ONNX().require(quantized)

    def write(self, program: torch.export.ExportedProgram, folder: Path, facts: dict[str, str]) -> None:
        """Write ``model.xml`` and ``model.bin``."""
        with tempfile.TemporaryDirectory() as between:
            ONNX().write(program, Path(between), facts)
            _convert(Path(between), folder / self.file, facts)

    def open(self, folder: Path) -> Run:
        """On the CPU in float32; without that wish OpenVINO takes bfloat16 where the machine has it."""
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        compiled: Any = import_openvino().Core().compile_model(str(folder / self.file), "CPU", settings)

        def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found = compiled({INPUT: images})
            return np.array(found[0]), np.array(found[1])

        return run

    def quantize(self, source: Path, folder: Path, images: list[np.ndarray], facts: dict[str, str]) -> None:
        """By onnxruntime: ``source`` is what ``ONNX.write`` wrote."""
        with tempfile.TemporaryDirectory() as between:
            ONNX().quantize(source, Path(between), images, facts)
            _convert(Path(between), folder / self.file, facts)


def _convert(source: Path, file: Path, facts: dict[str, str]) -> None:
    openvino = import_openvino()
    model = openvino.Core().read_model(str(source / ONNX.file))
    _without_branches(model)
    for key, text in facts.items():
        model.set_rt_info(text, ["topwork", key])
    with quiet():
        openvino.save_model(model, str(file), compress_to_fp16=False)


def _without_branches(model: Any) -> None:
    """In place of a choice between two ways both stand, one over all images and the other over none.

    OpenVINO's first answer behind an ``If`` was wrong (2026.4): what follows read memory that was not filled yet.
    """
    ops: Any = import_openvino().opset13
    for choice in [node for node in model.get_ordered_ops() if node.get_type_name() == "If"]:
        yes = ops.convert(choice.input_value(0), "i64")
        ways = []
        for number, taken in enumerate((yes, ops.subtract(np.int64(1), yes))):
            body = choice.get_function(number)
            end = ops.unsqueeze(ops.multiply(taken, np.int64(ALL)), np.int64(0))
            for link in choice.get_input_descriptions(number):
                given = choice.input_value(link.input_index)
                if given.get_partial_shape().rank.get_length() == 4:  # images; the others are weights
                    given = ops.slice(given, np.array([0]), end, np.array([1]), np.array([0])).output(0)
                _lead(body.get_parameters()[link.body_parameter_index].output(0), given)
            ways.append(body.get_results()[0].input_value(0))
        _lead(choice.output(0), ops.concat(ways, 0).output(0))
    model.validate_nodes_and_infer_types()


def _lead(old: Any, new: Any) -> None:
    """Let all that reads the one output read the other."""
    for reader in old.get_target_inputs():
        reader.replace_source_output(new)
