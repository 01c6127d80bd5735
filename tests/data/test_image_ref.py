"""References to images as text: what is written is what is read."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topwork.core.image_ref import ImageRef, without_box

NAME = st.text(st.characters(exclude_characters="\\\0\n:#", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: ".tar/" not in name.lower() and not name.startswith("/")
)
BOX = st.none() | st.tuples(*[st.integers(0, 99_999)] * 2, *[st.integers(1, 99_999)] * 2)
STORE = st.sampled_from(["", "shard", "s3://bucket/a.tar", "https://host/b/c.TAR", "file:///data/x.tar"])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(store=STORE, name=NAME, box=BOX)
def test_text_and_json_read_back_as_the_same_reference(
    tmp_path: Path, store: str, name: str, box: tuple[int, int, int, int] | None
) -> None:
    shard = tmp_path / "a.tar"
    shard.touch()
    ref = ImageRef(str(shard) if store == "shard" else store, name, box)
    assert ImageRef.parse(str(ref)) == ref
    assert ImageRef.from_list(json.loads(json.dumps(astuple(ref)))) == ref
    assert without_box(str(ref)) == ref.path


def test_a_url_survives_pathlib_and_a_folder_called_like_a_shard_stays_one(tmp_path: Path) -> None:
    assert ImageRef.parse(Path("s3://bucket/a.tar/1.jpg")) == ImageRef("s3://bucket/a.tar", "1.jpg")
    (tmp_path / "a.tar").mkdir()
    ref = ImageRef.parse(tmp_path / "a.tar" / "1.jpg")
    assert ref == ImageRef("", str(tmp_path / "a.tar" / "1.jpg"))
    assert not ImageRef(str(tmp_path / "a.tar"), "1.jpg").in_archive


def test_a_box_without_area_has_no_text() -> None:
    with pytest.raises(ValueError, match="box"):
        str(ImageRef("", "1.jpg", (0, 0, 0, 5)))
