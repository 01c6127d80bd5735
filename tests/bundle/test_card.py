"""The model card: its header is the hub's, its metrics are those of the run, and no name breaks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

import topwork
from topwork.bundle.format import Bundle, read_bundle, write_bundle
from topwork.bundle.model_card import CardData, write_card, write_comparison
from topwork.core import storage
from topwork.core.artifacts import InputSpec
from topwork.strategies import STRATEGIES

METRIC = {"value": 0.9, "low": 0.8, "high": 0.95}
METADATA: dict[str, Any] = {
    "weights_license": "apache-2.0", "data_license": "", "topwork": "0", "score_type": "logit",
    "preprocessing_version": 1,
    "data": {"name": "photos", "note": "", "images": {"train": 1000, "val": 100, "test": 200}},
    "decision": {
        "temperature": 1.5, "images": 100, "confidence_threshold": 0.6,
        "abstain": {"test": {"coverage": 0.9, "accuracy": None, "overall_accuracy": 0.9}},
        "ood": {"threshold": 0.3, "neighbours": 5, "test_false_positive_rate": METRIC},
    },
}  # fmt: skip
SPEC = InputSpec(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3)
BUNDLE = Bundle("svm", "resnet18", ("a", "b"), SPEC, METADATA, {}, {})
CARD = CardData(BUNDLE, {"images": 200, "accuracy": METRIC, "macro_f1": METRIC}, "made", "ab", "w")


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_bundle_has_a_card_with_the_metrics_of_its_run(comparison: topwork.Comparison, name: str) -> None:
    run = comparison[name]
    read_bundle(run.path / "model")
    text = storage.read_folder(run.path / "model", ["README.md"])["README.md"].decode()
    card = ModelCard(text, ignore_metadata_errors=False)
    assert card.data.library_name == "topwork"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.license == ("unknown" if name == "scratch" else "apache-2.0")
    found = {result.metric_type: result.metric_value for result in card.data.eval_results or []}
    test = run.metrics["test"]
    assert found == {"accuracy": test["accuracy"]["value"], "f1": test["macro_f1"]["value"]}
    assert f"[{test['accuracy']['low']:.4f}, {test['accuracy']['high']:.4f}]" in card.text
    assert storage.sha256_file(run.path / "split.csv") in card.text
    assert all(label in card.text for label in ("class0", "class1", "class2", "unsure", "Unlike the training images"))


def test_the_card_says_what_a_comparison_recommends_once(comparison: topwork.Comparison, tmp_path: Path) -> None:
    chosen = comparison.recommendation
    assert chosen is not None
    for name in STRATEGIES:
        text = (comparison[name].path / "model" / "README.md").read_text("utf-8")
        assert text.count("## Comparison") == 1
        assert f"Chosen on the {chosen.images} validation images: {chosen.name}, because" in text
    folder = tmp_path / "model"
    write_bundle(folder, BUNDLE, write_card(CARD))
    for sentence in ("Use a.", "Use b_."):
        write_comparison(folder, sentence)
        read_bundle(folder)
    text = (folder / "README.md").read_text("utf-8")
    assert text == write_card(CARD).decode() + (
        "\n## Comparison\n\nThis model was compared with others on the same images. Use b\\_.\n"
    )


def test_the_card_names_the_metric_that_decided_and_its_value() -> None:
    assert "for validation (model selection by accuracy and calibration)" in write_card(CARD).decode()
    test = {**CARD.test, "balanced_accuracy": {**METRIC, "value": 0.625}}
    text = write_card(replace(CARD, test=test, metric="balanced-accuracy")).decode()
    assert "(model selection by balanced accuracy and calibration)" in text
    results = {r.metric_type: r.metric_value for r in ModelCard(text).data.eval_results or []}
    assert results["balanced_accuracy"] == 0.625


@settings(max_examples=30, deadline=None)
@given(name=st.text(st.characters(exclude_categories=()), max_size=30), license=st.text(max_size=12))
def test_any_name_gives_a_header_that_reads_back(name: str, license: str) -> None:
    metadata = METADATA | {"data": METADATA["data"] | {"name": name, "note": name}, "weights_license": license}
    text = write_card(replace(CARD, bundle=replace(BUNDLE, metadata=metadata, classes=(name, "b")))).decode()
    card = ModelCard(text, ignore_metadata_errors=False)
    assert len(card.data.eval_results or []) == 2
    assert card.text.lstrip().startswith("# ")
    assert text.count("\n## ") == 6


@pytest.mark.parametrize(
    ("text", "written", "name"),
    [("Apache-2.0", "apache-2.0", None), ("none", "unknown", None), ("Other Words 2", "other", "other-words-2")],
)
def test_the_license_is_that_of_the_weights(text: str, written: str, name: str | None) -> None:
    bundle = replace(BUNDLE, metadata=METADATA | {"weights_license": text})
    card = ModelCard(write_card(replace(CARD, bundle=bundle, hub="timm/x")).decode())
    assert card.data.license == written
    assert card.data.get("license_name") == name
    assert card.data.base_model == "timm/x"
