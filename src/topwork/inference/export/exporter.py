"""``topwork export``: trace, write, check on real images, hand over."""

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
from topwork.inference.export import format_named
from topwork.inference.export.export_module import graph_of
from topwork.inference.export.format import Format, Run, plain_facts
from topwork.inference.export.to_onnx import ONNX, quiet
from topwork.inference.export.validation import (
    Agreement,
    ExportFailed,
    Sample,
    check_file,
    check_graph,
    compare,
    read_images,
    sample,
)
from topwork.inference.inputs import list_images
from topwork.inference.locate import ModelLocation, locate_bundle
from topwork.inference.predictor import Predictor
from topwork.inference.training_data import Origin, origin_of

CHECKED, CALIBRATED = 200, 128  # images
SIDE = 65_000  # longest side of an image


@dataclass(frozen=True)
class Exported:
    """What ``export`` wrote.

    Attributes:
        path: The file.
        agreement: Of the file with the bundle; for int8 what the rounding costs.
        facts: The content of ``export.json`` beside it.
    """

    path: Path
    agreement: Agreement
    facts: dict[str, Any]


def export(
    run: str | os.PathLike[str],
    format: str = "onnx",
    *,
    out: str | os.PathLike[str] | None = None,
    quantize: str | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> Exported:
    """Write a model as one graph, preprocessing after decoding and calibration included, and check it on real images.

    Args:
        run: A run, a comparison (the best on val) or a bundle.
        format: ``"onnx"``, ``"torch-export"`` or ``"openvino"``.
        out: Folder to write to; ``export/FORMAT`` in the run if None.
        quantize: ``"int8"``, or None for float32.
        images: To check on; the test images of the run if empty.
        overwrite: Replace an earlier export there.
        quiet: Print nothing.

    Raises:
        ExportFailed: The file does not say what the bundle says; nothing is left behind.
        MissingExtra: The format needs a package.
        UsageError: No such format, or no images to check on.
    """

    def log(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    kind = format_named(format)
    if quantize not in (None, "int8"):
        raise UsageError(f"--quantize {quantize} is not known; there is int8.")
    kind.require(bool(quantize))
    place = locate_bundle(run)
    if place.note:
        log(f"Model     {place.note}")
    folder = _folder(place, Path(out) if out else None, format, quantize, overwrite)
    origin = origin_of(place)
    model = Predictor(place, device="cpu", precision="float32", engine="plain", workers=0)
    checked, calibrated = _images(model, origin, images, bool(quantize))
    with storage.wrap_os_errors(folder):
        storage.make_folder(folder.parent)
        work = Path(tempfile.mkdtemp(prefix=".tmp-export-", dir=folder.parent))
    try:
        made = _Making(kind, model, sample(model, checked), work, log)
        made.float32(keep=not quantize)
        if quantize:
            made.int8(list(calibrated.values()), _labels(origin, list(checked)))
        storage.write_json(work / "export.json", made.facts)
        if folder.exists():
            shutil.rmtree(folder)
        with storage.wrap_os_errors(folder):
            os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    assert made.agreement is not None
    return Exported(folder / kind.file, made.agreement, made.facts)


def _folder(place: ModelLocation, out: Path | None, format: str, quantize: str | None, overwrite: bool) -> Path:
    name = f"{format}-{quantize}" if quantize else format
    if out is None and place.run is None:
        raise UsageError("A bundle that stands alone has no folder for exports; give --out FOLDER.")
    folder = out if out is not None else (place.run or Path()) / "export" / name
    if folder.exists() and not overwrite:
        raise StorageError(f"{folder} exists. Use --overwrite, or another --out.")
    if folder.exists() and not (folder / "export.json").is_file():
        raise StorageError(f"{folder} is no export, so --overwrite leaves it alone. Choose another --out.")
    return folder


def _images(
    model: Predictor, origin: Origin | None, given: Sequence[str | os.PathLike[str]], quantize: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images to check on, and others to measure ranges on."""
    least = model.spec.resize
    if given:
        paths = [Path(name) for name in list_images(given)][: CHECKED + CALIBRATED]
        second = paths[1::2] if quantize else []
        first = paths[0::2] if quantize else paths
    else:
        first = origin.files("test", CHECKED) if origin else []
        second = origin.files("train", CALIBRATED) if origin and quantize else []
    checked, calibrated = read_images(first, least), read_images(second, least)
    if not checked or (quantize and not calibrated):
        raise UsageError(
            "There are no real images to check the export on: those of the run are gone. Name some with --images PATH."
        )
    return checked, calibrated


def _labels(origin: Origin | None, names: list[str]) -> list[str | None]:
    known = origin.labels["test"] if origin else {}
    by_path = {str(origin.root / image): label for image, label in known.items()} if origin else {}
    return [by_path.get(name) for name in names]


def trace(graph: torch.nn.Module, image: np.ndarray) -> tuple[torch.export.ExportedProgram, bool]:
    """The graph as torch's exported program, for any number of images of any size.

    Returns:
        The program, and whether it takes several images of one size at once; some networks allow but one.

    Raises:
        ExportFailed: torch cannot trace the network.
    """
    size = {1: torch.export.Dim("height", min=1, max=SIDE), 2: torch.export.Dim("width", min=1, max=SIDE)}
    reasons = []
    for batch in (2, 1):
        x = torch.from_numpy(np.repeat(image[None, :331, :397], batch, axis=0))
        x = torch.nn.functional.pad(x, (0, 0, 0, max(0, 3 - x.shape[2]), 0, max(0, 3 - x.shape[1])))
        shapes: dict[int, Any] = {**size, **({0: torch.export.Dim("batch", min=1, max=4096)} if batch == 2 else {})}
        try:
            with torch.no_grad(), quiet():
                program = torch.export.export(
                    graph, (x,), dynamic_shapes={"images": shapes}, strict=False,
                    prefer_deferred_runtime_asserts_over_guards=True,
                )  # fmt: skip
            return program, batch == 2
        except Exception as error:  # the exporter raises many kinds
            reasons.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}")
    raise ExportFailed(f"torch cannot trace this network as a graph ({reasons[-1]}). Choose another --model.")


class _Making:
    """One export under way.

    Attributes:
        facts: For ``export.json``.
        agreement: Of the last file.
    """

    def __init__(self, kind: Format, model: Predictor, wanted: Sample, work: Path, log: Callable[[str], None]) -> None:
        self._kind, self._model, self._wanted, self._work, self._say = kind, model, wanted, work, log
        self.agreement: Agreement | None = None
        bundle, decision = model.bundle, model.decision
        self.facts: dict[str, Any] = {
            "format": kind.name,
            "file": kind.file,
            "topwork": str(bundle.details.get("topwork", "")),
            "strategy": bundle.strategy,
            "model": bundle.model,
            "classes": list(bundle.classes),
            "input": "images: uint8 (N, H, W, 3), RGB, upright, any size",
            "outputs": "probabilities: float32 (N, K), calibrated; scores: float32 (N, K)",
            "confidence_threshold": decision.confidence_threshold,
            "weights_license": bundle.details.get("weights_license", ""),
            "data_license": bundle.details.get("data_license", ""),
        }

    def float32(self, keep: bool) -> None:
        """Trace, write and check; int8 is made from the ONNX file."""
        kind = self._kind if keep else ONNX()
        start = time.monotonic()
        graph = graph_of(self._model.bundle, self._kind.float64)
        share = check_graph(graph, self._wanted)
        program, several = trace(graph, self._wanted.images[0])
        if not several:
            self.facts["input"] = "images: uint8 (1, H, W, 3), RGB, upright, any size; one at a time"
        folder = self._work if keep else self._work / "float32"
        folder.mkdir(exist_ok=True)
        with torch.no_grad():
            kind.write(program, folder, plain_facts(self.facts))
        self.agreement = check_file(kind.name, kind.open(folder), self._wanted)
        self.facts["check"] = {**asdict(self.agreement), "worst": Path(self.agreement.worst).name}
        self.facts["check"]["pixels_unlike_pillow"] = share
        self.facts["bytes"] = _size(folder)
        self._say(f"Checked   {self.agreement}; {_megabytes(folder)}; {time.monotonic() - start:.0f} s")

    def int8(self, images: list[np.ndarray], labels: list[str | None]) -> None:
        """Quantise the checked graph and measure what that costs."""
        before = self._work / "float32"
        self._kind.quantize(before, self._work, images, plain_facts(self.facts))
        run, old = self._kind.open(self._work), ONNX().open(before)
        self.agreement = compare(run, self._wanted)
        loss: dict[str, Any] = {**asdict(self.agreement), "worst": Path(self.agreement.worst).name}
        classes = {name: i for i, name in enumerate(self._model.classes)}
        known = {i: classes[label] for i, label in enumerate(labels) if label is not None and label in classes}
        if known:
            rows, truth = list(known), np.array(list(known.values()))
            found = np.concatenate([run(self._wanted.images[i][None])[0] for i in rows]).argmax(axis=1)
            loss["accuracy"] = float((found == truth).mean())
            loss["accuracy_float32"] = float((self._wanted.probabilities[rows].argmax(axis=1) == truth).mean())
        loss["milliseconds"], loss["milliseconds_float32"] = _speed(run, self._wanted), _speed(old, self._wanted)
        shutil.rmtree(before)
        self.facts |= {"quantized": "int8", "loss": loss, "bytes_float32": self.facts["bytes"]}
        self.facts["bytes"] = _size(self._work)
        accuracy = (
            f"; accuracy {loss['accuracy']:.1%} instead of {loss['accuracy_float32']:.1%}" if "accuracy" in loss else ""
        )
        self._say(
            f"int8      {self.agreement}{accuracy}; {_megabytes(self._work)}; {loss['milliseconds']:.1f} ms an image "
            f"instead of {loss['milliseconds_float32']:.1f}"
        )


def _speed(run: Run, wanted: Sample) -> float:
    """Milliseconds an image, one by one, the median."""
    times = []
    for image in wanted.images[:20]:
        start = time.perf_counter()
        run(image[None])
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _megabytes(folder: Path) -> str:
    return f"{_size(folder) / 1e6:.1f} MB"
