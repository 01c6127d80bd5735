"""``topwork show``: analyze the networks of a run, a comparison or a bare backbone, and write one page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from PIL import Image

from topwork.compute import devices
from topwork.core import config as configuration
from topwork.core import run_folders, storage
from topwork.core.artifacts import InputSpec
from topwork.core.errors import UnknownName, UsageError
from topwork.core.names import slug
from topwork.core.progress import Progress, make_progress
from topwork.data.images import UnreadableImage
from topwork.explain.attribution import METHODS
from topwork.explain.context import RunDataset, ShowContext, make_context, open_runs
from topwork.explain.embedding import METHODS as EMBEDDINGS
from topwork.explain.example_images import ExampleImage, choose_images, load_images
from topwork.explain.inspected_model import InspectedModel, backbone_model
from topwork.explain.page_content import compute_page
from topwork.report.folder_recommendation import recommend_in_folder
from topwork.report.results import Comparison, Run
from topwork.report.show_data import ShowData
from topwork.report.show_page import write_page

Images = str | Path | Image.Image | Sequence[str | Path | Image.Image] | None


@dataclass(frozen=True)
class ShowResult:
    """The path of the page that ``show`` wrote, and its content."""

    path: Path
    data: ShowData

    def _repr_html_(self) -> str:
        """The images and a link to the page."""
        images = (f'<img height="128" title="{escape(one.name)}" src="{one.src}">' for one in self.data.images)
        address = escape(self.path.absolute().as_uri(), quote=True)
        return f'<p>{" ".join(images)}</p><a href="{address}">{escape(self.data.title)}</a> {escape(str(self.path))}'


def show(
    target: str | Path | Run | Comparison | None = None,
    image: Images = None,
    *,
    model: str | None = None,
    weights: str = "pretrained",
    img_size: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    quiet: bool = False,
    layers: str | Sequence[str] = (),
    classes: str | Sequence[str] = (),
    methods: str | Sequence[str] = (),
    embedding: str = "tsne",
    photos: int = 4,
    sample: int = 900,
    quick: bool = False,
) -> ShowResult:
    """Show what every layer of a run, a comparison or a bare backbone responds to, and why it predicts what it does.

    Args:
        target: A run or a comparison, or its folder; None with ``model``.
        image: One or more images, as paths or Pillow images. None chooses test images that the strategies predict
            correctly, incorrectly, and differently.
        model: timm name of a backbone to analyze without a run.
        weights: For ``model``: ``"pretrained"``, ``"random"``, or a file.
        img_size: For ``model``: side of the input in pixels.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        out: Folder to write to; ``explain/`` in the run, or ``explain-MODEL/``.
        quiet: Print nothing.
        layers: Layers to show in detail, or ``"all"``.
        classes: Classes to explain in addition to the true and the most likely ones.
        methods: Additional heatmaps: ``grad-cam``, ``recipro-cam`` (the default), ``integrated-gradients``,
            ``occlusion``.
        embedding: ``"tsne"`` or ``"umap"``.
        photos: Number of test images to choose.
        sample: Number of images of the data set to analyze.
        quick: Only the sections about the images; nothing that needs the data set.

    Raises:
        UsageError: Both or neither of run and model; a bare backbone without an image.
        UnknownName: No such layer, class, method or model; suggests similar names.
        DataError: The folder is not a finished run, or an image cannot be read.
    """
    if (target is None) == (model is None):
        raise UsageError("Pass either a run or a comparison, or --model NAME with --image FILE.")
    if model is not None and image is None:
        raise UsageError("A bare backbone has no images; pass one with --image FILE.")
    methods = _as_tuple(methods)
    _check_names(methods, [name for name in METHODS if name != "exact"], "method")  # exact is used by default
    _check_names([embedding], EMBEDDINGS, "embedding")
    listed = [] if image is None else [image] if isinstance(image, str | Path | Image.Image) else list(image)
    files = [Path(one) if isinstance(one, str) else one for one in listed]
    load_images(files, None, None)  # report an unreadable image before any long computation
    compute, _ = devices.resolve(configuration.ComputeConfig(device=device, precision="float32"))
    dataset = chosen = None
    if model is not None:
        inspected, description = backbone_model(model, weights, img_size, compute.device)
        models, title, folder = [inspected], model, Path(out or f"explain-{slug(model)}")
    else:
        run = target.path if isinstance(target, Run | Comparison) else Path(str(target))
        models, dataset = open_runs(run, compute.device)
        chosen = recommend_in_folder(run) if len(models) > 1 else None
        title, description, folder = dataset.name, dataset.weights_description, Path(out or run / "explain")
    requested = _class_positions(_as_tuple(classes), models[0])
    progress = make_progress(quiet)
    images = _choose_images(files, dataset, models[0].spec, photos, progress)
    context = make_context(models, compute, _as_tuple(layers), progress, dataset, images)
    data = compute_page(
        context,
        title,
        _facts(context, description, chosen.name if chosen else ""),
        requested,
        methods,
        embedding,
        sample,
        quick,
    )
    storage.write_json(folder / "show.json", asdict(data))
    write_page(folder / "show.html", data)
    return ShowResult(folder / "show.html", data)


def _as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_names(names: Iterable[str], allowed: Collection[str], kind: str) -> None:
    for name in names:
        if name not in allowed:
            raise UnknownName(kind, name, allowed)


def _class_positions(names: Sequence[str], model: InspectedModel) -> list[int]:
    if names and model.head is None:
        raise UsageError(f"{model.model} has no classifier, only features; omit --class.")
    _check_names(names, model.classes, "class")
    return [model.classes.index(name) for name in names]


def _choose_images(
    files: Sequence[Path | Image.Image], dataset: RunDataset | None, spec: InputSpec, count: int, progress: Progress
) -> list[ExampleImage]:
    if dataset is None:
        return load_images(files, None, None, spec.resize_size)
    if files:
        return load_images(files, dataset.root, dataset.splits, spec.resize_size, spec.pixel_rules)
    predictions = list(dataset.predictions.values())
    first, loaded, lost = predictions[0], dict[int, Image.Image](), dict[int, UnreadableImage]()
    while True:
        chosen = choose_images(predictions, count, lost)
        for i in (i for i, _ in chosen if i not in loaded):
            try:
                loaded[i] = dataset.load(first.ids[i], spec.resize_size)
            except UnreadableImage as error:
                lost[i] = error
                progress.log(f"Another test image is shown: {error}")
        if not chosen and lost:
            raise next(iter(lost.values()))
        if all(i in loaded for i, _ in chosen):
            return [ExampleImage(first.ids[i], loaded[i], int(first.labels[i]), reason) for i, reason in chosen]


def _facts(context: ShowContext, weights: str, recommended: str) -> tuple[tuple[str, str], ...]:
    first = context.models[0]
    facts = [("Backbone", first.model), ("Weights", weights), ("Input", str(first.spec))]
    if context.dataset:
        facts.append(("Classes", f"{len(context.classes):,}"))
    if recommended:
        facts.append(("Recommended by validation", recommended))
    return (
        *facts,
        ("Computed on", f"{context.compute.name}, float32"),
        ("Date", run_folders.now()[:16].replace("T", " ")),
    )
