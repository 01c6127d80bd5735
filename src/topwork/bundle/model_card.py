"""The model card of a bundle, ``README.md``: what the model is, its test metrics, its intended and out-of-scope use.

The header is that of the Hugging Face hub, made by its own library; nothing is sent anywhere. The sections follow
Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from topwork.bundle.format import CARD_FILE, Bundle
from topwork.core import storage
from topwork.core.names import slug
from topwork.evaluation import target_metric
from topwork.evaluation.metrics import METRIC_NAMES

# Licenses that the hub has a name for, as far as weights of image networks come under them.
LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "openrail",
}  # fmt: skip
UNSPECIFIED = {"", "none", "unknown"}
MAX_LISTED_CLASSES = 200
_COMPARISON = "\n\n## Comparison\n\n"


@dataclass(frozen=True)
class CardData:
    """What a model card is made from.

    Attributes:
        bundle: The model.
        test: Metrics of the test set, as in ``metrics.json``.
        split: One line on how the split was made.
        split_sha256: Of ``split.csv``.
        weights: Where the initial weights are from.
        hub: Repository of those weights on the hub, ``owner/name``; empty if they are not from there.
        metric: That decided, a key of ``target_metric.NAMES``.
    """

    bundle: Bundle
    test: Mapping[str, Any]
    split: str
    split_sha256: str
    weights: str
    hub: str = ""
    metric: str = "accuracy"


def write_card(card: CardData) -> bytes:
    """The content of ``README.md``, UTF-8; the same data give the same bytes."""
    sections = (_title, _intended_use, _training_data, _metrics, _outputs, _usage, _out_of_scope_use)
    text = "\n\n".join(section(card) for section in sections)
    return f"---\n{_header(card).to_yaml()}\n---\n\n{text}\n".encode()


def write_comparison(folder: Path, recommendation: str) -> None:
    """Write into the card of a bundle that was compared with others which of them is recommended; once or again.

    Args:
        folder: ``RUN/model``.
        recommendation: The sentence of the verdict.
    """
    text = (folder / CARD_FILE).read_text("utf-8")
    section = f"{_COMPARISON}This model was compared with others on the same images. {_escape(recommendation)}\n"
    amended = f"{text.partition(_COMPARISON)[0].rstrip()}{section}"
    if amended != text:
        storage.replace_file(folder, CARD_FILE, amended.encode())


def _header(card: CardData) -> ModelCardData:
    bundle, test = card.bundle, card.test
    data = _one_line(bundle.metadata["data"]["name"]) or "images"
    own = target_metric.key(card.metric)
    results = [
        EvalResult(
            task_type="image-classification", dataset_type=slug(data), dataset_name=data, dataset_split="test",
            metric_type=kind, metric_value=test[name]["value"],
            metric_name=f"{METRIC_NAMES[name]} on the test set ({test['images']} images)",
        )
        for name, kind in {"accuracy": "accuracy", "macro_f1": "f1", own: own}.items()
        if name in test and test[name]["value"] is not None
    ]  # fmt: skip
    license, license_name = _license(bundle.metadata["weights_license"])
    return ModelCardData(
        license=license, license_name=license_name, library_name="topwork", pipeline_tag="image-classification",
        base_model=card.hub or None, model_name=f"{slug(data)}-{bundle.strategy}", eval_results=results,
        tags=["image-classification", "transfer-learning", "topwork", bundle.strategy, bundle.model],
    )  # fmt: skip


def _license(text: str) -> tuple[str, str | None]:
    """The license of the pretrained weights, by the hub's name for it where there is one."""
    name = text.strip().lower()
    if name in UNSPECIFIED:
        return "unknown", None
    return (name, None) if name in LICENSES else ("other", slug(name))


def _title(card: CardData) -> str:
    bundle = card.bundle
    weights = "random weights" if bundle.strategy == "scratch" else f"pretrained weights ({_escape(card.weights)})"
    return (
        f"# {_escape(bundle.metadata['data']['name'])}: {bundle.strategy} on {bundle.model}\n\n"
        f"An image classifier with {len(bundle.classes)} classes, trained by topwork {bundle.metadata['topwork']} "
        f"with strategy `{bundle.strategy}` on network `{bundle.model}`, starting from {weights}."
    )


