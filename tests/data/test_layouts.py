"""Data sets as people publish them are read rightly, or refused with a command that then reads them rightly."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.data.layouts import LAYOUTS, Layout, Read, Refused
from tests.data.layouts.reading import wrong_reading, wrong_refusal


@pytest.mark.filterwarnings("ignore")  # of the libraries that read formats
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_data_set_is_read_rightly_or_refused_with_a_command_that_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = LAYOUTS[name]
    if layout.needs:
        pytest.importorskip(layout.needs)
    root = tmp_path / "data_set"
    data = layout.draw(root)
    monkeypatch.chdir(root)
    problem = wrong_reading(data, dict(layout.options), layout.allowed, root)
    assert not problem, problem


def test_there_are_enough_layouts_and_each_has_its_right_reading() -> None:
    assert len(LAYOUTS) >= 55
    assert all(LAYOUTS[name].files for name in LAYOUTS)
    assert all(right.rows or right.counts for layout in LAYOUTS.values() for right in layout.readings)


RIGHT = Read({f"{label}/{n}.png": (label, "") for label in ("ant", "bee") for n in range(3)})


@pytest.mark.parametrize(
    ("allowed", "says"),
    [
        (replace(RIGHT, rows={**RIGHT.rows, "ant/0.png": ("bee", "")}), r"ant/0.png: \('ant', ''\), right is \('bee'"),
        (replace(RIGHT, rows={**RIGHT.rows, "ant/0.png": ("ant", "test")}), r"ant/0.png: \('ant', ''\), right is"),
        (replace(RIGHT, rows={**RIGHT.rows, "ant/9.png": ("ant", "")}), "6 listed, 7 right"),
        (replace(RIGHT, rows=dict(list(RIGHT.rows.items())[1:])), "6 listed, 5 right"),
        (Read(counts={("ant", ""): 3, ("bee", ""): 2}), "listed"),
        (replace(RIGHT, ignored=("other",)), "nothing says that other is ignored"),
        (Refused(("label",)), "silently read as"),
    ],
)
def test_each_kind_of_misreading_is_found(tmp_path: Path, allowed: Read | Refused, says: str) -> None:
    data = Layout(dict.fromkeys(RIGHT.rows), RIGHT).draw(tmp_path)
    assert wrong_reading(data, {}, (RIGHT,), tmp_path) == ""
    assert re.search(says, wrong_reading(data, {}, (allowed,), tmp_path))


@pytest.mark.parametrize(
    ("message", "right", "says"),
    [
        ("Read it with topwork check {0} or topwork check {0}/ant.", Refused(("read",), (RIGHT,)), None),
        ("Read it with `topwork train {0} --seed 3`, if you want.", Refused((), (RIGHT,)), None),
        ("First:\n  topwork check {0}\nor\n  topwork check {0}/none", Refused((), (RIGHT,)), None),
        ("Run tar -xf {0}/x.tar -C {0} && topwork check {0}.", Refused((), (RIGHT,)), None),
        ("Run topwork check {0}/none.", Refused((), (RIGHT,)), "no command .* gives the right reading"),
        ("This is no data set.", Refused((), (RIGHT,)), "no command .* gives the right reading"),
        ("This is no data set.", Refused(("detection",)), "does not say .'detection'"),
    ],
)
def test_the_commands_of_a_refusal_are_run(tmp_path: Path, message: str, right: Refused, says: str | None) -> None:
    Layout({**dict.fromkeys(RIGHT.rows), "x.tar": bytes(1024)}, RIGHT).draw(tmp_path)
    problem = wrong_refusal(message.format(tmp_path), right, tmp_path)
    assert re.search(says, problem) if says else problem == ""


def test_a_command_that_the_command_line_does_not_take_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"does not take .*--no-such-flag"):
        wrong_refusal(f"Run topwork check {tmp_path} --no-such-flag 1", Refused(()), tmp_path)
