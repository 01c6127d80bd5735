"""Callbacks and TensorBoard: every epoch once, also after a kill; an error in one ends nothing."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

import topwork
from topwork.core.artifacts import read_history
from topwork.core.errors import MissingDependency, UnknownName, UsageError
from topwork.training.callbacks import Notifier, make_callbacks, tensorboard

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "tracking.md"
QUICK = {"img_size": 32, "workers": 0, "threads": 1, "sets": ("compute.engine=torch", "mlp.epochs=4")}


class Gone(BaseException):
    """What a kill is to a training: nothing is caught, nothing is saved."""


class Recorder:
    """Records its calls; may end like a kill, or fail, at an epoch."""

    def __init__(self, gone_at: int = 0, fails: tuple[str, ...] = ()) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._gone_at, self._fails = gone_at, fails

    def on_start(self, run: topwork.TrainingRun) -> None:
        self._record("start", run)

    def on_epoch(self, run: topwork.TrainingRun, epoch: dict[str, Any]) -> None:
        self._record("epoch", run, epoch)
        if epoch["epoch"] == self._gone_at:
            raise Gone

    def on_end(self, run: topwork.TrainingRun, metrics: dict[str, Any]) -> None:
        self._record("end", run, metrics)

    def _record(self, what: str, *details: Any) -> None:
        self.events.append((what, *details))
        if what in self._fails:
            raise ConnectionError(f"no answer to {what}\nfrom far away")


def documented(name: str) -> type:
    """A callback as docs/how-to/tracking.md shows it."""
    (block,) = (text for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if f"class {name}" in text)
    space: dict[str, Any] = {"topwork": topwork}
    exec(block, space)
    return space[name]


def train(photos: Path, out: Path, **options: Any) -> topwork.Run:
    return topwork.train(photos, "mlp", out=out, **QUICK, **options)


def test_a_killed_training_that_resumes_sends_every_epoch_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow, wandb = MagicMock(name="mlflow"), MagicMock(name="wandb")
    mlflow.start_run.return_value.info.run_id = "kept id"
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    first, second, broken = Recorder(gone_at=3), Recorder(), Recorder(fails=("epoch", "end"))
    others = [documented("MLflow")(), documented("WandB")(), broken, types.SimpleNamespace(on_end=lambda *_: None)]
    out = tmp_path / "run"
    with pytest.raises(Gone):
        train(photos, out, log_to=["tensorboard"], callbacks=[*others, first])
    capsys.readouterr()
    run = topwork.train(resume=out, callbacks=[*others, second])

    history = read_history(out / "history.jsonl")
    events = [item for item in first.events + second.events if item[0] == "epoch"]
    assert [item[2]["epoch"] for item in events] == [1, 2, 3, 4]
    assert [item[2]["val_loss"] for item in events] == [record.val_loss for record in history]
    assert [(what, details[0].resumed) for what, *details in first.events if what == "start"] == [("start", False)]
    assert [(what, details[0].resumed) for what, *details in second.events if what == "start"] == [("start", True)]
    (_, about, metrics) = second.events[-1]
    assert (about.name, about.strategy, about.path) == ("mlp", "mlp", out)
    assert about.config["settings"]["mlp"]["epochs"] == 4
    assert metrics == run.metrics

    text = capsys.readouterr().err
    assert text.count("Recorder.on_epoch failed (ConnectionError: no answer to epoch from far away)") == 1
    assert "on_end" not in text
    assert [item[0] for item in broken.events] == ["start", "epoch", "epoch", "epoch", "start", "epoch", "end"]

    assert [call.kwargs for call in mlflow.start_run.call_args_list] == [{"run_name": "mlp"}, {"run_id": "kept id"}]
    assert [call.kwargs["step"] for call in mlflow.log_metrics.call_args_list] == [1, 2, 3, 4]
    assert mlflow.log_params.call_count == mlflow.end_run.call_count == 1
    assert len({call.kwargs["id"] for call in wandb.init.call_args_list}) == 1
    assert [call.kwargs["step"] for call in wandb.init.return_value.log.call_args_list] == [1, 2, 3, 4]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert {"loss/train", "loss/val", "accuracy/val", "learning rate", "accuracy/test"} <= set(events.Tags()["scalars"])
    losses = events.Scalars("loss/val")
    assert [event.step for event in losses] == [1, 2, 3, 4]
    assert [event.value for event in losses] == pytest.approx([record.val_loss for record in history])
    assert events.Scalars("accuracy/test")[0].value == pytest.approx(run.metrics["test"]["accuracy"]["value"])
    assert len(events.Tags()["tensors"]) == 1

    silent = Recorder(fails=("start",))
    plain = train(photos, tmp_path / "plain", callbacks=[silent], trials=1)
    assert [what for what, *_ in silent.events] == ["start"]  # not of trials, nor of the training that failed
    assert plain.predictions.scores.tobytes() == run.predictions.scores.tobytes()  # callbacks change no bit


def test_runs_are_named_by_their_folder_in_the_comparison(tmp_path: Path) -> None:
    recorder = Recorder(fails=("start",))
    tracking = Notifier([recorder], lambda _: None, tmp_path)
    for place in (".", "svm", "repeats/seed-1/svm"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        tracking.begin("svm", tmp_path / place, {}).end()  # it has failed, so it is left alone
    assert [(what, run.name) for what, run in recorder.events] == [
        ("start", "svm"), ("start", "svm"), ("start", "repeats/seed-1/svm"),
    ]  # fmt: skip


def test_a_tracker_that_cannot_work_is_refused_before_anything_is_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, error, word in (
        ({"log_to": ["mlflow"]}, UnknownName, "No tracker is called 'mlflow'"),
        ({"callbacks": [print]}, UsageError, "is not a callback"),
        ({"callbacks": [Recorder]}, UsageError, "is not a callback"),
    ):
        with pytest.raises(error, match=word):
            train(photos, tmp_path / "run", **options)
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"topwork\[tensorboard\]"):
        make_callbacks(["tensorboard"], [])
    assert not (tmp_path / "run").exists()
