"""The installation: versions of packages, devices, extras and the cache, and what is missing."""

from __future__ import annotations

import platform
import re
import shutil
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires, version

from topwork.core.run_folders import cache_folder


def check_installation() -> tuple[list[str], bool]:
    """Lines to print, and whether everything that is needed works."""
    lines = [f"topwork {version('topwork')}, Python {platform.python_version()} on {platform.platform()}"]
    packages_by_extra = _requirements()
    required = packages_by_extra.pop("")
    for name in required:
        lines.append(f"  {name:33} {_version(name) or f'MISSING: pip install {name}'}")
    devices, works = _devices()
    lines += devices
    for extra, packages in sorted(packages_by_extra.items()):
        installed = all(map(_version, packages))
        state = "installed" if installed else f"not installed: pip install 'topwork[{extra}]'"
        lines.append(f"  extra {extra:11} {state}")
    cache = cache_folder()
    sizes = [file.stat().st_size for file in cache.rglob("*") if file.is_file()]
    free = shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.exists())).free / 1e9
    lines.append(f"Cache   {cache}: {len(sizes)} files, {sum(sizes) / 1e6:.0f} MB; {free:.1f} GB free")
    return lines, works and all(map(_version, required))


def _requirements() -> dict[str, list[str]]:
    """Packages that topwork needs, by the extra that they belong to; the empty name for the required ones."""
    packages = defaultdict(list)
    for requirement in requires("topwork") or []:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)", requirement)
        if name and not (extra and extra[1] == "dev"):
            packages[extra[1] if extra else ""].append(name[0])
    return packages


def _version(package: str) -> str:
    """The installed version; empty if there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _devices() -> tuple[list[str], bool]:
    """The devices, or why torch cannot be imported; and whether it can."""
    try:
        import torch
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        if "nms" in reason:
            reason += "; their versions do not match: reinstall both together, pip install torch torchvision"
        return [f"  torch and torchvision cannot be imported: {reason}"], False
    from topwork.compute import devices
    from topwork.core.config import ComputeConfig

    lines = [f"Device  {devices.resolve(ComputeConfig())[0]}"]
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        lines.append(f"  cuda:{number}  {properties.name}, {properties.total_memory / 1e9:.0f} GB")
    return lines, True
