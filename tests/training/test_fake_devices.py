"""Every strategy, ``predict``, ``export`` and ``show`` on a GPU that is not there, and the faults that it notices."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.drawings import write_folder
from tests.fake_device import FakeDevice, fake_device
from torch import nn

import topwork
from topwork.backbones import batchnorm_fusion
from topwork.compute import devices
from topwork.compute.devices import DeviceContext
from topwork.core.errors import UsageError
from topwork.inference.export import exporter
from topwork.linear.heads import LinearHead
from topwork.strategies import STRATEGIES
from topwork.training import plan

SETS = ("scratch.epochs=1", "finetune.epochs=1", "mlp.epochs=2", "scratch.batch_size=8", "finetune.batch_size=8")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("few") / "photos", classes=2, each=10)


@pytest.mark.parametrize("kind", ["mps", "cuda"])
def test_every_strategy_trains_predicts_exports_and_is_shown(
    kind: str, few: Path, tmp_path: Path, tiny_network: dict[str, Any]
) -> None:
    names = list(STRATEGIES) if kind == "mps" else ["mlp"]  # networks follow below
    with fake_device(kind) as fake:
        done = topwork.compare(
            few, out=tmp_path / "run", strategies=names, device=kind, img_size=32, workers=0, threads=1, quiet=True,
            sets=(*SETS, "svm.tta=true"), learning_curve=["none"], **tiny_network,
        )  # fmt: skip
        assert fake.operations > 1000
        for run in done:
            [prediction] = topwork.predict(run.path, next(few.rglob("*.png")), device=kind, workers=0, engine="torch")
            assert prediction.probability
            exported = topwork.export(run.path, "torch-export", quiet=True)
            assert exported.agreement.within_tolerance
        shown = topwork.show(tmp_path / "run" / names[-1], device=kind, quick=True, photos=1, quiet=True)
        assert shown.path.is_file()
    assert {run.status for run in done} == {"done"}


def test_frozen_stages_and_minutes(
    few: Path, tmp_path: Path, tiny_network: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(DeviceContext, "synchronize", lambda compute: asked.append(compute.device.type))
    with fake_device("cuda"):
        for number, words in enumerate((("finetune.freeze_stages=2", "finetune.views=1", "finetune.epochs=1"), ())):
            minutes = {} if words else {"minutes": 0.01, "epochs": 1}
            topwork.train(
                few, "finetune" if words else "scratch", out=tmp_path / str(number), device="cuda", img_size=32,
                workers=0, threads=1, quiet=True, sets=(*words, *(() if words else ("scratch.batch_size=8",))),
                **minutes, **tiny_network,
            )  # fmt: skip
    assert len(asked) >= 3, "the time is read after the device has done its work"


def planted_wrong_device(fake: FakeDevice) -> None:
    nn.Linear(2, 2).to(fake.device)(torch.zeros(1, 2))


def planted_float64(fake: FakeDevice) -> None:
    torch.zeros(2, dtype=torch.float64).to(fake.device)


def planted_double(fake: FakeDevice) -> None:
    torch.zeros(2).to(fake.device).double()


def planted_numpy(fake: FakeDevice) -> None:
    torch.zeros(2, device=fake.device).numpy()


def planted_head(fake: FakeDevice) -> None:
    LinearHead(head_tensors()).to(fake.device)


def planted_fusion(fake: FakeDevice) -> None:
    """As it was: the network has moved, and the image has not."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval().to(fake.device)
    batchnorm_fusion._pairs(module, torch.randn(1, 3, 8, 8))


def planted_export(fake: FakeDevice) -> None:
    exporter._export_float32(None, nn.Linear(2, 2).to(fake.device), None, None, {})  # pyrefly: ignore


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (planted_wrong_device, "cuda"), (planted_wrong_device, "mps"), (planted_float64, "mps"),
        (planted_double, "mps"), (planted_numpy, "cuda"), (planted_head, "mps"), (planted_fusion, "cuda"),
        (planted_export, "mps"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_noticed(fault: Any, kind: str) -> None:
    with fake_device(kind) as fake, pytest.raises((RuntimeError, TypeError), match=r"same device|float64|numpy"):
        fault(fake)


def head_tensors() -> dict[str, torch.Tensor]:
    return {
        "mean": torch.zeros(3), "scale": torch.tensor(1.0), "weight": torch.randn(2, 3, dtype=torch.float64),
        "bias": torch.zeros(2, dtype=torch.float64),
    }  # fmt: skip


def test_what_is_moved_to_an_apple_gpu_gives_the_same_scores() -> None:
    x, head = torch.randn(4, 3), LinearHead(head_tensors())
    expected = head(x)
    with fake_device("mps") as fake:
        assert devices.move(head, fake.device)(x.to(fake.device)).cpu().double().allclose(expected, atol=1e-5)


def test_a_network_is_fused_wherever_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    with fake_device("cuda") as fake:
        fused = batchnorm_fusion.fuse_batchnorm(module.to(fake.device), 8)
        assert next(fused.parameters()).device.type == "cpu"


def test_waiting_for_the_device_is_counted() -> None:
    with fake_device("cuda") as fake:
        x = torch.ones(3, device=fake.device)
        assert fake.waits == 0
        float(x.sum())
        DeviceContext(fake.device, "float32", 0, 1, "").synchronize()
    assert fake.waits == 2


def test_no_process_exchanges_statistics_while_it_alone_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """SyncBatchNorm in training mode would wait for the other processes."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.SyncBatchNorm(2), nn.Flatten(), nn.LazyLinear(2))
    model.eval()(torch.zeros(1, 3, 8, 8))
    seen = []
    model[1].register_forward_pre_hook(lambda layer, _: seen.append(layer.training))

    class Context:
        compute = DeviceContext(torch.device("cpu"), "float32", 0, 1, "")
        spec = type("Spec", (), {"size": 8, "mean": (0.0,) * 3, "std": (1.0,) * 3})
        splits = type("Splits", (), {"ids": {"val": ("a",)}})

    class Batches:
        def __len__(self) -> int:
            return 2

        def epoch(self, epoch: int) -> Any:
            return itertools.repeat((torch.zeros(2, 3, 8, 8), torch.tensor([0, 1])), 2)

    task = plan.TrainingTask(model, [{"params": [*model.parameters()]}], Batches(), lambda b, _: b, lambda: None)  # pyrefly: ignore
    monkeypatch.setattr(plan, "make_optimizer", lambda groups, config: torch.optim.SGD(groups, 0.1))
    assert plan.seconds_per_epoch(task, None, Context()) > 0  # pyrefly: ignore
    assert seen
    assert not any(seen)


@pytest.mark.parametrize(("requested", "parallel"), [("auto", 3), ("cuda:1", 2)])
def test_more_trainings_than_gpus_are_refused_early(
    requested: str, parallel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    compute = DeviceContext(torch.device("cuda", 0), "float32", 0, 1, "")
    with pytest.raises(UsageError, match=r"there are 2|leave out --device cuda:1"):
        devices.check_parallel(compute, requested, parallel)
    devices.check_parallel(compute, "auto", 2)
    devices.check_parallel(DeviceContext(torch.device("cpu"), "float32", 0, 1, ""), "auto", 9)
