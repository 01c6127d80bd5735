"""A network that is sharded over devices trains as itself. For two processes see ``test_data_parallel``."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn import functional

from topwork.backbones import build
from topwork.backbones.param_groups import blocks
from topwork.compute.devices import DeviceContext, resolve
from topwork.core.config import ComputeConfig
from topwork.training.fully_sharded import FullySharded
from topwork.training.image_task import Classifier

QUICK = ("test_convnext", "test_efficientnet_ln", "test_mambaout", "test_nfnet", "test_resnet", "test_vit_relpos")
FAMILIES = (*QUICK, "test_maxvit", "test_vit", "coat_tiny")  # ``make torture`` trains them all


@pytest.fixture(scope="module")
def compute() -> Iterator[DeviceContext]:
    with one_process() as alone:
        yield alone


@contextlib.contextmanager
def one_process() -> Iterator[DeviceContext]:
    """A group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield resolve(ComputeConfig(device="cpu", precision="float32", workers=0))[0]
    dist.destroy_process_group()


def _trained(model: nn.Module, parameters: list[torch.Tensor], images: torch.Tensor) -> list[float]:
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, foreach=True)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), torch.tensor([0, 2]))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view")  # what would follow, this test would see
@pytest.mark.parametrize("name", QUICK)
def test_a_sharded_network_trains_as_the_network(name: str, compute: DeviceContext) -> None:
    check_training(name, compute)


def check_training(name: str, compute: DeviceContext) -> None:
    backbone = build.create(name, None, 64 if name == "coat_tiny" else None, 1)
    torch.manual_seed(1)
    model = Classifier(backbone.module, nn.Linear(backbone.feature_dim, 3)).eval()  # no dropout, no stochastic depth
    size, default = backbone.spec.size, copy.deepcopy(model)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    expected = _trained(default, list(default.parameters()), images)
    groups = [{"params": list(model.parameters())}]
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    sharded = FullySharded(model, groups, compute)
    assert _trained(model, groups[0]["params"], images) == expected
    best = sharded.to_cpu(model.state_dict())
    torch.testing.assert_close(best, dict(default.state_dict()), atol=0, rtol=0)
    assert any(not torch.equal(best[key], value) for key, value in kept.items())
    sharded.finish(best)
    torch.testing.assert_close(model(images), default(images), atol=0, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_blocks_come_inner_first_and_each_once(name: str) -> None:
    module = build.create(name, None, None, 1).module
    found = blocks(module)
    assert len(found) == len(set(found)) >= (0 if name == "coat_tiny" else 4)  # all of its blocks share weights
    for place, block in enumerate(found):
        assert not set(block.modules()) & set(found[place + 1 :])
        outside = {
            id(p) for split in module.modules() if split not in set(block.modules()) for p in split._parameters.values()
        }
        assert not outside & {id(parameter) for parameter in block.parameters()}
    held = {id(parameter) for block in found for parameter in block.parameters()}
    left = [parameter for parameter in module.parameters() if id(parameter) not in held]
    if name in {"test_vit", "test_convnext", "test_maxvit"}:  # others have large layers before and behind their blocks
        assert sum(p.numel() for p in left) < 0.3 * sum(p.numel() for p in module.parameters())