def _intended_use(card: CardData) -> str:
    classes = card.bundle.classes
    names = ", ".join(map(_escape, classes[:MAX_LISTED_CLASSES]))
    more = len(classes) - MAX_LISTED_CLASSES
    rest = f" and {more} more (see `model.json`)" if more > 0 else ""
    return (
        "## Intended use\n\n"
        "Classifying images like its training images into one of its classes, where a person or a process handles "
        f"predictions marked as 'unsure' or 'unlike the training images'.\n\nClasses: {names}{rest}."
    )


def _training_data(card: CardData) -> str:
    metadata = card.bundle.metadata
    data, counts, folds = metadata["data"], metadata["data"]["images"], card.bundle.decision.get("folds")
    train, val = counts["train"], counts["val"]
    chosen = f"model selection by {target_metric.NAMES[card.metric]} and calibration"
    learned = f"{train:,} for training, {val:,} for validation ({chosen})"
    if folds:
        learned = f"{train + val:,} for training (out-of-fold predictions of them, {folds} folds, for {chosen})"
    note = f"\n\nNote: {_escape(data['note'])}" if data["note"] else ""
    return (
        "## Training data\n\n"
        f"{_escape(data['name'])}: {sum(counts.values()):,} images, {learned} and {counts['test']:,} for one final "
        f"test. License of the images: {_escape(metadata['data_license']) or 'unknown'}; of the pretrained weights: "
        f"{_escape(metadata['weights_license'])}.\n\n"
        f"Split: {_escape(card.split) or 'see split.csv'}; SHA-256 of `split.csv`: `{card.split_sha256}`.{note}"
    )


def _metrics(card: CardData) -> str:
    found = [(text, card.test[name]) for name, text in METRIC_NAMES.items() if name in card.test]
    rows = [f"| {text} | {_number(m['value']) or 'unknown'} | {_interval(m)} |" for text, m in found]
    return (
        f"## Metrics\n\nMeasured once on {card.test['images']:,} test images, which were not used for any choice; with "
        "95 % confidence intervals.\n\n| metric | value | interval |\n|---|---|---|\n" + "\n".join(rows)
    )


def _outputs(card: CardData) -> str:
    decision = card.bundle.decision
    test, ood = decision["abstain"]["test"], decision["ood"]
    false_positives = ood["test_false_positive_rate"]
    correct = "" if test["accuracy"] is None else f", of which {test['accuracy']:.1%} are classified correctly"
    method = (
        f"scores are divided by the temperature {decision['temperature']:.3g}"
        if card.bundle.metadata["score_type"] == "logit"
        else "scores are margins, turned into probabilities by the strategy's own calibration"
    )
    return (
        "## Outputs\n\n"
        f"- **Probability**: calibrated on {decision['images']:,} images held out from the fit ({method}).\n"
        f"- **Unsure**: the highest probability is below {decision['confidence_threshold']:.3g}. This leaves "
        f"{test['coverage']:.1%} of the test images{correct} (of all test images: {test['overall_accuracy']:.1%}).\n"
        f"- **Unlike the training images**: the image is farther than {ood['threshold']:.3g} (1 - cosine similarity) "
        f"from its {ood['neighbours']} nearest stored training images. This marks {false_positives['value']:.1%} "
        f"[{100 * false_positives['low']:.1f}, {100 * false_positives['high']:.1f}] of the test images (false "
        "positives). How many images of other kinds it misses was not measured."
    )


def _usage(card: CardData) -> str:
    return (
        "## Usage\n\n"
        "In this folder, with images in `photos/`:\n\n"
        "```\ntopwork predict . photos/ --out predictions.csv\n```\n\n"
        "Loading it never executes code and needs no network access. Images are "
        f"preprocessed as in training (preprocessing version {card.bundle.metadata['preprocessing_version']})."
    )


def _out_of_scope_use(card: CardData) -> str:
    return (
        "## Out-of-scope use\n\n"
        "- Images of another kind than its training images: it assigns one of the classes above to any image.\n"
        "- Decisions about people, or about health, safety, law or credit, without a separate study on the images and "
        "people concerned: the metrics above are from one data set.\n"
        "- Anything that the license of the images or of the pretrained weights forbids."
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(metric: Mapping[str, float | None]) -> str:
    return "" if metric["low"] is None else f"[{_number(metric['low'])}, {_number(metric['high'])}]"


def _one_line(text: str) -> str:
    """Text without unprintable characters, which YAML and UTF-8 do not allow."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _escape(text: str) -> str:
    """One line of Markdown that shows the text literally."""
    return re.sub(r"([\\`*_<>|\[\]#])", r"\\\1", _one_line(text))
