"""A resume notices what has changed, then leaves the run as it was; one that can start finishes everything."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.changes import CHANGES, HARMLESS, MODEL, Place, content, make
from tests.drawings import draw
from tests.pipeline.test_nothing_lost import FAST
from tests.pipeline.test_resume import _fingerprint

import topwork
from topwork.core import storage
from topwork.core.artifacts import read_run_info
from topwork.core.errors import UsageError


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = make(photos, tmp_path_factory.mktemp("made") / "place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(made.root / "cache"))
        topwork.train(strategy="mlp", epochs=1, batch_size=8, **made.flags, **FAST)
    return made


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    return made.copy(tmp_path / "copy")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed_and_named_and_the_run_stays_as_it_was(place: Place, change: str) -> None:
    act, named = CHANGES[change]
    act(place)
    before = content(place.run, "train.log")
    for _ in range(2 if change == "no table" else 1):  # the second time for the same reason
        with pytest.raises(topwork.TopworkError) as caught:
            topwork.train(resume=place.run, quiet=True, epochs=2)
        assert named in str(caught.value)
        assert content(place.run, "train.log") == before


@pytest.mark.parametrize("words", [{"device": "cuda:7", "epochs": 2}, {"seed": 3}, {"epochs": 2, "lr": 0.5}])
def test_a_resume_with_other_settings_leaves_the_run_as_it_was(place: Place, words: dict[str, Any]) -> None:
    before = content(place.run, "train.log")
    with pytest.raises(topwork.TopworkError, match=r"other settings|cuda:7 is not available"):
        topwork.train(resume=place.run, quiet=True, **words)
    assert content(place.run, "train.log") == before


@pytest.mark.parametrize("change", HARMLESS)
def test_what_changes_no_image_that_is_used_changes_no_result(made: Place, place: Place, change: str) -> None:
    HARMLESS[change](place)
    shutil.rmtree(max((place.run / "checkpoints").glob("last-*")))
    (place.run / "metrics.json").unlink()
    topwork.train(resume=place.run, quiet=True)
    assert _fingerprint(place.run) == _fingerprint(made.run)


def test_images_that_have_moved_are_named_with_the_resume(made: Place, place: Place, tmp_path: Path) -> None:
    moved, other = place.table.parent.rename(tmp_path / "moved"), tmp_path / "other"
    shutil.copytree(moved, other)
    draw(0, 99).save(other / "class0" / "005.png")
    (place.run / "metrics.json").unlink()
    before = content(place.run, "train.log")
    with pytest.raises(UsageError, match="name their new place as DATA"):
        topwork.train(resume=place.run, quiet=True)
    for wrong, named in (other / "table.csv", "class0/005.png"), (tmp_path / "none.csv", "none.csv"):
        with pytest.raises(topwork.TopworkError, match=named):
            topwork.train(wrong, resume=place.run, quiet=True)
        assert content(place.run, "train.log") == before
    topwork.train(moved / "table.csv", resume=place.run, quiet=True)
    assert _fingerprint(place.run) == _fingerprint(made.run)
    assert str(moved) in (place.run / "config.toml").read_text()
    (place.run / "metrics.json").unlink()
    topwork.train(resume=place.run, quiet=True)  # it knows them now
    moved.rename(tmp_path / "again")
    topwork.train(tmp_path / "again" / "table.csv", resume=place.run, quiet=True)  # also if it is done
    assert str(tmp_path / "again") in (place.run / "config.toml").read_text()
    topwork.train(resume=place.run, quiet=True)


class Heard:
    """A callback that may die at the end."""

    def __init__(self, dies: bool = False) -> None:
        self.ends, self.dies = 0, dies

    def on_end(self, run: Any, metrics: Any) -> None:
        if self.dies:
            raise KeyboardInterrupt
        self.ends += 1


@pytest.mark.parametrize("dies", ["report", "callback", "status"])
def test_a_run_that_was_killed_after_its_metrics_is_finished_by_a_resume(
    made: Place, place: Place, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    (place.run / "metrics.json").unlink()
    (place.run / "report.html").unlink()
    with monkeypatch.context() as patch:
        if dies == "report":
            patch.setattr("topwork.report.render.write_report", die)
        if dies == "status":
            real = storage.write_json
            patch.setattr(storage, "write_json", lambda path, value: die() if _is_done(value) else real(path, value))
        with pytest.raises(KeyboardInterrupt):
            topwork.train(resume=place.run, quiet=True, callbacks=[Heard(dies == "callback")])
    assert (place.run / "metrics.json").is_file()
    assert read_run_info(place.run).status == "running"
    heard = Heard()
    topwork.train(resume=place.run, quiet=True, callbacks=[heard])
    assert read_run_info(place.run).status == "done"
    assert (place.run / "report.html").is_file()
    assert heard.ends == 1
    assert _fingerprint(place.run) == _fingerprint(made.run)
    topwork.train(resume=place.run, quiet=True, callbacks=[heard])
    assert heard.ends == 1


def _is_done(value: Any) -> bool:
    return isinstance(value, dict) and value.get("status") == "done"


class Died(BaseException):
    """Stands for a kill."""


def test_more_epochs_that_were_killed_are_continued_by_the_same_command(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was: at each of the files that it writes before it trains."""
    before, number, ended = {}, 0, False
    while not ended:
        number += 1
        copy = Path(shutil.copytree(place.run, place.root / f"run-{number}"))
        left, real = number, storage.write_bytes

        def dying(path: Path, data: bytes, copy: Path = copy, real: Any = real) -> None:
            nonlocal left
            left -= copy in path.parents
            if not left:
                raise Died
            real(path, data)

        def train(*_: Any) -> None:
            nonlocal ended
            ended = True
            raise Died

        with monkeypatch.context() as patch:
            patch.setattr(storage, "write_bytes", dying)
            patch.setattr("topwork.strategies.mlp.fit", train)
            with pytest.raises(Died):
                topwork.train(resume=copy, quiet=True, epochs=2)
        assert (copy / "metrics.json").is_file(), "the old metrics stay until there are new ones"
        if number % 2:
            run = topwork.train(resume=copy, quiet=True, epochs=2)
        else:
            run = topwork.train(resume=copy, quiet=True)
            if len(run.history) == 1:  # it had not begun
                run = topwork.train(resume=copy, quiet=True, epochs=2)
        assert len(run.history) == 2
        found = _fingerprint(copy)
        before = before or found
        assert found == before
    assert number > 3


def test_more_epochs_after_patience_ran_out_are_trained(photos: Path, tmp_path: Path) -> None:
    flags = {"model": MODEL, "lr": 1e-9, "patience": 1, "batch_size": 8, **FAST}
    run = topwork.train(photos, "scratch", out=tmp_path / "run", epochs=5, **flags)
    stopped = len(run.history)
    assert stopped < 5
    topwork.train(resume=run.path, quiet=True, epochs=5)  # no more than it was planned with
    said = (run.path / "train.log").read_text()
    assert f"patience ran out after epoch {stopped} of 5" in said
    again = topwork.train(resume=run.path, quiet=True, epochs=7)
    assert stopped < len(again.history) <= 7
    assert [record.epoch for record in again.history] == list(range(1, len(again.history) + 1))
