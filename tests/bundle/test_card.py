"""The model card: its header is the hub's, its figures are those of the run, and no name breaks it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

import topwork
from topwork.bundle.format import read_bundle
from topwork.bundle.model_card import Facts, write_card
from topwork.core import storage
from topwork.strategies import STRATEGIES

FIGURE = {"value": 0.9, "low": 0.8, "high": 0.95}
DETAILS = {
    "weights_license": "apache-2.0", "data_license": "", "topwork": "0", "scores": "logit", "pixels": 1,
    "data": {"name": "photos", "note": "", "images": {"train": 1000, "val": 100, "test": 200}},
    "decision": {
        "temperature": 1.5, "images": 100, "confidence_threshold": 0.6,
        "abstain": {"test": {"coverage": 0.9, "accuracy": None, "overall_accuracy": 0.9}},
        "ood": {"threshold": 0.3, "neighbours": 5, "test_false_positive_rate": FIGURE},
    },
}  # fmt: skip
FACTS = Facts(
    "svm", "resnet18", ("a", "b"), DETAILS, {"images": 200, "accuracy": FIGURE, "macro_f1": FIGURE}, "made", "ab", "w"
)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_bundle_has_a_card_with_the_figures_of_its_run(comparison: topwork.Comparison, name: str) -> None:
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
    assert all(label in card.text for label in ("class0", "class1", "class2", "unsure", "unlike training"))


@settings(max_examples=30, deadline=None)
@given(name=st.text(st.characters(exclude_categories=()), max_size=30), license=st.text(max_size=12))
def test_any_name_gives_a_header_that_reads_back(name: str, license: str) -> None:
    details = DETAILS | {"data": DETAILS["data"] | {"name": name, "note": name}, "weights_license": license}  # type: ignore[operator]
    text = write_card(replace(FACTS, details=details, classes=(name, "b"))).decode()
    card = ModelCard(text, ignore_metadata_errors=False)
    assert len(card.data.eval_results or []) == 2
    assert card.text.lstrip().startswith("# ")
    assert text.count("\n## ") == 6


@pytest.mark.parametrize(
    ("said", "written", "name"),
    [("Apache-2.0", "apache-2.0", None), ("none", "unknown", None), ("Other Words 2", "other", "other-words-2")],
)
def test_the_licence_is_that_of_the_weights(said: str, written: str, name: str | None) -> None:
    card = ModelCard(write_card(replace(FACTS, details=DETAILS | {"weights_license": said}, hub="timm/x")).decode())
    assert card.data.license == written
    assert card.data.get("license_name") == name
    assert card.data.base_model == "timm/x"
