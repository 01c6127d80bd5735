"""``topwork export``: trace a model, write it in a format, check the file on real images, and keep it if it agrees."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from topwork.core import storage
from topwork.core.errors import StorageError, UsageError
from topwork.core.image_ref import ImageRef
from topwork.core.progress import Progress
from topwork.inference.export import get_format
from topwork.inference.export.export_module import ExportModule
from topwork.inference.export.format import ExportFormat, InferenceFn
from topwork.inference.export.to_onnx import ONNX, silence_output
from topwork.inference.export.validation import (
    Agreement,
    ExportFailed,
    ReferenceOutputs,
    check_file,
    check_module,
    compare,
    compute_reference,
    predict_each,
    read_images,
)
from topwork.inference.inputs import list_images
from topwork.inference.locate import ModelLocation, TrainingData, locate_bundle, locate_training_data
from topwork.inference.predictor import Predictor

MAX_CHECK_IMAGES, MAX_CALIBRATION_IMAGES, MAX_TIMED_IMAGES = 200, 128, 20
MAX_IMAGE_SIDE = 65_000


@dataclass(frozen=True)
class ExportResult:
    """What ``export`` wrote.

    Attributes:
        path: The model file.
        agreement: Of the file with the bundle; for int8 this includes the error of the quantization.
        metadata: The content of ``export.json`` beside it.
    """

    path: Path
    agreement: Agreement
    metadata: dict[str, Any]


def export(
    run: str | os.PathLike[str],
    format: str = "onnx",
    *,
    out: str | os.PathLike[str] | None = None,
    quantize: str | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> ExportResult:
    """Export a model for another runtime, preprocessing and calibration included, and check it on real images.

    Args:
        run: A run, a comparison (the model with the best validation accuracy) or a bundle.
        format: ``"onnx"``, ``"torch-export"`` or ``"openvino"``.
        out: Folder to write to; ``export/FORMAT`` in the run if None.
        quantize: ``"int8"``, or None for float32.
        images: Images to check on, as for ``topwork.predict``; the test images of the run if empty.
        overwrite: Replace an earlier export there.
        quiet: Print nothing.

    Raises:
        ExportFailed: The file does not agree with the bundle; nothing is left behind.
        MissingDependency: The format needs a package.
        UsageError: The format is unknown, or there are no images to check on.

    >>> result = export(run, "torch-export", quiet=True)
    >>> result.path.name, result.agreement.within_tolerance
    ('model.pt2', True)
    """
    log = Progress(quiet).log
    target = get_format(format)
    if quantize not in (None, "int8"):
        raise UsageError(f"Unknown --quantize value {quantize}; only int8 is supported.")
    target.check_dependencies(bool(quantize))
    location = locate_bundle(run)
    if location.note:
        log(f"Model     {location.note}")
    name = f"{format}-{quantize}" if quantize else format
    folder = _output_folder(location, out, name, overwrite)
    origin = locate_training_data(location)
    model = Predictor(location, device="cpu", precision="float32", engine="plain", workers=0)
    checked, calibration = _images(model, origin, images, bool(quantize))
    with storage.wrap_os_errors(folder):
        storage.make_folder(folder.parent)
        staging = Path(tempfile.mkdtemp(prefix=".tmp-export-", dir=folder.parent))
    try:
        job = _ExportJob(target, model, compute_reference(model, checked), staging, log)
        if quantize:
            source = staging / "float32"
            job.export_float32(ONNX(), source)
            agreement = job.quantize_int8(source, calibration, _class_indices(origin, checked, model.classes))
            shutil.rmtree(source)
        else:
            agreement = job.export_float32(target, staging)
        storage.write_json(staging / "export.json", job.metadata)
        if folder.exists():
            shutil.rmtree(folder)
        with storage.wrap_os_errors(folder):
            os.rename(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return ExportResult(folder / target.file, agreement, job.metadata)


def _output_folder(location: ModelLocation, out: str | os.PathLike[str] | None, name: str, overwrite: bool) -> Path:
    if out is None and location.run is None:
        raise UsageError("A standalone bundle has no default export folder; pass --out FOLDER.")
    folder = Path(out or f"{location.run}/export/{name}")
    if folder.exists() and not overwrite:
        raise StorageError(f"{folder} exists. Use --overwrite, or another --out.")
    if folder.exists() and not (folder / "export.json").is_file():
        raise StorageError(
            f"{folder} is not an export folder, so --overwrite will not replace it. Choose another --out."
        )
    return folder


def _images(
    model: Predictor, origin: TrainingData | None, requested: Sequence[str | os.PathLike[str]], quantize: bool
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Images to check on, by path, and other images for the calibration of int8."""
    check: list[ImageRef] = []
    calibration: list[ImageRef] = []
    if requested:
        refs = list(list_images(requested))[: MAX_CHECK_IMAGES + MAX_CALIBRATION_IMAGES]
        check, calibration = (refs[0::2], refs[1::2]) if quantize else (refs, [])
    elif origin:
        check = origin.sample("test", MAX_CHECK_IMAGES)
        calibration = origin.sample("train", MAX_CALIBRATION_IMAGES) if quantize else []
    checked, calibrated = (read_images(refs, model.input_spec.resize_size) for refs in (check, calibration))
    if not checked or (quantize and not calibrated):
        raise UsageError(
            "Exports are checked on real images, but the run's images were not found. Pass some with --images PATH."
        )
    return checked, list(calibrated.values())


