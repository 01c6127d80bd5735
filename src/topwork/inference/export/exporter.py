"""``topwork export``: trace a model, write it in a format, check the file on real images, and keep it if it agrees."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from topwork.core import storage
from topwork.core.errors import StorageError, UsageError
from topwork.inference.export import get_format
from topwork.inference.export.export_module import ExportModule
from topwork.inference.export.format import ExportFormat, InferenceFn, stringify_metadata
from topwork.inference.export.to_onnx import ONNX, silence_output
from topwork.inference.export.validation import (
    Agreement,
    ExportFailed,
    ReferenceOutputs,
    check_file,
    check_module,
    compare_file,
    compute_reference,
    read_images,
)
from topwork.inference.inputs import list_images
from topwork.inference.locate import ModelLocation, locate_bundle
from topwork.inference.predictor import Predictor
from topwork.inference.training_data import TrainingData, locate_training_data

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

    def log(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    target = get_format(format)
    if quantize not in (None, "int8"):
        raise UsageError(f"Unknown --quantize value {quantize}; only int8 is supported.")
    target.check_dependencies(bool(quantize))
    location = locate_bundle(run)
    if location.note:
        log(f"Model     {location.note}")
    name = f"{format}-{quantize}" if quantize else format
    folder = _output_folder(location, Path(out) if out else None, name, overwrite)
    origin = locate_training_data(location)
    model = Predictor(location, device="cpu", precision="float32", engine="plain", workers=0)
    checked, calibration = _images(model, origin, images, bool(quantize))
    with storage.wrap_os_errors(folder):
        storage.make_folder(folder.parent)
        staging = Path(tempfile.mkdtemp(prefix=".tmp-export-", dir=folder.parent))
    try:
        job = _ExportJob(target, model, compute_reference(model, checked), staging, log)
        agreement = job.export_float32(final=not quantize)
        if quantize:
            agreement = job.quantize_int8(list(calibration.values()), _labels(origin, list(checked)))
        storage.write_json(staging / "export.json", job.metadata)
        if folder.exists():
            shutil.rmtree(folder)
        with storage.wrap_os_errors(folder):
            os.rename(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return ExportResult(folder / target.file, agreement, job.metadata)


def _output_folder(location: ModelLocation, out: Path | None, name: str, overwrite: bool) -> Path:
    if out is not None:
        folder = out
    elif location.run is not None:
        folder = location.run / "export" / name
    else:
        raise UsageError("A standalone bundle has no default export folder; pass --out FOLDER.")
    if folder.exists() and not overwrite:
        raise StorageError(f"{folder} exists. Use --overwrite, or another --out.")
    if folder.exists() and not (folder / "export.json").is_file():
        raise StorageError(
            f"{folder} is not an export folder, so --overwrite will not replace it. Choose another --out."
        )
    return folder


def _images(
    model: Predictor, origin: TrainingData | None, requested: Sequence[str | os.PathLike[str]], quantize: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images to check on, and other images for the calibration of int8."""
    if requested:
        refs = list(list_images(requested))[: MAX_CHECK_IMAGES + MAX_CALIBRATION_IMAGES]
        check, calibration = (refs[0::2], refs[1::2]) if quantize else (refs, [])
    else:
        check = origin.sample("test", MAX_CHECK_IMAGES) if origin else []
        calibration = origin.sample("train", MAX_CALIBRATION_IMAGES) if origin and quantize else []
    min_side = model.input_spec.resize_size
    checked, calibrated = read_images(check, min_side), read_images(calibration, min_side)
    if not checked or (quantize and not calibrated):
        raise UsageError(
            "Exports are checked on real images, but the run's images were not found. Pass some with --images PATH."
        )
    return checked, calibrated


def _labels(origin: TrainingData | None, names: list[str]) -> list[str | None]:
    refs, labels = (origin.refs, origin.labels["test"]) if origin else ({}, {})
    by_name = {str(refs[image]): label for image, label in labels.items() if image in refs}
    return [by_name.get(name) for name in names]


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
    """One export.

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

    def export_float32(self, final: bool) -> Agreement:
        """Trace, write and check; the file is not final if int8 follows, which starts from ONNX."""
        target, folder = (self._target, self._folder) if final else (ONNX(), self._folder / "float32")
        start = time.monotonic()
        module = ExportModule(self._model.bundle, self._target.supports_float64)
        mismatch = check_module(module, self._reference)
        program, supports_batches = trace_program(module, self._reference.images[0])
        if not supports_batches:
            self.metadata["input"] = "images: uint8 (1, H, W, 3), RGB, upright, any size; one at a time"
        folder.mkdir(exist_ok=True)
        with torch.no_grad():
            target.write(program, folder, stringify_metadata(self.metadata))
        agreement = check_file(target.name, target.open(folder), self._reference)
        self.metadata["check"] = _to_json(agreement) | {"resize_mismatch_share": mismatch}
        self.metadata["bytes"] = _size(folder)
        self._log(f"Checked   {agreement}; {_size(folder) / 1e6:.1f} MB; {time.monotonic() - start:.0f} s")
        return agreement

    def quantize_int8(self, images: list[np.ndarray], labels: list[str | None]) -> Agreement:
        """Quantize the checked ONNX model and measure the error and the speed."""
        source = self._folder / "float32"
        self._target.quantize(source, self._folder, images, stringify_metadata(self.metadata))
        run, reference = self._target.open(self._folder), self._reference
        agreement = compare_file(run, reference)
        error, accuracy = _to_json(agreement), ""
        labelled = {
            i: self._model.classes.index(label) for i, label in enumerate(labels) if label in self._model.classes
        }
        if labelled:
            rows, expected = list(labelled), np.array(list(labelled.values()))
            predicted = np.concatenate([run(reference.images[i][None])[0] for i in rows]).argmax(axis=1)
            error["accuracy"] = float((predicted == expected).mean())
            error["accuracy_float32"] = float((reference.probabilities[rows].argmax(axis=1) == expected).mean())
            accuracy = f"; accuracy {error['accuracy']:.1%} (float32: {error['accuracy_float32']:.1%})"
        error["milliseconds"] = _milliseconds(run, reference)
        error["milliseconds_float32"] = _milliseconds(ONNX().open(source), reference)
        shutil.rmtree(source)
        self.metadata |= {"quantized": "int8", "quantization_error": error, "bytes_float32": self.metadata["bytes"]}
        self.metadata["bytes"] = _size(self._folder)
        self._log(
            f"int8      {agreement}{accuracy}; {_size(self._folder) / 1e6:.1f} MB; {error['milliseconds']:.1f} ms per "
            f"image (float32: {error['milliseconds_float32']:.1f})"
        )
        return agreement


def _to_json(agreement: Agreement) -> dict[str, Any]:
    return {**asdict(agreement), "worst_image": Path(agreement.worst_image).name}


def _milliseconds(run: InferenceFn, reference: ReferenceOutputs) -> float:
    """Median time per image, one at a time."""
    durations = []
    for image in reference.images[:MAX_TIMED_IMAGES]:
        start = time.perf_counter()
        run(image[None])
        durations.append(time.perf_counter() - start)
    return float(np.median(durations) * 1000)


def _size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
