"""The commands that use a trained model: predict, export, serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topwork.cli.app import Quiet, explicit, setting_options
from topwork.core.options import OptionValue
from topwork.core.progress import print_text

Run = Annotated[Path, typer.Argument(help="Folder of a run, a comparison (its recommended strategy) or a bundle.")]
RUNTIME = ("device", "precision", "engine", "workers")


@setting_options(*RUNTIME)
def predict(
    run: Run,
    paths: Annotated[list[str], typer.Argument(help="Files, folders, patterns, a CSV of names; - for stdin.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write.  [default: stdout]")] = None,
    format: Annotated[str | None, typer.Option(help="csv or jsonl.  [default: by the file's suffix, else csv]")] = None,
    top: Annotated[int, typer.Option(min=0, help="Classes per image, the most probable first; 0: all.")] = 3,
    neighbours: Annotated[int, typer.Option(min=0, help="Nearest training images per image (jsonl).")] = 0,
    explain: Annotated[Path | None, typer.Option(help="Folder for class activation maps, one per image.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted file.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """Predict images.

    One row per image: label, probability, 'unsure' and 'unlike the training images'.
    A file that cannot be used is a row with the reason.

    Example: topwork predict runs/photos-compare-tf_efficientnet_lite0 new/ --out new.csv
    """
    from topwork.inference.predict import predict_to_file

    predict_to_file(
        run, paths, out, format=format, top=top, neighbours=neighbours, explain=explain, resume=resume,
        overwrite=overwrite, quiet=quiet, **explicit(options),
    )  # fmt: skip


def export(
    run: Run,
    format: Annotated[str, typer.Option("--format", "-f", help="onnx, torch-export or openvino.")] = "onnx",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder.  [default: in the run]")] = None,
    quantize: Annotated[
        str | None, typer.Option(help="int8: smaller and faster; the loss of accuracy is measured.")
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option(help="Images to check on; may be repeated.  [default: the run's test images]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    quiet: Quiet = False,
) -> None:
    """Export a model as one graph.

    Preprocessing and calibration are in it, and it is checked on real images.

    Example: topwork export runs/photos-compare-tf_efficientnet_lite0 --format onnx
    """
    from topwork.inference.export.exporter import export as write

    result = write(run, format, out=out, quantize=quantize, images=images or (), overwrite=overwrite, quiet=quiet)
    print_text(f"Exported: {result.path}")


@setting_options(*RUNTIME)
def serve(
    run: Run,
    host: Annotated[str, typer.Option(help="Address to listen on; other than 127.0.0.1 requires a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0: a free one.")] = 8000,
    token: Annotated[
        bool, typer.Option("--token", help="Require a token: TOPWORK_TOKEN, or a new one, which is printed.")
    ] = False,
    host_name: Annotated[
        list[str] | None, typer.Option(help="Host name of the server, for instance behind a proxy; may be repeated.")
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, max=4096, help="Maximum size of a request, in MiB.")] = 64,
    queue: Annotated[int, typer.Option(min=1, help="Maximum number of images in progress.")] = 256,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """Serve a model as a page and an HTTP API.

    The page is at /; programs use /predict, /explain, /model, /healthz, /metrics and /openapi.json.

    Example: topwork serve runs/photos-compare-tf_efficientnet_lite0, then in another terminal:
    curl -F files=@car.jpg http://127.0.0.1:8000/predict
    """
    from topwork.serving import serve as start

    bounds = {
        "max_body_bytes": max_body << 20,
        "max_request_bytes": max(512, 2 * max_body) << 20,
        "max_images_in_progress": queue,
        "max_files": min(128, queue),
    }
    start(
        run, host=host, port=port, host_names=host_name or (), token=token, limits=bounds, quiet=quiet,
        **explicit(options),
    )  # fmt: skip
