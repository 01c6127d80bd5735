"""Parts of the training core against independent references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.drawings import draw

from topwork.backbones import build
from topwork.compute.devices import keep_depthwise_in_float32, resolve
from topwork.core import seeds
from topwork.core.artifacts import InputSpec
from topwork.core.config import ComputeConfig
from topwork.core.image_ref import ImageRef
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.batches import Targets, TrainBatches, eval_batches
from topwork.data.transforms import Mixer, TrainTransform, eval_transform, normalize
from topwork.training import loop, plan
from topwork.training.state import EMA

SPEC = InputSpec(32, 36, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@given(st.integers(1, 500), st.floats(0, 0.9))
def test_the_learning_rate_rises_then_falls(total: int, warmup: float) -> None:
    factors = [loop.lr_factor(step, total, warmup) for step in range(total)]
    assert all(0 < lr_factor <= 1 for lr_factor in factors)
    top = int(np.argmax(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_the_cosine_is_torchs() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for step in range(50):
        assert loop.lr_factor(step, 50, 0.0) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        reference.step()


@given(st.integers(1, 200_000))
def test_auto_epochs_stay_within_limits(images: int) -> None:
    assert 5 <= plan.auto_epochs(images, 5, 40) <= 40


def test_averages_are_a_running_mean_at_first_and_then_forget() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    ema = EMA(layer, 0.5)
    value = float(layer.weight.detach())
    for step, new in enumerate((1.0, 3.0, -2.0, 8.0), 1):
        layer.weight.data.fill_(new)
        ema.update(step)
        decay = min(0.5, step / (step + 9))
        value = decay * value + (1 - decay) * new
    assert float(ema.evaluated()["weight"]) == pytest.approx(value)


@given(st.integers(0, 2**31), st.integers(0, 100), st.integers(1, 300))
def test_an_order_is_a_permutation_and_a_function_of_seed_and_epoch(seed: int, epoch: int, count: int) -> None:
    order = seeds.epoch_permutation(seed, epoch, count)
    assert sorted(order) == list(range(count))
    assert (order == seeds.epoch_permutation(seed, epoch, count)).all()
    if count > 20:
        assert (order != seeds.epoch_permutation(seed, epoch + 1, count)).any()


def _folder(tmp_path: Path, count: int) -> list[str]:
    names = [f"{i:02d}.png" for i in range(count)]
    for i, name in enumerate(names):
        draw(i % 3, i).save(tmp_path / name)
    return names


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_workers_nor_on_where_an_epoch_is_entered(tmp_path: Path, workers: int) -> None:
    names = _folder(tmp_path, 11)
    refs = {name: ImageRef(str(tmp_path), name) for name in names}
    config = ImageTrainingConfig(randaugment=7, batch_size=4)

    def batches(workers: int) -> TrainBatches:
        transform = TrainTransform(config, SPEC, 24, seed=5)
        return TrainBatches(refs, names, Targets(np.arange(11), 11), SPEC, transform, 4, 5, workers)

    whole = list(batches(0).epoch(3))
    rest = list(batches(workers).epoch(3, first=1))
    assert len(whole) == 2
    assert len(rest) == 1
    assert torch.equal(whole[1][0], rest[0][0])
    assert torch.equal(whole[1][1], rest[0][1])
    assert not torch.equal(whole[0][0], next(iter(batches(0).epoch(4)))[0])


def test_evaluation_batches_have_one_shape_and_every_image_once(tmp_path: Path) -> None:
    names = _folder(tmp_path, 7)
    micro_batches = list(eval_batches({name: ImageRef(str(tmp_path), name) for name in names}, names, SPEC, 4, 0))
    assert [tuple(pixels.shape) for pixels, _ in micro_batches] == [(4, 3, 32, 32)] * 2
    assert [count for _, count in micro_batches] == [4, 3]
    alone = eval_transform(Image.open(tmp_path / names[5]).convert("RGB"), SPEC)
    assert torch.equal(micro_batches[1][0][1], alone)


def test_augmentation_leaves_the_global_random_state_alone() -> None:
    transform = TrainTransform(ImageTrainingConfig(), SPEC, 24, seed=1)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = transform(draw(0, 0), 1, "a")
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, transform(draw(0, 0), 1, "a"))
    assert not torch.equal(first, transform(draw(0, 0), 2, "a"))


@pytest.mark.parametrize(("flip", "corners"), [("none", 1), ("horizontal", 2), ("both", 4)])
def test_a_corner_comes_to_lie_where_the_flips_allow(flip: str, corners: int) -> None:
    config = ImageTrainingConfig.model_validate({"flip": flip, "min_crop_area": 1.0})
    transform = TrainTransform(config, SPEC, 24, seed=1)
    image = Image.new("RGB", (48, 48))
    image.paste((255, 0, 0), (0, 0, 16, 16))
    seen = set()
    for epoch in range(40):
        red = transform(image, epoch, "a")[0].float()
        seen.add((int(red[:12].sum() < red[12:].sum()), int(red[:, :12].sum() < red[:, 12:].sum())))
    assert len(seen) == corners


def test_wide_images_are_seen_from_end_to_end() -> None:
    wide = Image.new("RGB", (400, 50))
    wide.paste((255, 0, 0), (30, 0, 60, 50))
    wide.paste((0, 0, 255), (340, 0, 370, 50))
    pixels = eval_transform(wide, SPEC)
    assert int(pixels[0].max()) > 200
    assert int(pixels[2].max()) > 200


def test_mixing_gives_probabilities_and_is_a_function_of_the_step() -> None:
    mixer = Mixer(ImageTrainingConfig(mixup=0.4, cutmix=1.0), 3, seed=2)
    x, target = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    mixed, probabilities = mixer(x.clone(), target, 5)
    assert torch.equal(mixed, mixer(x.clone(), target, 5)[0])
    torch.testing.assert_close(probabilities.sum(1), torch.ones(6))
    plain, same = Mixer(ImageTrainingConfig(), 3, seed=2)(x, target, 5)
    assert plain is x
    assert same is target


def test_faster_training_computes_the_same_gradients() -> None:
    """Depthwise convolutions in float32 inside bfloat16: the names stay, gradients err like bfloat16's own."""
    compute, _ = resolve(ComputeConfig(device="cpu", precision="bfloat16", workers=0, threads=1))
    x = normalize(torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8), SPEC, compute.device)

    def gradients(autocast: bool, fast: bool) -> tuple[list[str], torch.Tensor]:
        module = build.create("tf_efficientnet_lite0", None, 32, seed=1).module
        if fast:
            keep_depthwise_in_float32(module, compute)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            module(x).float().square().mean().backward()
        return list(module.state_dict()), torch.cat([p.grad.flatten() for p in module.parameters()])

    names, exact = gradients(False, False)
    fast_names, fast = gradients(True, True)
    _, slow = gradients(True, False)
    assert names == fast_names
    assert float((fast - exact).norm()) > 0  # something did run in bfloat16
    assert float((fast - exact).norm()) <= 1.5 * float((slow - exact).norm())


@given(st.integers(2, 60), st.integers(1, 10), st.integers(1, 10))
def test_crops_grow_from_epoch_to_epoch_to_their_full_size(epochs: int, first: int, last: int) -> None:
    first, last = sorted((32 * first, 32 * last))
    config = ImageTrainingConfig(epochs=epochs, resize_from=first)
    transform = TrainTransform(config, SPEC, last, seed=1)
    sizes = [transform.size(epoch) for epoch in range(1, epochs + 1)]
    assert sizes == sorted(sizes)
    assert sizes[0] == first
    assert sizes[-1] == last
    assert transform(draw(0, 0), 1, "a").shape == (3, first, first)


def test_without_it_all_crops_have_one_size() -> None:
    transform = TrainTransform(ImageTrainingConfig(epochs=9), SPEC, 24, seed=1)
    assert {transform.size(epoch) for epoch in range(1, 10)} == {24}
