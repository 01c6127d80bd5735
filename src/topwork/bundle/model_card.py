"""The model card of a bundle, ``README.md``: what it is, what was measured, what it is for and what not.

The header is that of the Hugging Face hub, made by its own library; nothing is sent anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from topwork.core import storage

# Licences that the hub has a name for, as far as weights of image networks come under them.
LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "openrail",
}  # fmt: skip
NOT_SAID = {"", "none", "unknown"}
MOST_CLASSES = 200  # named in the card; model.json has all
FIGURES = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1", "top5": "top-5 accuracy",
    "roc_auc": "ROC AUC", "log_loss": "log loss", "ece": "expected calibration error",
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    Attributes:
        strategy, model, classes: As in the bundle.
        details: The other facts of ``model.json``: licences, data account, decision, pixels, versions.
        test: Figures of the test part, as in ``metrics.json``.
        split: How the split was made, one line.
        split_sha256: Of ``split.csv``.
        weights: Where the weights began, in words.
        hub: Repository of those weights on the hub, ``owner/name``; empty if they are not from there.
    """

    strategy: str
    model: str
    classes: tuple[str, ...]
    details: Mapping[str, Any]
    test: Mapping[str, Any]
    splits: str
    split_sha256: str
    weights: str
    hub: str = ""


def write_card(facts: Facts) -> bytes:
    """The content of ``README.md``, UTF-8; the same facts give the same bytes."""
    parts = [_title(facts), _use(facts), _data(facts), _figures(facts), _answers(facts), _how(facts), _not_for(facts)]
    text = "\n\n".join(parts)
    return f"---\n{_header(facts).to_yaml()}\n---\n\n{text}\n".encode()


def _header(facts: Facts) -> ModelCardData:
    data = _one_line(facts.details["data"]["name"]) or "images"
    found = facts.test
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=storage.slug(data),
            dataset_name=data,
            dataset_split="test",
            metric_type=kind,
            metric_name=f"{FIGURES[name]} on test ({found['images']} images)",
            metric_value=found[name]["value"],
        )
        for name, kind in (("accuracy", "accuracy"), ("macro_f1", "f1"))
    ]
    license, name = _license(facts.details["weights_license"])
    return ModelCardData(
        license=license,
        license_name=name,
        library_name="topwork",
        pipeline_tag="image-classification",
        base_model=facts.hub or None,
        tags=["image-classification", "transfer-learning", "topwork", facts.strategy, facts.model],
        model_name=f"{storage.slug(data)}-{facts.strategy}",
        eval_results=results,
    )


def _license(said: str) -> tuple[str, str | None]:
    """That of the pretrained weights, by the hub's name for it where it has one."""
    name = said.strip().lower()
    if name in NOT_SAID:
        return "unknown", None
    return (name, None) if name in LICENSES else ("other", storage.slug(name))


def _title(facts: Facts) -> str:
    start = "random weights" if facts.strategy == "scratch" else f"pretrained weights ({_text(facts.weights)})"
    return (
        f"# {_text(facts.details['data']['name'])}: {facts.strategy} on {facts.model}\n\n"
        f"An image classifier with {len(facts.classes)} classes, made by topwork {facts.details['topwork']}: "
        f"the network `{facts.model}` from {start}, strategy `{facts.strategy}`."
    )


def _use(facts: Facts) -> str:
    names = ", ".join(map(_text, facts.classes[:MOST_CLASSES]))
    more = len(facts.classes) - MOST_CLASSES
    rest = f" and {more} more (`model.json` has all)" if more > 0 else ""
    return (
        "## Intended use\n\n"
        "Sorting photographs like those it was trained on into one of its classes, with a person or a process behind "
        f"it that takes 'unsure' and 'unlike training' for an answer.\n\nClasses: {names}{rest}."
    )


def _data(facts: Facts) -> str:
    data = facts.details["data"]
    counts = data["images"]
    note = f"\n\nNote: {_text(data['note'])}" if data["note"] else ""
    return (
        "## Data\n\n"
        f"{_text(data['name'])}: {sum(counts.values()):,} images; {counts['train']:,} to train, "
        f"{counts['val']:,} (val) to choose, {counts['test']:,} (test) to judge once. Licence of the images: "
        f"{_text(facts.details['data_license']) or 'not known'}; of the pretrained weights: "
        f"{_text(facts.details['weights_license'])}.\n\n"
        f"Split: {_text(facts.splits) or 'see split.csv'}; SHA-256 of `split.csv`: `{facts.split_sha256}`.{note}"
    )


def _figures(facts: Facts) -> str:
    rows = [
        f"| {words} | {_number(facts.test[name])} | {_interval(facts.test[name])} |"
        for name, words in FIGURES.items()
        if name in facts.test
    ]
    return (
        f"## Figures\n\nOn {facts.test['images']:,} test images, which chose nothing; 95 % intervals.\n\n"
        "| figure | value | interval |\n|---|---|---|\n" + "\n".join(rows)
    )


def _answers(facts: Facts) -> str:
    decision = facts.details["decision"]
    test, ood = decision["abstain"]["test"], decision["ood"]
    false_positives = ood["test_false_positive_rate"]
    answered = "" if test["accuracy"] is None else f", of which {test['accuracy']:.1%} were right"
    way = (
        f"scores are divided by the temperature {decision['temperature']:.3g}"
        if facts.details["scores"] == "logit"
        else "the scores are margins, turned into probabilities by the strategy's own calibration"
    )
    return (
        "## What its answers mean\n\n"
        f"- **Probability**: calibrated on {decision['images']:,} val images ({way}).\n"
        f"- **unsure**: the highest probability is below {decision['confidence_threshold']:.3g}. On test "
        f"{test['coverage']:.1%} of the images were answered{answered} (of all: {test['overall_accuracy']:.1%}).\n"
        f"- **unlike training**: the image is farther than {ood['threshold']:.3g} (1 - cosine) from its "
        f"{ood['neighbours']} nearest stored training images. {false_positives['value']:.1%} "
        f"[{100 * false_positives['low']:.1f}, {100 * false_positives['high']:.1f}] of the test images, which "
        "are like training, were called so; how many foreign images it misses was not measured."
    )


def _how(facts: Facts) -> str:
    return (
        "## How to use it\n\n"
        "```\ntopwork predict BUNDLE photos/ --out answers.csv\ntopwork export BUNDLE --format onnx\n```\n\n"
        "BUNDLE is this folder, wherever it lies; opening it runs no code and needs no network. Images are decoded and "
        f"scaled by pixel policy {facts.details['pixels']} as in training."
    )


def _not_for(facts: Facts) -> str:
    return (
        "## What it must not be used for\n\n"
        "- Images of another kind than its training images: it knows no class but those above and names one of them "
        "for any image.\n"
        "- Decisions about people, or on health, safety, law or credit, without a study of their own on the images and "
        "people concerned: the figures above are of one data set.\n"
        "- Anything that the licence of the images or of the pretrained weights forbids."
    )


def _number(figure: Mapping[str, float | None]) -> str:
    return "not known" if figure["value"] is None else f"{figure['value']:.4f}"


def _interval(figure: Mapping[str, float | None]) -> str:
    return "" if figure["low"] is None or figure["high"] is None else f"[{figure['low']:.4f}, {figure['high']:.4f}]"


def _one_line(text: str) -> str:
    """Names may hold anything, undecodable bytes too; YAML and UTF-8 may not."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _text(text: str) -> str:
    """One line of Markdown that shows the text as it is."""
    return re.sub(r"([\\`*_<>|\[\]#])", r"\\\1", _one_line(text))