def _class_indices(origin: TrainingData | None, paths: Iterable[str], classes: Sequence[str]) -> dict[int, int]:
    """Class indices of the images that are from the test set, by their number in ``paths``."""
    if origin is None:
        return {}
    labels = {str(origin.refs[image]): k for image, k in origin.labels["test"].items() if image in origin.refs}
    return {i: classes.index(labels[path]) for i, path in enumerate(paths) if labels.get(path) in classes}


def trace_program(module: torch.nn.Module, image: np.ndarray) -> tuple[torch.export.ExportedProgram, bool]:
    """Trace a module as an exported program of torch, for any number of images of any size.

    Returns:
        The program, and whether it supports batches of images of one size; some networks allow one image only.

    Raises:
        ExportFailed: torch cannot trace the network.
    """
    size = {axis: torch.export.Dim(name, min=1, max=MAX_IMAGE_SIDE) for axis, name in ((1, "height"), (2, "width"))}
    reason = ""
    for batch in (2, 1):
        x = torch.from_numpy(np.repeat(image[None, :331, :397], batch, axis=0))
        x = torch.nn.functional.pad(x, (0, 0, 0, max(0, 3 - x.shape[2]), 0, max(0, 3 - x.shape[1])))
        shapes: dict[int, Any] = {**size, **({0: torch.export.Dim("batch", min=1, max=4096)} if batch == 2 else {})}
        try:
            with torch.no_grad(), silence_output():
                program = torch.export.export(
                    module, (x,), dynamic_shapes={"images": shapes}, strict=False,
                    prefer_deferred_runtime_asserts_over_guards=True,
                )  # fmt: skip
            return program, batch == 2
        except Exception as error:  # the exporter raises many kinds
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    raise ExportFailed(f"torch cannot trace this network ({reason}). Choose another --model.")


class _ExportJob:
    """One export into a folder.

    Attributes:
        metadata: For ``export.json``.
    """

    def __init__(
        self, target: ExportFormat, model: Predictor, reference: ReferenceOutputs, folder: Path,
        log: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._target, self._model, self._reference, self._folder, self._log = target, model, reference, folder, log
        bundle = model.bundle
        self.metadata: dict[str, Any] = {
            "format": target.name,
            "file": target.file,
            "topwork": str(bundle.metadata.get("topwork", "")),
            "strategy": bundle.strategy,
            "model": bundle.model,
            "classes": list(bundle.classes),
            "input": "images: uint8 (N, H, W, 3), RGB, upright, any size",
            "outputs": "probabilities: float32 (N, K), calibrated; scores: float32 (N, K)",
            "confidence_threshold": model.decision.confidence_threshold,
            "weights_license": bundle.metadata.get("weights_license", ""),
            "data_license": bundle.metadata.get("data_license", ""),
        }

    def export_float32(self, target: ExportFormat, folder: Path) -> Agreement:
        """Trace, write and check; ``target`` and ``folder`` are others if int8 follows, which starts from ONNX."""
        start = time.monotonic()
        module = ExportModule(self._model.bundle, self._target.supports_float64)
        mismatch = check_module(module, self._reference)
        program, supports_batches = trace_program(module, next(iter(self._reference.images.values())))
        if not supports_batches:
            self.metadata["input"] = "images: uint8 (1, H, W, 3), RGB, upright, any size; one at a time"
        folder.mkdir(exist_ok=True)
        with torch.no_grad():
            target.write(program, folder, self._metadata_strings())
        agreement = check_file(target.name, target.open(folder), self._reference)
        self.metadata["check"] = agreement.as_json() | {"resize_mismatch_share": mismatch}
        self.metadata["bytes"] = _size(folder)
        self._log(f"Checked   {agreement}; {_size(folder) / 1e6:.1f} MB; {time.monotonic() - start:.0f} s")
        return agreement

    def quantize_int8(self, source: Path, images: list[np.ndarray], labels: dict[int, int]) -> Agreement:
        """Quantize the checked ONNX model and measure the error and the speed.

        Args:
            source: Folder of the ONNX model.
            images: For the calibration.
            labels: Class indices of the images that are compared, by number, where they are known.
        """
        self._target.quantize(source, self._folder, images, self._metadata_strings())
        run, reference = self._target.open(self._folder), self._reference
        probabilities = predict_each(run, reference)
        agreement = compare(probabilities, reference)
        error, accuracy = agreement.as_json(), ""
        if labels:
            rows, expected = list(labels), list(labels.values())
            for key, found in (("accuracy", probabilities), ("accuracy_float32", reference.probabilities)):
                error[key] = float((found[rows].argmax(axis=1) == expected).mean())
            accuracy = f"; accuracy {error['accuracy']:.1%} (float32: {error['accuracy_float32']:.1%})"
        error["milliseconds"] = _milliseconds(run, reference)
        error["milliseconds_float32"] = _milliseconds(ONNX().open(source), reference)
        self.metadata |= {"quantized": "int8", "quantization_error": error, "bytes_float32": self.metadata["bytes"]}
        self.metadata["bytes"] = _size(self._folder)
        self._log(
            f"int8      {agreement}{accuracy}; {_size(self._folder) / 1e6:.1f} MB; {error['milliseconds']:.1f} ms per "
            f"image (float32: {error['milliseconds_float32']:.1f})"
        )
        return agreement

    def _metadata_strings(self) -> dict[str, str]:
        """The metadata as strings, which is all that a model file can hold."""
        return {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in self.metadata.items()}


def _milliseconds(run: InferenceFn, reference: ReferenceOutputs) -> float:
    """Median time per image, one at a time."""
    durations = []
    for image in list(reference.images.values())[:MAX_TIMED_IMAGES]:
        start = time.perf_counter()
        run(image[None])
        durations.append(time.perf_counter() - start)
    return float(np.median(durations) * 1000)


def _size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
