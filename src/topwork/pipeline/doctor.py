"""What this machine has, and what is wrong with it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

from topwork.core.run_folders import cache_folder

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "safetensors",
    "huggingface-hub",
)
EXTRAS = {"demo": "elpv_dataset"}


def examine() -> tuple[list[str], bool]:
    """Lines for people, and whether everything that is needed works."""
    lines = [f"topwork {version('topwork')}, Python {platform.python_version()} on {platform.platform()}"]
    sound = True
    for name in PACKAGES:
        try:
            lines.append(f"  {name:16} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"  {name:16} MISSING: pip install {name}")
            sound = False
    fault = _import_fault()
    if fault:
        lines.append(fault)
        sound = False
    else:
        lines += _devices()
    for extra, module in EXTRAS.items():
        state = "installed" if importlib.util.find_spec(module) else f"not installed: pip install 'topwork[{extra}]'"
        lines.append(f"  extra {extra:10} {state}")
    cache = cache_folder()
    files = [f for f in cache.rglob("*") if f.is_file()] if cache.is_dir() else []
    size = sum(f.stat().st_size for f in files) / 1e6
    free = shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.exists())).free / 1e9
    lines.append(f"Cache   {cache}: {len(files)} files, {size:.0f} MB; {free:.1f} GB free")
    return lines, sound


def _import_fault() -> str:
    try:
        import torch  # noqa: F401
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        if "nms" in reason:
            reason += "; torch and torchvision are not a pair: reinstall both together, pip install torch torchvision"
        return f"  torch and torchvision do not load: {reason}"
    return ""


def _devices() -> list[str]:
    import torch

    from topwork.compute import devices
    from topwork.core.config import ComputeConfig

    compute, _ = devices.resolve(ComputeConfig())
    lines = [f"Device  {compute}"]
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        lines.append(f"  cuda:{number}  {properties.name}, {properties.total_memory / 1e9:.0f} GB")
    return lines
