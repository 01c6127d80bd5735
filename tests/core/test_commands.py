"""Commands that topwork prints mean what they were printed for; a resume needs only the folder."""

from __future__ import annotations

import ast
import contextlib
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.core.test_options import SPECIAL, VALUES
from tests.data.layouts.reading import parse
from tests.torture.commands import run

from topwork.bundle.format import read_bundle
from topwork.core import commands
from topwork.core.artifacts import RunInfo
from topwork.core.config import to_toml
from topwork.core.errors import DataError
from topwork.core.options import option_names, options
from topwork.inference.locate import locate_bundle
from topwork.pipeline.api import summary
from topwork.pipeline.configure import build
from topwork.report.results import Comparison, Run
from topwork.strategies import DEFAULT_STRATEGIES

DATA = "/somewhere/it's here; $HOME"
SETS = ["data.splits=new", "data.near_duplicates=false", "backbone.crop_pct=0.75", "compute.engine=torch",
        "svm.Cs=[0.001, 0.5]", 'data.label_key="1"', "finetune.flip=none"]  # fmt: skip


def explicit(name: str) -> Any:
    """A value of a setting that is not its default."""
    return SPECIAL.get(name, ["none"] if name == "learning_curve" else VALUES[options()[name].type])


def shown(words: list[str], place: Path) -> dict[str, Any]:
    """The configuration that a command would run."""
    status, text = run([*words, "--dry-run"], place)
    assert status == 0, text
    return tomllib.loads(text)


@pytest.mark.parametrize("name", [*option_names("compare"), "sets"])
def test_a_printed_command_has_every_option_and_a_resume_needs_none(name: str, tmp_path: Path) -> None:
    for kind, strategies in (("comparison", None), ("comparison", ["svm", "finetune"]), ("run", ["finetune"])):
        if kind == "run" and name not in option_names("train"):
            continue
        given: dict[str, Any] = {"sets": SETS} if name == "sets" else {"options": {name: explicit(name)}}
        config = build(DATA, strategies, **given)
        printed = shlex.split(commands.training(kind, config, DEFAULT_STRATEGIES))[1:]
        if name in ("model", "source"):  # nothing has this name
            assert printed[printed.index(options()[name].flag_name) + 1] == explicit(name)
            continue
        expected = tomllib.loads(to_toml(config))
        assert shown(printed, tmp_path) == expected
        details = {"config": config.model_dump(mode="json", exclude_none=True)}
        RunInfo(kind, "x", "", "running", config.strategies, details).write(tmp_path / "-it's x")
        resume = shlex.split(commands.resume(tmp_path / "-it's x"))[1:]
        assert shown([word.removeprefix(f"{tmp_path}/") for word in resume], tmp_path) == expected


@pytest.mark.parametrize("kind", ["comparison", "run"])
def test_the_next_command_and_the_check_repeat_every_option_of_the_data(
    comparison: Comparison, kind: str, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(comparison.path, tmp_path / "copy"))
    strategies = ("svm", "finetune") if kind == "comparison" else ("svm",)
    names = [name for name in option_names("data", "model", "weights", "seed") if name not in ("source", "model")]
    free = [name for name in names if options()[name].type is not bool]
    for flags in (names, free):  # an option that is off must not be printed
        config = build(DATA, strategies, options={name: explicit(name) for name in flags}, sets=SETS[:2])
        details = {"config": config.model_dump(mode="json", exclude_none=True)}
        result = Comparison(copy) if kind == "comparison" else Run(copy / "svm")
        RunInfo(kind, "x", "", "done", strategies, details).write(result.path)
        (last,) = [line for line in summary(result).splitlines() if line.startswith("Next: ")]
        command = shlex.split(last.removeprefix("Next: "))
        assert command[:3] == ["topwork", "train", DATA]
        found = shown(command[1:], tmp_path)
        for part in ("data", "backbone"):
            assert found[part] == tomllib.loads(to_toml(config))[part]
        assert found["seed"] == config.seed
        checked = shlex.split(commands.check(config))
        for name in flags:
            assert options()[name].flag_name in checked or explicit(name) in ("pretrained",)
        assert parse(checked).data == config.data


def test_a_question_about_the_data_repeats_the_settings_without_a_flag(tmp_path: Path) -> None:
    config = build(tmp_path, sets=["data.splits=new", "data.near_duplicates=false"]).data
    for words, splits in (([], "new"), (["--set", "data.splits=given"], "given")):
        found = parse(shlex.split(commands.data_command(config, config.path, words))).data
        assert (found.splits, found.near_duplicates) == (splits, False)


def test_a_resume_is_refused_explicit_settings_that_change_the_result(tmp_path: Path) -> None:
    config = build("photos", ["mlp"], options={"seed": 3})
    details = {"config": config.model_dump(mode="json", exclude_none=True)}
    RunInfo("run", "x", "", "running", config.strategies, details).write(tmp_path)
    free = {"device", "workers", "threads", "weights"}  # pretrained weights are the default and those of the run
    for name in [name for name in option_names("train") if options()[name].type is not list[str]]:
        value = 0 if name == "seed" else explicit(name)  # 0 is the default, but not what the run has
        words = [options()[name].flag_name, *([] if value is True else [str(value)])]
        status, text = run(["train", "--resume", ".", *words, "--dry-run"], tmp_path)
        assert (status == 0) == (name in free), (name, text)
        assert status == 0 or f"{name}: " in text or "does not apply" in text, text


def test_messages_take_their_commands_from_one_place() -> None:
    """A command that is written out in a message misses options and quotes.

    The model card's are run by the torture; the first steps of ``topwork`` are examples.
    """
    source = Path(commands.__file__).parents[1]
    found, allowed = [], {source / name for name in ("core/commands.py", "bundle/model_card.py", "cli/app.py")}
    for path in set(source.rglob("*.py")) - allowed:
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                written = re.findall(
                    r"topwork (?:compare|train|demo|check|predict|export|serve|report|show) .*", node.value
                )
                found += [f"{path.name}:{node.lineno}: {text}" for text in written]
    assert not found


def test_what_is_not_finished_names_the_command_that_resumes_it(tmp_path: Path) -> None:
    whole, alone = tmp_path / "the comparison", tmp_path / "a run"
    RunInfo("comparison", "x", "", "running", ("knn",)).write(whole)
    parts = [whole / "knn", whole / "repeats" / "seed-1" / "knn"]
    for folder in (*parts, alone):
        RunInfo("run", "x", "", "running", ("knn",)).write(folder)
        expected = f"topwork train --resume '{alone}'" if folder == alone else f"topwork compare --resume '{whole}'"
        for fails in (lambda run: Run(run).metrics, locate_bundle, lambda run: read_bundle(run / "model")):
            with pytest.raises(DataError, match=f"with: {re.escape(expected)}$"):
                fails(folder)
    with pytest.raises(DataError, match=f"with: topwork compare --resume '{whole}'$"):
        locate_bundle(whole)
    with contextlib.chdir(parts[0]):
        assert commands.resume(".") == "topwork compare --resume .."
