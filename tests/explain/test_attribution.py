"""Class maps: against networks cut by hand, autograd and brute force; and what they leave behind, in every family."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from topwork.backbones import build
from topwork.core.artifacts import InputSpec
from topwork.core.errors import MissingDependency, UnknownName, UsageError
from topwork.core.predictions import softmax
from topwork.explain.attribution import METHODS, ClassActivationMaps, class_activation_maps
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.layers import Layer, list_layers, select_stages
from topwork.linear.heads import LinearHead, RBFHead
from topwork.linear.normalize import NormalizerModule

FAMILIES = [  # and whether Recipro-CAM is tried as well
    ("resnet10t", True),
    ("resnext26ts", False),
    ("tf_efficientnet_lite0", True),
    ("mobilenetv3_small_050", False),
    ("convnext_atto", False),
    ("regnetx_002", False),
    ("densenet121", False),
    ("vit_tiny_patch16_224", True),
    ("deit_tiny_distilled_patch16_224", False),
    ("swin_tiny_patch4_window7_224", True),
    ("maxvit_rmlp_pico_rw_256", False),
    ("mixer_s32_224", True),
]
FOUR = (0, 1, 2, 3)


def _images(size: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def _subject(
    module: nn.Module, head: nn.Module | None, classes: int, size: int, model: str = "made up"
) -> InspectedModel:
    spec = InputSpec(size, size, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    names = tuple(f"class {k}" for k in range(classes))
    module.eval().requires_grad_(False)  # frozen, as in a run
    return InspectedModel("svm", "pretrained", module, head and head.eval(), names, spec, model, "logit", softmax)


def _network(model: str, size: int) -> tuple[nn.Module, int]:
    """A random network whose branches all count: timm starts some with a scale of 0 or 1e-6."""
    try:
        made = build.create(model, None, size)
    except UsageError:  # takes only its own size
        made = build.create(model, None)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in made.module.parameters():
            if parameter.ndim == 1 and parameter.abs().max() < 1e-3:
                parameter.normal_(0, 0.3, generator=generator)
    return made.module, made.feature_dim


def _linear(features: int, classes: int) -> nn.Linear:
    generator, head = torch.Generator().manual_seed(3), nn.Linear(features, classes)
    with torch.no_grad():
        head.weight.normal_(generator=generator)
        head.bias.normal_(generator=generator)
    return head


def _svm(features: int, classes: int) -> LinearHead:
    """A linear SVM with random numbers; one row of weights for two classes, as it is fitted."""
    rng = np.random.default_rng(4)
    rows = 1 if classes == 2 else classes
    tensors = {"mean": rng.normal(size=features).astype(np.float32), "scale": np.array(0.7)}
    tensors |= {"weight": rng.normal(size=(rows, features)), "bias": rng.normal(size=rows)}
    return LinearHead({name: torch.from_numpy(np.asarray(a)) for name, a in tensors.items()})


def _rbf(features: int, classes: int) -> RBFHead:
    """An SVM with the RBF kernel and random numbers, three support vectors of each class."""
    rng = np.random.default_rng(4)
    pairs = classes * (classes - 1) // 2
    tensors = {"mean": rng.normal(size=features).astype(np.float32), "scale": np.array(0.7)}
    tensors |= {"support": rng.normal(size=(3 * classes, features)), "gamma": np.array(0.1 / features)}
    tensors |= {"dual": rng.normal(size=(classes - 1, 3 * classes)), "bias": rng.normal(size=pairs)}
    tensors |= {"counts": np.full(classes, 3)}
    return RBFHead({name: torch.from_numpy(np.asarray(a)) for name, a in tensors.items()})


def _layer(subject: InspectedModel, name: str, size: int) -> Layer:
    return {layer.name: layer for layer in list_layers(subject.backbone, _images(size, 1))}[name]


def _close(found: np.ndarray, expected: np.ndarray | torch.Tensor, share: float = 1e-5) -> None:
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * np.abs(expected).max())


def _check_untouched(subject: InspectedModel, thawed: set[str]) -> None:
    for name, parameter in subject.backbone.named_parameters():
        assert parameter.grad is None
        assert parameter.requires_grad == (name in thawed)
    for module in [*subject.backbone.modules(), *(subject.head.modules() if subject.head else ())]:
        assert not module._forward_hooks
        assert not module._backward_hooks
        assert not module.training
    assert subject.head is None or all(p.grad is None and p.requires_grad for p in subject.head.parameters())


@pytest.mark.parametrize(("model", "masked"), FAMILIES, ids=[name for name, _ in FAMILIES])
def test_maps_of_every_family(model: str, masked: bool) -> None:
    module, features = _network(model, 64)
    size = 64 if model != "maxvit_rmlp_pico_rw_256" else 256
    subject = _subject(module, _linear(features, 4), 4, size, model)
    thawed = {name for name, _ in list(module.named_parameters())[::3]}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in thawed)
    x = _images(size)
    stages = select_stages(module, list_layers(module, x[:1]))
    if getattr(module, "global_pool", "") == "token":
        at_end = class_activation_maps(subject, x, FOUR, stages[-1], "grad-cam")
        assert not at_end.values.any()  # only the class token goes on from here
        stages = [stage for stage in stages if stage.name == "blocks.9"]
    for method in ["grad-cam", "recipro-cam"] if masked else ["grad-cam"]:
        found = class_activation_maps(subject, x, (2, 0, 3), stages[-1], method)
        assert found.values.dtype == np.float32
        assert found.values.shape[:2] == (2, 3)
        assert found.values.shape[2] == found.values.shape[3] > 1
        assert np.isfinite(found.values).all()
        assert (np.ptp(found.values, axis=(2, 3)) > 0).all()
        with torch.inference_mode():
            _close(found.scores, subject.score(x)[:, [2, 0, 3]].double())
        for i in range(2):
            alone = class_activation_maps(subject, x[i : i + 1], (2, 0, 3), stages[-1], method)
            _close(alone.values, found.values[i : i + 1], 1e-4)
    _check_untouched(subject, thawed)


def _resnet(head: Callable[[int], nn.Module], classes: int, size: int = 96) -> InspectedModel:
    module, features = _network("resnet10t", size)
    return _subject(module, head(features), classes, size, "resnet10t")


def _rest(subject: InspectedModel, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """From a stage of a resnet to the scores, by hand."""
    module: Any = subject.backbone
    assert subject.head is not None
    stages = ["layer1", "layer2", "layer3", "layer4"]
    after = [getattr(module, stage) for stage in stages[stages.index(name) + 1 :]]
    return nn.Sequential(*after, module.global_pool, subject.head)


def _output(subject: InspectedModel, name: str, x: torch.Tensor) -> torch.Tensor:
    module: Any = subject.backbone
    stages = ["layer1", "layer2", "layer3", "layer4"]
    stem = nn.Sequential(module.conv1, module.bn1, module.act1, module.maxpool)
    with torch.no_grad():
        return nn.Sequential(stem, *(getattr(module, s) for s in stages[: stages.index(name) + 1]))(x)


@pytest.mark.parametrize("name", ["layer3", "layer4"])
@pytest.mark.parametrize("head", ["linear", "machine", "radial"])
def test_gradcam_is_that_of_a_network_cut_by_hand(name: str, head: str) -> None:
    make = {"linear": _linear, "machine": _svm, "radial": _rbf}[head]
    classes = 2 if head == "radial" else 3
    subject, x = _resnet(lambda d: make(d, classes), classes), _images(96)
    found = class_activation_maps(subject, x, range(classes), _layer(subject, name, 96), "grad-cam")
    places = _output(subject, name, x).requires_grad_()
    for k in range(classes):
        scores = _rest(subject, name)(places)
        (gradient,) = torch.autograd.grad(scores[:, k].sum(), places)
        expected = torch.einsum("bc,bchw->bhw", gradient.mean((2, 3)), places.detach())
        _close(found.values[:, k], expected)
        _close(found.scores[:, k], scores[:, k].detach())
    assert (found.method, found.exact, found.bias.any()) == ("Grad-CAM", False, False)
    assert found.values.min() < 0 < found.values.max()


@pytest.mark.parametrize(("make", "factor"), [(_linear, 1), (_svm, 2)], ids=["linear", "svm"])
@pytest.mark.parametrize("classes", [2, 3])
def test_exact_maps_are_gradient_times_activation_and_sum_to_the_score(
    make: Callable[[int, int], nn.Module], factor: int, classes: int
) -> None:
    subject, x = _resnet(lambda d: make(d, classes), classes), _images(96)
    found = class_activation_maps(subject, x, range(classes), _layer(subject, "layer4", 96))
    assert (found.method, found.exact, found.layer) == ("exact", True, "layer4")
    places = _output(subject, "layer4", x).requires_grad_()
    for k in range(classes):
        (gradient,) = torch.autograd.grad(_rest(subject, "layer4")(places)[:, k].sum(), places)
        _close(found.values[:, k], factor * (gradient * places).sum(1).detach())
    with torch.inference_mode():
        scores = subject.score(x).double()
    _close(found.scores, scores)
    _close(found.values.sum((2, 3), dtype=np.float64) + found.bias, scores)
    if make is _svm and classes == 2:
        _close(found.values[:, 0], -found.values[:, 1])


class _Pool(nn.Module):
    """A network whose last layer is its first, so that the places can be chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.places, self.scale = nn.Identity(), nn.Conv2d(3, 3, 1, bias=False)
        nn.init.eye_(self.scale.weight[:, :, 0, 0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale(x).mean((2, 3))


def test_exact_map_of_an_svm_is_its_formula_also_at_features_of_zero() -> None:
    head = _svm(3, 3)
    subject = _subject(_Pool(), head, 3, 4)
    x = _images(4)
    x[:, 1] = 0
    x[:, 1, 0, 0], x[:, 1, 2, 3] = 5, -5  # cancel out: a feature of exactly 0
    found = class_activation_maps(subject, x, (2, 1), _layer(subject, "scale", 4), "exact")
    mean, scale = head.normalize.mean.double(), head.normalize.scale.double()
    feature = x.double().mean((2, 3))
    for row, k in enumerate((2, 1)):
        per_channel = head.weight[k] / scale / feature.abs().sqrt() / 16
        per_channel[:, 1] = 0
        _close(found.values[:, row], torch.einsum("bc,bchw->bhw", per_channel, x.double()))
        _close(found.bias[:, row], (head.bias[k] - head.weight[k] @ mean / scale).expand(2))


@pytest.mark.parametrize(
    ("model", "layer"), [("swin_tiny_patch4_window7_224", "norm"), ("mixer_s32_224", "norm"), ("densenet121", "")]
)
def test_exact_maps_of_other_arrangements_sum_to_the_score(model: str, layer: str) -> None:
    module, features = _network(model, 64)
    subject, x = _subject(module, _svm(features, 3), 3, 64, model), _images(64)
    stage = select_stages(module, list_layers(module, x[:1]))[-1] if not layer else _layer(subject, layer, 64)
    found = class_activation_maps(subject, x, (0, 1, 2), stage)
    assert found.exact
    assert found.values.shape == (2, 3, 2, 2)
    _close(found.values.sum((2, 3)) + found.bias, found.scores)


@pytest.mark.parametrize(
    ("head", "layer", "words"),
    [
        ("mlp", "layer4", "head of svm is not linear"),
        ("radial", "layer4", "head of svm is not linear"),
        ("linear", "layer3", "not the mean of layer3"),
        ("linear", "layer4.0.bn1", "not the mean of layer4.0.bn1"),
    ],
)
def test_exact_says_why_it_does_not_apply(head: str, layer: str, words: str) -> None:
    def make(features: int) -> nn.Module:
        if head == "linear":
            return _linear(features, 2)
        if head == "radial":
            return _rbf(features, 2)
        normalize = NormalizerModule(torch.zeros(features), torch.tensor(1.0))
        return nn.Sequential(normalize, nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, 2))

    subject, x = _resnet(make, 2), _images(96)
    asked = _layer(subject, layer, 96)
    with pytest.raises(UsageError, match=f"{words}.*--method grad-cam"):
        class_activation_maps(subject, x, (1,), asked, "exact")
    assert class_activation_maps(subject, x, (1,), asked).method == "Grad-CAM"


def test_exact_says_that_a_class_token_is_no_mean() -> None:
    module, features = _network("vit_tiny_patch16_224", 64)
    subject = _subject(module, _linear(features, 2), 2, 64, "vit_tiny")
    with pytest.raises(UsageError, match=r"vit_tiny gets the class token.*grad-cam"):
        class_activation_maps(subject, _images(64), (1,), _layer(subject, "norm", 64), "exact")


def test_recipro_is_brute_force_on_a_network_cut_by_hand() -> None:
    subject, x = _resnet(lambda d: _linear(d, 3), 3), _images(96)
    found = class_activation_maps(subject, x, (2, 0), _layer(subject, "layer4", 96), "recipro-cam")
    assert (found.method, found.exact) == ("Recipro-CAM", False)
    places, rest = _output(subject, "layer4", x), _rest(subject, "layer4")
    expected = torch.zeros(2, 2, 3, 3)
    with torch.inference_mode():
        for row in range(3):
            for column in range(3):
                kept = torch.zeros_like(places)
                kept[:, :, row, column] = places[:, :, row, column]
                expected[:, :, row, column] = (rest(kept) - rest(torch.zeros_like(places)))[:, [2, 0]]
        _close(found.scores, rest(places)[:, [2, 0]].double())
    _close(found.values, expected, 1e-4)


def test_recipro_tries_large_grids_in_regions() -> None:
    subject, x = _resnet(lambda d: _linear(d, 2), 2), _images(96, 1)
    layer, passes = _layer(subject, "layer1", 96), list[int]()
    counted = subject.backbone.conv1.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    found = class_activation_maps(subject, x, (1,), layer, "recipro-cam")
    counted.remove()
    assert found.values.shape == (1, 1, 24, 24)
    assert len(np.unique(found.values)) <= 49
    assert max(passes[1:]) <= 32
    assert sum(passes) == 1 + 49 + 1
    places, rest = _output(subject, "layer1", x), _rest(subject, "layer1")
    corner = torch.zeros_like(places)
    corner[..., -3:, -3:] = places[..., -3:, -3:]  # 24 rows in 7 regions: the last has 3
    with torch.inference_mode():
        expected = (rest(corner) - rest(torch.zeros_like(places)))[:, 1]
    np.testing.assert_allclose(found.values[0, 0, -3:, -3:], np.full((3, 3), expected.item()), rtol=1e-3)
    assert found.values[0, 0, -4, -4] != found.values[0, 0, -3, -3]


def test_recipro_keeps_the_tokens_before_the_grid() -> None:
    module, features = _network("deit_tiny_distilled_patch16_224", 64)
    head = _linear(features, 2)
    subject, x = _subject(module, head, 2, 64), _images(64, 1)
    found = class_activation_maps(subject, x, (0,), _layer(subject, "blocks.4", 64), "recipro-cam")
    given: list[torch.Tensor] = []
    handle = module.blocks[5].register_forward_pre_hook(lambda _, x: given.append(x[0]))
    network: Any = module

    def score(tokens: torch.Tensor) -> float:
        for block in network.blocks[5:]:
            tokens = block(tokens)
        return float(head(network.forward_head(network.norm(tokens)))[0, 0])

    with torch.inference_mode():
        module(x)
        handle.remove()
        none, one = given[0].clone(), given[0].clone()
        none[:, 2:] = 0
        one[:, [i for i in range(2, 18) if i != 2 + 4 * 1 + 3]] = 0
        assert found.values[0, 0, 1, 3] == pytest.approx(score(one) - score(none), rel=1e-3)


class _Named(NamedTuple):
    rest: dict[str, int]
    values: list[torch.Tensor]


class _Wrap(nn.Module):
    """Gives a tensor inside something."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> Any:
        kinds = {"tuple": (None, x), "list": [x, x], "dict": {"n": 1, "x": x}, "named": _Named({"n": 1}, [x])}
        return kinds[self.kind]


class _Odd(nn.Module):
    """Calls one layer twice, has one that gives something else than a tensor, and overwrites what they gave."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.twice, self.wrap = nn.Conv2d(3, 3, 3, padding=1), _Wrap(kind)
        self.narrow = nn.Conv2d(3, 5, 3)

    def end(self, y: torch.Tensor) -> torch.Tensor:
        return self.narrow(torch.tanh(y)).tanh().mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.twice(self.twice(x).relu_())
        wrapped = self.wrap(y.clone())
        kind = self.wrap.kind
        inner = {"tuple": lambda: wrapped[1], "list": lambda: wrapped[0], "dict": lambda: wrapped["x"]}
        y = (wrapped.values[0] if kind == "named" else inner[kind]()).mul_(1.0)
        return self.end(y)


@pytest.mark.parametrize("kind", ["tuple", "list", "dict", "named"])
@pytest.mark.parametrize("name", ["twice", "wrap"])
def test_layers_called_twice_and_layers_that_give_several_things(kind: str, name: str) -> None:
    torch.manual_seed(0)
    module, head = _Odd(kind), _linear(5, 2)
    subject, x = _subject(module, head, 2, 6), _images(6)
    with torch.no_grad():
        y = module.twice(module.twice(x).relu())
    leaf = y.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(head(module.end(leaf))[:, 1].sum(), leaf)
    layer = _layer(subject, name, 6)
    found = class_activation_maps(subject, x, (1,), layer, "grad-cam")
    _close(found.values[:, 0], (gradient.mean((2, 3), keepdim=True) * y).sum(1))
    found = class_activation_maps(subject, x, (1,), layer, "recipro-cam")
    with torch.inference_mode():
        kept = torch.zeros_like(y)
        kept[:, :, 2, 5] = y[:, :, 2, 5]
        expected = (head(module.end(kept)) - head(module.end(torch.zeros_like(y))))[:, 1]
    np.testing.assert_allclose(found.values[:, 0, 2, 5], expected, rtol=1e-3)
    _check_untouched(subject, set())


class _Fails(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no")


@pytest.mark.parametrize("method", ["grad-cam", "recipro-cam"])
def test_hooks_go_when_the_network_fails(method: str) -> None:
    subject = _subject(_Pool(), nn.Sequential(_Fails()), 2, 4)
    with pytest.raises(RuntimeError, match="no"):
        class_activation_maps(subject, _images(4), (0,), _layer(subject, "scale", 4), method)
    _check_untouched(subject, set())


@pytest.mark.parametrize("guard", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_maps_do_not_depend_on_the_mode_of_the_caller(guard: Callable[[], Any]) -> None:
    subject = _resnet(lambda d: _svm(d, 2), 2, 64)
    layer = _layer(subject, "layer4", 64)
    expected = [
        class_activation_maps(subject, _images(64), (1,), layer, method).values for method in ("exact", "grad-cam")
    ]
    with guard():
        x = _images(64)
        found = [class_activation_maps(subject, x, (1,), layer, method).values for method in ("exact", "grad-cam")]
    for one, other in zip(found, expected, strict=True):
        _close(one, other)


def test_errors_say_what_there_is() -> None:
    subject, x = _subject(_Pool(), _linear(3, 2), 2, 4), _images(4)
    layer = _layer(subject, "scale", 4)

    def ask(
        classes: Sequence[int] = (0,), layer: Layer = layer, method: str = "auto", head: bool = True
    ) -> ClassActivationMaps:
        return class_activation_maps(subject if head else _subject(_Pool(), None, 0, 4), x, classes, layer, method)

    with pytest.raises(UnknownName, match="grad-cam"):
        ask(method="gradcam")
    for wrong in ((0, 2), (-1,), ()):
        with pytest.raises(UsageError, match="from 0 to 1"):
            ask(classes=wrong)
    with pytest.raises(UnknownName, match="scale"):
        ask(layer=Layer("scal", "Conv2d", (3, 4, 4), "channels_first", 1, True))
    for shape, layout in (((3, 5, 7), "other"), ((3,), "vector"), ((3, 1, 1), "channels_first")):
        for method in ("auto", "recipro-cam"):
            with pytest.raises(UsageError, match="no spatial positions; choose another"):
                ask(layer=Layer("scale", "Conv2d", shape, layout, 1, True), method=method)
    with pytest.raises(UsageError, match="no classifier"):
        ask(head=False)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_without_captum_the_extra_is_named(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    subject = _subject(_Pool(), _linear(3, 2), 2, 4)
    with pytest.raises(MissingDependency, match=rf"--method {method} needs.*topwork\[explain\]"):
        class_activation_maps(subject, _images(4), (0,), _layer(subject, "scale", 4), method)


class _Corner(nn.Module):
    """Sees the upper right quarter only."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale(x)[:, :, : x.shape[2] // 2, x.shape[3] // 2 :].square().mean((2, 3))


@pytest.mark.parametrize("make", [_linear, _svm])
def test_integrated_gradients_sum_to_the_difference_of_the_scores(make: Callable[[int, int], nn.Module]) -> None:
    pytest.importorskip("captum")
    subject, x = _subject(_Corner(), make(3, 3), 3, 56), _images(56)
    found = class_activation_maps(subject, x, (2, 0), _layer(subject, "scale", 56), "integrated-gradients")
    assert (found.layer, found.method, found.values.shape) == ("input", "integrated gradients", (2, 2, 28, 28))
    assert not found.values[:, :, 14:].any()
    assert not found.values[:, :, :, :14].any()
    with torch.inference_mode():
        expected = subject.score(x) - subject.score(torch.zeros_like(x))
    _close(4 * found.values.sum((2, 3)), expected[:, [2, 0]], 1e-2)  # cells of 2 x 2 pixels; 32 steps
    _check_untouched(subject, set())


def test_occlusion_is_the_fall_under_the_squares() -> None:
    pytest.importorskip("captum")
    subject, x = _subject(_Corner(), _linear(3, 3), 3, 28), _images(28)
    found = class_activation_maps(subject, x, (1,), _layer(subject, "scale", 28), "occlusion")
    assert (found.layer, found.method, found.values.shape) == ("input", "occlusion", (2, 1, 28, 28))
    assert np.abs(found.values[:, :, 16:]).max() < 1e-6
    covered = x.clone()
    covered[:, :, 0:4, 24:28] = 0  # the only square over the corner
    with torch.inference_mode():
        expected = (subject.score(x) - subject.score(covered))[:, 1]
    np.testing.assert_allclose(found.values[:, 0, 0, 27], expected, rtol=1e-4)
    _check_untouched(subject, set())


def test_every_method_is_known_by_name() -> None:
    assert list(METHODS) == ["exact", "grad-cam", "recipro-cam", "integrated-gradients", "occlusion"]
