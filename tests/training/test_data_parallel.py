"""Two real processes over gloo, on 127.0.0.1, train and extract as one does."""

from __future__ import annotations

import json
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tests.commands import Started
from tests.drawings import write_folder
from tests.training import pair

from topwork.backbones import build
from topwork.features import cache

SECONDS = 600  # until a test that hangs is ended


@dataclass(frozen=True)
class Done:
    """What two processes have done, and one before and after them."""

    one: pair.Small
    place: Path
    results: list[dict[str, Any]]

    def end(self, name: str, rank: int) -> dict[str, torch.Tensor]:
        return safetensors.torch.load_file(self.place / f"{name}-{rank}.safetensors")


def _together(photos: Path, place: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = []
    try:
        for rank in ("0", "1"):
            environment = {**common, "RANK": rank, "LOCAL_RANK": rank}
            started.append(Started.context.Process(target=pair.main, args=(photos, place, environment)))
            started[-1].start()
        for process in started:
            process.join(SECONDS)
    finally:
        for process in started:
            process.kill()
            process.join()
    messages = [(place / f"output-{rank}").read_text() for rank in (0, 1)]
    assert [process.exitcode for process in started] == [0, 0], "\n".join(messages)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    place = tmp_path_factory.mktemp("replicas")
    photos = write_folder(place / "stripes")
    for image in sorted((photos / "class0").iterdir())[6:]:  # else class weights would all be 1
        image.unlink()
    (place / "two").mkdir()
    one = pair.Small(photos, place)
    one.stopped("logged", 5, **pair.LOGGED)
    shutil.copytree(place / "logged", place / "two" / "logged")
    one.stopped("left", pair.STOP, **pair.ADAMW)
    shutil.copytree(place / "left", place / "two" / "sharded-taken-over")
    threads = torch.get_num_threads()
    _together(photos, place / "two")
    yield Done(
        one, place / "two", [json.loads((place / "two" / f"results-{rank}.json").read_text()) for rank in (0, 1)]
    )
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", pair.SETTINGS)
def test_two_halves_of_a_batch_are_the_batch(done: Done, name: str) -> None:
    state, expected = done.one.train(name, **pair.SETTINGS[name])
    assert state.step >= (8 if name == "plain" else 4)
    for rank in (0, 1):
        losses = done.results[rank]["losses"][name]
        assert losses == pytest.approx([record.train_loss for record in state.history], abs=3e-5)
        torch.testing.assert_close(done.end(name, rank), expected, atol=3e-5, rtol=0)
    torch.testing.assert_close(done.end(name, 0), done.end(name, 1), atol=0, rtol=0)


def test_the_same_number_of_processes_resumes_bit_for_bit(done: Done) -> None:
    for rank in (0, 1):
        torch.testing.assert_close(done.end("broken", rank), done.end("plain", rank), atol=0, rtol=0)


@pytest.mark.parametrize("name", pair.SHARDED)
def test_a_model_that_is_sharded_over_two_processes_is_the_model(done: Done, name: str) -> None:
    state, expected = done.one.train(name.removeprefix("sharded-"), **pair.SHARDED[name])
    for rank in (0, 1):
        assert done.results[rank]["losses"][name] == pytest.approx([r.train_loss for r in state.history], abs=3e-5)
        torch.testing.assert_close(done.end(name, rank), expected, atol=3e-5, rtol=0)
    torch.testing.assert_close(done.end(name, 0), done.end(name, 1), atol=0, rtol=0)


def test_a_sharded_model_resumes_bit_for_bit(done: Done) -> None:
    for rank in (0, 1):
        torch.testing.assert_close(done.end("sharded-broken", rank), done.end("sharded-adamw", rank), atol=0, rtol=0)


def test_one_process_resumes_what_two_have_sharded(done: Done) -> None:
    _, expected = done.one.train("adamw", **pair.ADAMW)
    assert {path.name[:12] for path in (done.place / "sharded-left" / "checkpoints").glob("last-*/*.safetensors")} == {
        "shard-00001-",
        "shard-00002-",
    }
    shutil.copytree(done.place / "sharded-left", done.one.place / "unsharded")
    _, found = done.one.train("unsharded", **pair.ADAMW)
    torch.testing.assert_close(found, expected, atol=3e-5, rtol=0)


def test_a_save_that_fails_in_one_process_fails_in_both_and_leaves_nothing(done: Done) -> None:
    for result in done.results:
        full, blind = result["cannot"]
        assert "No space left on device" in full
        assert str(done.place / "full") in full
        assert "a file system that the machines share" in blind
    left = {path.name for fault in ("full", "blind") for path in (done.place / fault).iterdir()}
    assert left <= {".lock"}


def test_features_of_two_processes_are_the_files_of_one(done: Done) -> None:
    done.one.extract()

    def files(root: Path) -> dict[Path, bytes]:
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*") if path.suffix != cache.SECONDS}

    one, two = files(done.one.place / "features"), files(done.place / "features")
    assert len(one) == 4  # two views, each a key and a shard
    assert one == two


def test_synchronized_statistics_leave_the_network_as_it_is() -> None:
    network = build.create("tf_efficientnet_lite0", None, 32).module
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before, state = network(x), {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parameters = list(map(id, network.parameters()))
    network = build.convert_sync_batchnorm(network).eval()
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in network.modules())
    torch.testing.assert_close(network(x), before, atol=0, rtol=0)
    torch.testing.assert_close(dict(network.state_dict()), state, atol=0, rtol=0)
    assert list(map(id, network.parameters())) == parameters


def test_one_then_two_then_one_process_see_every_image_once_per_epoch(done: Done) -> None:
    log: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair.batches._Images, "__getitem__", pair.batches._Images.__getitem__)  # so that it is put back
        pair.note_images(log)
        fresh = pair.Small(done.one.photos, done.one.place)
        fresh.stopped("before", 5, **pair.LOGGED)  # what 'logged' did before the two
        shutil.copytree(done.place / "logged", done.one.place / "after")
        state, _ = fresh.train("after", **pair.LOGGED)
    everyone = Counter(log) + Counter(tuple(index) for result in done.results for index in result["log"])
    count = len(done.one.splits.ids["train"])
    assert everyone == {(epoch, image): 1 for epoch in (1, 2, 3) for image in range(count)}
    assert state.step == 3 * count // 2
    assert [len(result["log"]) for result in done.results] == [10, 10]
