"""Data sets as people publish them are read rightly, or refused with a command that then reads them rightly."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.data.layouts import LAYOUTS
from tests.data.layouts.reading import wrong_reading

# Not read rightly yet. Remove a name as soon as it is.
NOT_YET = frozenset(
    {
        "asl_alphabet",
        "breakhis",
        "breast_histopathology",
        "caltech_101",
        "caltech_256",
        "captions",
        "carvana",
        "casting",
        "celeba",
        "chest_xray",
        "cifar_100_pickles",
        "cifar_10_pickles",
        "classes_test_and_control",
        "eurosat",
        "eurosat_on_kaggle",
        "fiftyone_directory_tree",
        "flowers_twice",
        "folds",
        "fruits_360",
        "hymenoptera",
        "ids_in_two_folders",
        "images_only",
        "inat_2021",
        "intel_scenes",
        "lfw",
        "malaria_cells",
        "monkey_species",
        "new_plant_diseases",
        "office_31",
        "one_class",
        "pascal_voc",
        "plant_pathology_2021",
        "plant_village",
        "regression",
        "roboflow_multi_label",
        "rock_paper_scissors",
        "segmentation_masks",
        "stanford_dogs",
        "system_files_everywhere",
        "table_of_another_data_set",
        "taxonomy",
        "ten_animals",
        "train_and_test_without_table",
        "training_set_test_set",
        "upper_case_splits",
        "vegetable_images",
        "videos_as_frames_list",
        "yolo_one_folder",
        "yolo_split_inside",
        "yolo_split_outside",
    }
)


@pytest.mark.filterwarnings("ignore")  # of the libraries that read formats
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.xfail(strict=False)] if name in NOT_YET else []) for name in LAYOUTS],
)
def test_a_published_data_set_is_read_rightly_or_refused_with_a_command_that_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = LAYOUTS[name]
    if layout.needs:
        pytest.importorskip(layout.needs)
    root = tmp_path / "data_set"
    data = layout.draw(root)
    monkeypatch.chdir(root)
    assert wrong_reading(data, dict(layout.options), layout.allowed, root) == ""
