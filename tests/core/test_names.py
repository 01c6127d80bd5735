"""Names of any script, bytes that are no text, and addresses with credentials, in folders, files and pages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.drawings import write_folder
from tests.report.conftest import write_comparison

from topwork.core import config, storage
from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import Config
from topwork.core.image_ref import ImageRef
from topwork.core.names import slug
from topwork.core.progress import Progress, printable, redact
from topwork.core.run_folders import resolve_output_folder
from topwork.pipeline.check import check
from topwork.report.render import write_report

SECRETS = [
    ("https://user:pw-SECRET@host/train-{0..2}.tar", "https://***@host/train-{0..2}.tar"),
    ("https:/user:pw-SECRET@host/a.tar", "https:/***@host/a.tar"),
    ("simplecache::s3://AKIA:SECRET@bucket/a.tar", "simplecache::s3://***@bucket/a.tar"),
    ("https://acc.blob.core.windows.net/c/a.tar?sv=1&sig=SECRET%3D", "https://acc.blob.core.windows.net/c/a.tar?***"),
    ("'https://h/a?sig=SECRET' and 'https://h/b?key=SECRET'", "'https://h/a?***' and 'https://h/b?***'"),
]


@pytest.mark.parametrize(("text", "shown"), SECRETS)
def test_addresses_lose_their_credentials(text: str, shown: str) -> None:
    assert redact(text) == printable(text) == shown


@pytest.mark.parametrize(
    "text",
    ["https://host/a.tar", "mail a@b.c", "Serving http://127.0.0.1:8000/#token=x", "C:/a?b@c", "is it s3://b/c?"],
)
def test_other_text_stays(text: str) -> None:
    assert redact(text) == text


def test_no_credential_reaches_a_log_a_table_or_a_page(tmp_path: Path) -> None:
    address = SECRETS[0][0].replace("{0..2}", "0")
    log = Progress(quiet=True)
    log.log_file = tmp_path / "train.log"
    log.log(f"Reading {address}")
    row = ImageRow("train-0.tar/a/1.jpg", "a", ref=ImageRef(address, "a/1.jpg"))
    Manifest(tmp_path, (row,), address).write(tmp_path / "manifest.csv")
    assert "https://***@host/train-0.tar" in (tmp_path / "manifest.csv").read_text()
    run = write_comparison(tmp_path / "run", finished=("svm",))
    info = storage.read_json(run / "run.json")
    info["details"]["command"] = f"topwork compare {address}"
    info["details"]["data"] |= {"name": address, "note": address}
    storage.write_json(run / "run.json", info)
    storage.write_text(run / "config.toml", f'path = "{address}"')
    write_report(run)
    assert "https://***@host/train-0.tar" in (run / "report.html").read_text()
    as_given = {run / "run.json", run / "config.toml"}  # a resume needs the address
    for path in set(tmp_path.rglob("*")) - as_given:
        assert not path.is_file() or b"SECRET" not in path.read_bytes(), path


def test_names_of_any_script_give_folders_of_their_own() -> None:
    names = [
        "\u732b",
        "\u72ac",
        "\u0633\u06af",
        "\u0642\u0637",
        "\U0001f408",
        "\U0001f415",
        "?",
        "!",
        "\udcff",
        "\udcfe",
        "a",
        "a?b",
        "a!b",
    ]
    made = [slug(name) for name in names]
    assert len({*made[:11]}) == 11
    assert made[0] == "\u732b"
    assert all(name.encode() and "/" not in name for name in made)
    assert slug("Cafe\u0301") == slug("Caf\u00e9") == "Caf\u00e9"


def test_two_data_sets_of_one_name_are_checked_in_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sets = [write_folder(tmp_path / name, classes=2, each=2) for name in ("a/\u732b", "b/\u732b", "a/\u72ac")]
    paths = [check(data, quick=True, quiet=True).path for data in sets]
    assert list(map(str, paths)) == ["runs/\u732b-check", "runs/\u732b-check-2", "runs/\u72ac-check"]
    assert check(sets[0], quick=True, quiet=True).path == paths[0], "the same data are checked in the same folder again"
    assert resolve_output_folder(slug("\u732b"), None, False, False) == Path("runs/\u732b")


@pytest.mark.skipif(sys.platform == "darwin" or os.name == "nt", reason="names are Unicode there")
def test_a_path_that_is_not_utf8_comes_back_from_our_own_configuration(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"photos-\xff")
    data = write_folder(Path(os.fsdecode(folder)), classes=2, each=2)
    written = config.validate(Config, {"data": {"path": str(data)}, "strategies": ["svm"]})
    config.write(written, tmp_path / "config.toml")
    assert config.read(tmp_path / "config.toml") == written
    assert check(data, quick=True, quiet=True, out=tmp_path / "out").problems is not None
