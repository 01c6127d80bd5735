"""``show``: look into the networks of a run, a comparison or a bare backbone, and write one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from topwork.compute import devices
from topwork.core import config as configuration
from topwork.core import run_folders, storage
from topwork.core.errors import UnknownName, UsageError
from topwork.core.progress import make_progress
from topwork.explain.attribution import METHODS
from topwork.explain.compose import Wishes, compose
from topwork.explain.embedding import METHODS as EMBEDDINGS
from topwork.explain.photos import Photograph, choose_photos, given_photos
from topwork.explain.scene import Scene, make_scene, open_runs, take_photos
from topwork.explain.subject import Subject, bare_subject
from topwork.report.explain_page import write_page
from topwork.report.explained import ShowData
from topwork.report.results import Comparison, Run

Photos = str | Path | Image.Image | Sequence[str | Path | Image.Image] | None


@dataclass(frozen=True)
class Shown:
    """What ``show`` wrote.

    Attributes:
        path: The page.
        data: Its content.
    """

    path: Path
    data: ShowData

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.path.as_uri(), quote=True)}">{escape(self.data.title)}</a>'


def show(
    target: str | Path | Run | Comparison | None = None,
    image: Photos = None,
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
) -> Shown:
    """Look into every layer of the networks of a run, a comparison or a bare backbone.

    Args:
        target: A run or a comparison, or its folder; None with ``model``.
        image: One or more photos, as paths or Pillow images. None takes test images: some that the strategies get
            right, some wrong, some on which they disagree.
        model: timm name of a backbone to look into without any run.
        weights: For ``model``: ``"pretrained"``, ``"random"``, or a file.
        img_size: For ``model``: side of the input.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        out: Folder to write to; ``explain/`` in the run, or ``explain-MODEL/``.
        quiet: Print nothing.
        layers: Names to show in more detail, or ``"all"``.
        classes: Names to explain beside those that are likely or true.
        methods: Ways to a class map beside the usual: ``gradcam``, ``recipro``, ``integrated-gradients``,
            ``occlusion``; none given means ``recipro``.
        embedding: ``"tsne"`` or ``"umap"``.
        photos: How many test images to choose.
        sample: Images of the data set to look at.
        quick: The photos only; nothing that needs the data set.

    Returns:
        The page's path and content.

    Raises:
        UsageError: Neither or both of run and model; no photo for a bare backbone.
        UnknownName: No such layer, class, method or model; the nearest are named.
        DataError: The folder is no finished run, or a photo cannot be read.
    """
    if (target is None) == (model is None):
        raise UsageError("Give a run or a comparison, or --model NAME with --image PHOTO; one of the two.")
    if model is not None and image is None:
        raise UsageError("A bare backbone has no images of its own; give one by --image PHOTO.")
    wishes = Wishes(_listed(layers), _listed(classes), _listed(methods), embedding, photos, sample, quick)
    _check(wishes.methods, [name for name in METHODS if name != "exact"], "method")  # which is taken where it applies
    _check([embedding], EMBEDDINGS, "embedding")
    given = [] if image is None else [image] if isinstance(image, str | Path | Image.Image) else list(image)
    pictures = [Path(one) if isinstance(one, str) else one for one in given]
    given_photos(pictures, None, None)  # an unreadable photo is said before anything long
    compute, _ = devices.resolve(configuration.ComputeConfig(device=device, precision="float32"))
    dataset = None
    if model is not None:
        subject, account = bare_subject(model, weights, img_size, compute.device)
        subjects, title, folder = [subject], model, Path(out or f"explain-{storage.slug(model)}")
    else:
        home = target.path if isinstance(target, Run | Comparison) else Path(str(target))
        subjects, dataset = open_runs(home, compute.device)
        title, account, folder = dataset.name, dataset.account, Path(out or home / "explain")
    asked = _classes(wishes.classes, subjects[0])
    scene = make_scene(subjects, compute, wishes.layers, make_progress(quiet), dataset)
    take_photos(scene, _photos(scene, pictures, photos))
    data = compose(scene, wishes, asked, title, _facts(scene, account))
    storage.write_json(folder / "show.json", asdict(data))
    write_page(folder / "show.html", data)
    return Shown(folder / "show.html", data)


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check(names: Sequence[str], allowed: Sequence[str] | dict[str, Any], kind: str) -> None:
    for name in names:
        if name not in allowed:
            raise UnknownName(kind, name, allowed)


def _classes(names: Sequence[str], subject: Subject) -> list[int]:
    if names and subject.head is None:
        raise UsageError(f"{subject.model} has no classes here, only features; leave --class out.")
    _check(names, subject.classes, "class")
    return [subject.classes.index(name) for name in names]


def _photos(scene: Scene, given: list[Path | Image.Image], count: int) -> list[Photograph]:
    dataset, least = scene.dataset, scene.subjects[0].spec.resize_size
    if given or dataset is None:
        return given_photos(given, dataset.root if dataset else None, dataset.splits if dataset else None, least)
    predictions = list(dataset.predictions.values())
    chosen = choose_photos(predictions, count)
    return [replace(dataset.load(predictions[0].ids[i], least), why=why) for i, why in chosen]


def _facts(scene: Scene, account: str) -> tuple[tuple[str, str], ...]:
    first = scene.subjects[0]
    facts = [("Backbone", first.model), ("Weights", account), ("Input", str(first.spec))]
    if scene.dataset:
        facts.append(("Classes", f"{len(scene.classes):,}"))
    return (
        *facts,
        ("Computed on", f"{scene.compute.name}, float32"),
        ("Date", run_folders.now()[:16].replace("T", " ")),
    )
