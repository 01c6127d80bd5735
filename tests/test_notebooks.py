"""The notebooks run from the first cell to the last, on small data, and show pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from topwork.core.progress import NotebookProgress, make_progress

EXAMPLES = Path(__file__).parents[1] / "examples"
QUICK = """
import topwork
topwork.compare
from topwork.pipeline import outputs
outputs.forward_milliseconds_per_image = lambda *_: 1.0
settings = {"img_size": 32, "workers": 0, "threads": 1, "learning_curve": ["none"], "model": MODEL, "weights": WEIGHTS,
            "sets": ["compute.engine=torch", "scratch.epochs=1", "finetune.epochs=1", "mlp.epochs=2"], "out": "out"}
"""


def execute(name: str, parameters: str, folder: Path) -> list[dict[str, Any]]:
    """The outputs of all cells."""
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    cell.source = parameters + QUICK
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["four_strategies", "own_images"])
def test_a_notebook_runs(name: str, photos: Path, tiny_network: dict[str, Any], tmp_path: Path) -> None:
    image = next(photos.rglob("*.png"))
    parameters = f"images = photos = {str(photos)!r}\nphoto = new_images = {str(image)!r}\n"
    parameters += f"MODEL, WEIGHTS = {tiny_network['model']!r}, {tiny_network['weights']!r}\n"
    outputs = execute(name, parameters, tmp_path)
    shown = json.dumps(outputs)
    assert "Traceback" not in shown
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    pictures = shown.count("<img") + shown.count("image/png")
    assert pictures >= 3
    assert "All messages" in shown  # progress is one output, not a list of lines


def test_the_notebooks_are_kept_without_outputs() -> None:
    for path in EXAMPLES.glob("*.ipynb"):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert cells
        assert not any(cell.outputs or cell.execution_count for cell in cells)


def test_progress_in_a_notebook_is_one_output_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython import display

    drawn: list[tuple[str, str]] = []
    monkeypatch.setattr(display.DisplayHandle, "display", lambda _, shown: drawn.append(("new", shown.data)))
    monkeypatch.setattr(display.DisplayHandle, "update", lambda _, shown: drawn.append(("again", shown.data)))
    progress = NotebookProgress()
    progress.log("first <b>")
    with progress.track("reading", 3) as tracker:
        progress._drawn = 0
        tracker.advance(2)
    progress.log("last")
    assert [kind for kind, _ in drawn] == ["new", *["again"] * (len(drawn) - 1)]
    assert "first &lt;b&gt;" in drawn[0][1]
    assert 'value="2" max="3"' in drawn[1][1]
    assert "<progress" not in drawn[-1][1]


def test_outside_of_a_notebook_progress_is_lines() -> None:
    assert not isinstance(make_progress(), NotebookProgress)
