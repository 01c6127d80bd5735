"""Deletion: its numbers by hand on a network that can be reckoned with, and what it says about good and bad maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn

from topwork.core.artifacts import InputSpec
from topwork.core.errors import UsageError
from topwork.core.predictions import softmax
from topwork.explain.attribution import ClassActivationMaps, class_activation_maps
from topwork.explain.faithfulness import FRACTIONS, blur, deletion, margins
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.layers import list_layers

SIZE = 64
CLASSES = 3


class _Corner(nn.Module):
    """Its features are of the upper right corner only, 16 x 16 of 64 x 64 pixels, seen in the layer ``places``."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Conv2d(3, 6, 8, stride=8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.places(x).relu()[:, :, :2, 6:].mean((2, 3))


def _subject(seed: int = 0) -> InspectedModel:
    torch.manual_seed(seed)
    module, head = _Corner().eval().requires_grad_(False), nn.Linear(6, CLASSES).eval()
    spec = InputSpec(SIZE, SIZE, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return InspectedModel("mlp", "pretrained", module, head, ("a", "b", "c"), spec, "planted", "logit", softmax)


def _photo(seed: int = 1) -> torch.Tensor:
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def _maps(values: np.ndarray, classes: tuple[int, ...]) -> ClassActivationMaps:
    values = np.broadcast_to(values, (1, len(classes), *values.shape)).astype(np.float32)
    none = np.zeros((1, len(classes)))
    return ClassActivationMaps("places", "planted", classes, values, none, False, none)


def _at_corner(cells: int = 8) -> np.ndarray:
    values = np.zeros((cells, cells))
    values[: cells // 4, -cells // 4 :] = 1
    return values


def _lead(subject: InspectedModel, x: torch.Tensor, k: int) -> float:
    with torch.inference_mode():
        scores = subject.score(x)[0].double().numpy()
    return float(scores[k] - np.delete(scores, k).mean())


def test_what_is_marked_goes_first_and_the_numbers_are_those_by_hand() -> None:
    subject, x = _subject(), _photo()
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    slope = (columns * SIZE - rows).astype(np.float64)  # as fine as the photo, so that nothing is between pixels
    ((first, second),) = deletion(subject, x, [_maps(slope, (2, 0))])
    away = blur(x, SIZE / 12)
    order = sorted(range(SIZE * SIZE), key=lambda i: -slope.flat[i])
    for k, found in ((2, first), (0, second)):
        assert found.fractions == FRACTIONS
        lead, lost = _lead(subject, x, k), _lead(subject, x, k) - _lead(subject, away, k)
        assert found.drop_all * found.scale == pytest.approx(lost, rel=1e-5)
        for fraction, share in zip(FRACTIONS, found.drop_marked, strict=True):
            gone = x.clone().flatten(2)
            chosen = order[: round(fraction * SIZE * SIZE)]
            gone[:, :, chosen] = away.flatten(2)[:, :, chosen]
            fall = lead - _lead(subject, gone.view_as(x), k)
            assert share * found.scale == pytest.approx(fall, abs=1e-5)
        assert found.scale == pytest.approx(max(abs(lost), max(map(abs, found.drop_random)) * found.scale))


def test_the_corner_beats_random_pixels_and_the_other_corner_does_not() -> None:
    subject, x = _subject(), _photo()
    best = max(range(CLASSES), key=lambda k: _lead(subject, x, k) - _lead(subject, blur(x, SIZE / 12), k))
    good, bad = _maps(_at_corner(), (best,)), _maps(_at_corner()[::-1, ::-1], (best,))
    ((right,), (wrong,)) = deletion(subject, x, [good, bad])
    assert right.drop_all == 1
    assert right.drop_marked[2:] == pytest.approx((1, 1, 1), abs=0.02)  # the corner is a sixteenth
    assert wrong.drop_marked[:2] == pytest.approx((0, 0), abs=1e-6)
    assert right.drop_random == wrong.drop_random  # one set of random pixels for all
    assert np.mean(right.drop_marked) > 2 * np.mean(right.drop_random)
    assert np.mean(wrong.drop_marked) < np.mean(right.drop_marked) / 2


def test_a_real_map_of_planted_networks_beats_random_pixels() -> None:
    better = []
    for seed in range(8):
        subject, x = _subject(seed), _photo(seed + 10)
        maps = class_activation_maps(subject, x, range(CLASSES), list_layers(subject.backbone, x)[0], "recipro-cam")
        ((*found,),) = deletion(subject, x, [maps])
        better += [np.mean(one.drop_marked) - np.mean(one.drop_random) for one in found if one.drop_all > 0.9]
    assert len(better) >= 4
    assert min(better) > 0
    assert np.mean(better) > 0.3


def test_random_pixels_are_as_many_and_reproducible_and_shared_by_equal_grids() -> None:
    subject, x = _subject(), _photo()
    seen: list[torch.Tensor] = []
    hook = subject.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    maps = [_maps(_at_corner(), (0, 1)), _maps(_at_corner()[::-1], (2,)), _maps(_at_corner(32), (1,))]
    found = deletion(subject, x, maps)
    hook.remove()
    assert [len(one) for one in found] == [2, 1, 1]
    assert max(map(len, seen)) <= 16
    each = len(FRACTIONS)
    assert sum(map(len, seen)) == 2 + (3 + 2 + 1) * each + (3 + 1) * each  # random ones for 8 x 8 and for 14 x 14
    assert found == deletion(subject, x, maps)
    assert found[0][0].drop_random != deletion(subject, x, maps, seed=1)[0][0].drop_random
    changed = (torch.cat(seen)[2:17] != x).any(dim=1).float().mean(dim=(1, 2))
    np.testing.assert_allclose(changed.reshape(3, each), np.broadcast_to(FRACTIONS, (3, each)), atol=1e-3)
    tenth = (torch.cat(seen)[3] != x[0]).any(dim=0).float()
    cells = tenth.unfold(0, 8, 8).unfold(1, 8, 8).mean(dim=(2, 3)).flatten()
    assert int(((cells > 0) & (cells < 1)).sum()) <= 1  # whole cells but for the last
    assert int((cells > 0).sum()) == 7  # a tenth of 64, begun


def test_a_map_that_says_nothing_is_as_good_as_random_pixels() -> None:
    subject, x = _subject(), _photo()
    seen: list[torch.Tensor] = []
    hook = subject.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    deletion(subject, x, [_maps(np.full((8, 8), 0.25), (0,))])
    hook.remove()
    each, images = len(FRACTIONS), torch.cat(seen)
    assert torch.equal(images[-each:], images[2 : 2 + each])  # the first draw


def test_a_photo_without_any_detail_has_nothing_to_lose() -> None:
    subject = _subject()
    for x in (torch.zeros(1, 3, SIZE, SIZE), torch.full((1, 3, SIZE, SIZE), 1.7)):
        ((found,),) = deletion(subject, x, [_maps(_at_corner(), (1,))])
        assert np.isfinite([*found.drop_marked, *found.drop_random, found.drop_all, found.scale]).all()
        assert np.abs([*found.drop_marked, *found.drop_random, found.drop_all]).max() < 0.05
    assert subject.head is not None
    for parameter in subject.head.parameters():
        nn.init.zeros_(parameter)  # all scores are 0
    ((found,),) = deletion(subject, _photo(), [_maps(_at_corner(), (1,))])
    assert found.drop_marked == found.drop_random == (0, 0, 0, 0, 0)


def test_shares_are_bounded_when_the_blurred_photo_happens_to_have_the_same_score() -> None:
    subject, x = _subject(), _photo()
    assert isinstance(subject.head, nn.Linear)
    with torch.no_grad():
        before, after = subject.backbone(x)[0], subject.backbone(blur(x, SIZE / 12))[0]
        change = before - after
        row = torch.randn(6, generator=torch.Generator().manual_seed(5))
        subject.head.weight.zero_()
        subject.head.weight[0] = row - (row @ change) / (change @ change) * change
    ((found,),) = deletion(subject, x, [_maps(_at_corner(), (0,))])
    assert abs(found.drop_all) < 0.01
    assert max(map(abs, found.drop_random)) == pytest.approx(1)


def test_leads_are_scores_less_the_mean_of_the_others() -> None:
    np.testing.assert_allclose(margins(np.array([[3.0, 1.0, 2.0]])), [[1.5, -1.5, 0]])
    np.testing.assert_allclose(margins(np.array([[3.0, 1.0], [0, 4]])), [[2, -2], [-4, 4]])
    np.testing.assert_allclose(margins(np.array([[3.0]])), [[3]])


def test_blur_is_a_gaussian_and_keeps_even_photos() -> None:
    x = _photo().double()
    expected = gaussian_filter1d(gaussian_filter1d(x.numpy(), 3, axis=2, mode="constant"), 3, axis=3, mode="constant")
    inner = slice(24, 40)  # the borders differ: there the weights are divided by their sum
    found = blur(x, 3).numpy()
    np.testing.assert_allclose(found[..., inner, inner], expected[..., inner, inner], atol=1e-4)
    even = torch.full((1, 3, SIZE, SIZE), 1.7)
    torch.testing.assert_close(blur(even, 5), even)


def test_more_than_one_photo_is_refused() -> None:
    subject, x = _subject(), _photo()
    with pytest.raises(UsageError, match="one image"):
        deletion(subject, torch.cat([x, x]), [_maps(_at_corner(), (0,))])
    two = class_activation_maps(subject, torch.cat([x, x]), (0,), list_layers(subject.backbone, x)[0])
    with pytest.raises(UsageError, match="one image"):
        deletion(subject, x, [two])
