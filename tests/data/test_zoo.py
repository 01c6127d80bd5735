"""Every kind of odd file ends as used, converted or set aside, with path and reason; training never notices them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.data import zoo
from tests.drawings import write_folder

import topwork
from topwork.core.artifacts import ImageRow
from topwork.core.config import DataConfig
from topwork.core.storage import sha256_file
from topwork.data.images import UnreadableImage, load_image
from topwork.data.manifest import build_manifest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, links and names of Unix")


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, ImageRow], dict[str, str | None]]:
    """Rows by file name, and what must have become of each."""
    root = tmp_path_factory.mktemp("zoo")
    write_folder(root / "d", classes=2, each=3)
    cage = root / "d" / "class0" / "cage"
    cage.mkdir()
    expected = {}
    for name, data, what in zoo.files():
        assert name not in expected
        (cage / name).write_bytes(data)
        expected[name] = what
    expected |= zoo.places(cage)
    (cage / "loop").symlink_to(root / "d")
    manifest = build_manifest(DataConfig(path=str(root / "d"), source="folder"), root / "cache")
    rows = {Path(row.id).name: row for row in manifest.rows if "cage" in row.id}
    del expected["._apple.jpg.jpg"]  # hidden: passed over
    assert manifest.ignored["class0/cage/._apple.jpg.jpg"] == "hidden"
    assert len([row for row in manifest.rows if "/loop/" in row.id]) == 0
    return rows, expected


def test_there_are_many_kinds(animals: tuple[dict[str, ImageRow], dict[str, str | None]]) -> None:
    rows, expected = animals
    assert set(rows) == set(expected)
    assert len(rows) >= 120


def test_each_becomes_what_the_policy_says(animals: tuple[dict[str, ImageRow], dict[str, str | None]]) -> None:
    rows, expected = animals
    wrong = []
    for name, what in expected.items():
        row = rows[name]
        if what is zoo.ASIDE:
            fits = row.status == "excluded" and 0 < len(row.reason) <= 160
        else:
            fits = row.status == "used" and (what in row.reason if what else row.reason == "")
        if not fits:
            wrong.append((name, what, row.status, row.reason))
    assert wrong == []


INSPECT = """
import resource, sys
from topwork.core.config import DataConfig
from topwork.core.image_ref import ImageRef
from topwork.data.decoder import INSPECT, Request
from topwork.data.decoder_pool import inspect_files
if __name__ == "__main__":
    (found,) = [result.inspection for result in inspect_files([Request(INSPECT, ImageRef.parse(sys.argv[1]))])]
    print(found.usable, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, found.reason)
"""


def test_memory_stays_small_for_the_largest_images(tmp_path: Path) -> None:
    Image.new("RGBA", (8900, 8900), (1, 2, 3, 90)).save(tmp_path / "a.png", compress_level=1)
    (tmp_path / "inspect_one.py").write_text(INSPECT)  # a process of its own: what children took is never given back
    command = [sys.executable, str(tmp_path / "inspect_one.py"), str(tmp_path / "a.png")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split(maxsplit=2)
    assert said[0] == "True", said
    assert int(said[1]) < 1024 * 1024


def test_training_on_a_folder_with_forty_bad_files_gives_the_same_weights(tmp_path: Path) -> None:
    write_folder(tmp_path / "clean")
    shutil.copytree(tmp_path / "clean", tmp_path / "dirty")
    bad = [(name, data) for name, data, what in zoo.files() if what is zoo.ASIDE]
    count = 0
    for number, (name, data) in enumerate(bad):
        (tmp_path / "dirty" / f"class{number % 3}" / name).write_bytes(data)
        count += not name.startswith(".")
    assert count >= 40
    hashes = {}
    for name in ("clean", "dirty"):
        run = topwork.train(
            tmp_path / name, "scratch", out=tmp_path / f"{name}-run", quiet=True, epochs=1, img_size=32, workers=0,
            precision="float32", sets=["scratch.train_size=32"],
        )  # fmt: skip
        hashes[name] = [sha256_file(run.path / "model" / "weights.safetensors"), sha256_file(run.path / "split.csv")]
        assert len(run.history) == 1
    assert hashes["clean"] == hashes["dirty"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of broken metadata; topwork's own filter is undone by pytest
def test_what_is_set_aside_is_refused_by_every_reader(tmp_path: Path) -> None:
    for name, data, what in zoo.files():
        (tmp_path / name).write_bytes(data)
        if what is zoo.ASIDE:
            with pytest.raises(UnreadableImage):
                load_image(tmp_path / name)
        else:
            assert load_image(tmp_path / name).mode == "RGB"
