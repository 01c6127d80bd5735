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
from topwork.core.errors import StorageError, UnknownName, UsageError
from topwork.core.image_ref import ImageRef
from topwork.core.progress import Progress
from topwork.inference.export import FORMATS, validation
from topwork.inference.export.export_module import ExportModule
from topwork.inference.export.format import ExportFormat, InferenceFn
from topwork.inference.export.to_onnx import ONNX, silence_output
from topwork.inference.export.validation import Agreement, ExportFailed, ReferenceOutputs
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
        run: A run, a comparison (its recommended strategy) or a bundle.
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
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    if quantize not in (None, "int8"):
        raise UsageError(f"Unknown --quantize value {quantize}; only int8 is supported.")
    target = FORMATS[format]
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
        start = time.monotonic()
        metadata, reference = _describe(target, model), validation.compute_reference(model, checked)
        module = ExportModule(model.bundle, target.supports_float64)
        first, source = (ONNX(), staging / "float32") if quantize else (target, staging)  # int8 starts from ONNX
        agreement = _export_float32(first, module, source, reference, metadata)
        log(f"Checked   {agreement}; {metadata['bytes'] / 1e6:.1f} MB; {time.monotonic() - start:.0f} s")
        if quantize:
            labels = _class_indices(origin, checked, model.classes)
            agreement = _quantize_int8(target, calibration, staging, reference, metadata, labels, log)
        storage.write_json(staging / "export.json", metadata)
        if folder.exists():
            shutil.rmtree(folder)
        with storage.wrap_os_errors(folder):
            os.rename(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return ExportResult(folder / target.file, agreement, metadata)


def _output_folder(location: ModelLocation, out: str | os.PathLike[str] | None, name: str, overwrite: bool) -> Path:
    if not out and location.run is None:
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
        refs = list(list_images(requested, model.bundle.crop_to_box))[: MAX_CHECK_IMAGES + MAX_CALIBRATION_IMAGES]
        check, calibration = (refs[0::2], refs[1::2]) if quantize else (refs, [])
    elif origin:
        check = [*origin.sample("test", MAX_CHECK_IMAGES).values()]
        calibration = [*origin.sample("train", MAX_CALIBRATION_IMAGES).values()] if quantize else []
    checked, calibrated = (validation.read_images(refs, model.input_spec) for refs in (check, calibration))
    if not checked or (quantize and not calibrated):
        raise UsageError(
            "Exports are checked on real images, but the run's images were not found. Pass some with --images PATH."
        )
    return checked, list(calibrated.values())


def _class_indices(origin: TrainingData | None, paths: Iterable[str], classes: Sequence[str]) -> dict[int, int]:
    """Class indices of the images that are from the test set, by their number in ``paths``."""
    if origin is None:
        return {}
    refs = origin.images.refs
    labels = {str(refs[image]): k for image, k in origin.labels["test"].items() if image in refs}
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


def _describe(target: ExportFormat, model: Predictor) -> dict[str, Any]:
    """The content of ``export.json`` before the export."""
    bundle = model.bundle
    return {
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


def _export_float32(
    target: ExportFormat, module: ExportModule, folder: Path, reference: ReferenceOutputs, metadata: dict[str, Any]
) -> Agreement:
    """Trace, write and check a model; adds to the metadata."""
    mismatch = validation.check_module(module, reference)
    program, supports_batches = trace_program(module, next(iter(reference.images.values())))
    if not supports_batches:
        metadata["input"] = "images: uint8 (1, H, W, 3), RGB, upright, any size; one at a time"
    folder.mkdir(exist_ok=True)
    with torch.no_grad():
        target.write(program, folder, _as_strings(metadata))
    agreement = validation.check_file(target.name, target.open(folder), reference)
    metadata |= {"check": agreement.as_json() | {"resize_mismatch_share": mismatch}, "bytes": _size(folder)}
    return agreement


def _quantize_int8(
    target: ExportFormat, images: list[np.ndarray], folder: Path, reference: ReferenceOutputs,
    metadata: dict[str, Any], labels: dict[int, int], log: Callable[[str], None],
) -> Agreement:  # fmt: skip
    """Quantize the ONNX model in ``folder/float32`` and measure the error and the speed; adds to the metadata.

    ``images`` are for the calibration; ``labels`` are class indices of images of ``reference``, by their number.
    """
    source = folder / "float32"
    target.quantize(source, folder, images, _as_strings(metadata))
    run = target.open(folder)
    probabilities = validation.predict_each(run, reference)
    agreement, accuracy = validation.compare(probabilities, reference), ""
    error = agreement.as_json()
    if labels:
        rows, expected = list(labels), list(labels.values())
        for key, found in (("accuracy", probabilities), ("accuracy_float32", reference.probabilities)):
            error[key] = float((found[rows].argmax(axis=1) == expected).mean())
        accuracy = f"; accuracy {error['accuracy']:.1%} (float32: {error['accuracy_float32']:.1%})"
    error["milliseconds"] = _milliseconds(run, reference)
    error["milliseconds_float32"] = _milliseconds(ONNX().open(source), reference)
    shutil.rmtree(source)
    metadata |= {"quantized": "int8", "quantization_error": error, "bytes_float32": metadata["bytes"]}
    metadata["bytes"] = _size(folder)
    log(
        f"int8      {agreement}{accuracy}; {_size(folder) / 1e6:.1f} MB; {error['milliseconds']:.1f} ms per image "
        f"(float32: {error['milliseconds_float32']:.1f})"
    )
    return agreement


def _as_strings(metadata: dict[str, Any]) -> dict[str, str]:
    """The metadata as strings, which is all that a model file can hold."""
    return {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in metadata.items()}


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
