"""One model sharded over several devices: weights, gradients, averages and optimizer state.

FSDP2, torch's ``fully_shard``: the weights of a block are gathered before it computes and freed after it.
Zhao et al. 2023, "PyTorch FSDP" (arXiv 2304.11277), after ZeRO, Rajbhandari et al. 2020 (arXiv 1910.02054).
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from topwork.backbones.param_groups import blocks
from topwork.compute import collectives
from topwork.compute.devices import DeviceContext
from topwork.compute.ranks import world
from topwork.training.data_parallel import DataParallel, Forward
from topwork.training.state import Tensors


class FullySharded(DataParallel):
    """A model whose children are replaced by sharded copies while it is trained.

    Args:
        model: Its parts (backbone, head) are called one by one. They come back with ``finish``.
        groups: Parameter groups; they get the parameters of the copies.
        compute: The device.
    """

    def __init__(self, model: nn.Module, groups: list[dict[str, Any]], compute: DeviceContext) -> None:
        self._device = compute.device
        self._originals = {name: part.cpu() for name, part in model.named_children()}
        names = {parameter: name for name, parameter in model.named_parameters()}
        mesh = init_device_mesh(compute.device.type, (world().size,))
        for name, part in self._originals.items():
            own = copy.deepcopy(part).to(memory_format=torch.contiguous_format)  # shards are rows
            for block in [*blocks(own), own]:
                fully_shard(block, mesh=mesh, reshard_after_forward=True)
            setattr(model, name, own)
            # features are often a view; torch warns in case a later step changes it in place, and none does
            warnings.filterwarnings("ignore", rf"FSDP2-wrapped module \({type(own).__name__}\) returned a view")
        parameters = dict(model.named_parameters())
        for group in groups:
            group["params"] = [parameters[names[parameter]] for parameter in group["params"]]
        super().__init__(model, None, shared=True)

    def _wrap(self, model: nn.Module, forward: Forward) -> Forward:
        return forward  # the sharded children do it

    def to_cpu(self, tensors: Tensors) -> Tensors:
        """Full tensors on the CPU in rank 0; all processes must call it."""
        found = {}
        for name, tensor in tensors.items():
            value = collectives.full_tensor(tensor)
            if self.world.is_main:
                found[name] = value
        return found

    def finish(self, kept: Tensors) -> None:
        """Restore the original children with the weights of rank 0."""
        for name, part in self._originals.items():
            setattr(self._model, name, part)
        if self.world.is_main:
            self._model.load_state_dict(kept)
        collectives.broadcast_tensors(self._model.state_dict().values())
        self._model.to(self._device)
