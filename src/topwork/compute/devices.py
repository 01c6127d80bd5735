"""Which device does the arithmetic, in which precision, with how many threads; and what makes it fast there."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from topwork.compute.ranks import world
from topwork.core.config import ComputeConfig
from topwork.core.errors import UsageError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class DeviceContext:
    """The resolved form of ``ComputeConfig``.

    Attributes:
        device: Where tensors live.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``, of activations under autocast.
        workers: Processes that decode images.
        threads: CPU threads of torch.
        name: For people.
        engine: What computes features: ``auto``, ``torch`` or ``openvino``.
        fsdp: Whether a network that is trained end to end is sharded over the devices.
    """

    device: torch.device
    precision: str
    workers: int
    threads: int
    name: str
    engine: str = "auto"
    fsdp: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch knows it."""
        return _DTYPES[self.precision]

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which forward passes run."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def to_channels_last(self, module: nn.Module) -> nn.Module:
        """Move an image network to the device, in the memory layout that is fastest for convolutions."""
        moved = move(module, self.device)
        return moved.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]

    def synchronize(self) -> None:
        """Wait until the device has done what was requested, before the time is read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.device.type == "cpu" else ""
        return f"{self.name}, {self.precision}{threads}"


def move(module: nn.Module, device: torch.device | str) -> nn.Module:
    """Move a module to a device, in float32 to an Apple GPU, which has no float64."""
    return (module.float() if torch.device(device).type == "mps" else module).to(device)


def check_parallel(compute: DeviceContext, requested: str, parallel: int) -> None:
    """Refuse more trainings at the same time than there are GPUs, or several on one that was named.

    Raises:
        UsageError: The message says how many are possible.
    """
    if parallel == 1 or compute.device.type != "cuda":
        return
    if requested not in ("auto", "cuda"):
        raise UsageError(f"--parallel {parallel} takes a GPU for each training; leave out --device {requested}.")
    if parallel > torch.cuda.device_count():
        raise UsageError(
            f"--parallel {parallel} takes a GPU for each training, and there are {torch.cuda.device_count()}. Use a "
            "smaller number, or --device cpu."
        )


def resolve(config: ComputeConfig) -> tuple[DeviceContext, ComputeConfig]:
    """Resolve the settings to what the machine has, and set torch up.

    Returns:
        What computes, and the configuration without any ``"auto"``.

    Raises:
        UsageError: The device does not exist, or does not support the precision.
    """
    requested = _best_device() if config.device == "auto" else config.device
    device = _device(_own(requested))
    precision = _best_precision(device) if config.precision == "auto" else config.precision
    if precision == "float16" and device.type == "cpu":
        raise UsageError("--precision float16 needs a GPU; on a CPU use float32 or bfloat16.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = max(1, cores // world().local_size)
    max_threads = torch.get_num_threads() if world().size == 1 else min(cores, torch.get_num_threads())
    threads = max_threads if config.threads == "auto" else config.threads
    workers = (min(cores, 8) if device.type != "cpu" else cores // 2) if config.workers == "auto" else config.workers
    torch.set_num_threads(threads)
    tune_malloc()
    if device.type == "cuda":
        if device.index is not None:  # else pinned memory would take a context on the first GPU
            torch.cuda.set_device(device)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)  # torch names an operation that has none
    fastest = "openvino" if device.type == "cpu" and importlib.util.find_spec("openvino") else "torch"
    engine = fastest if config.engine == "auto" else config.engine
    values = {"device": str(device), "precision": precision, "workers": workers, "threads": threads, "engine": engine}
    resolved = ComputeConfig.model_validate(config.model_dump() | values)
    return DeviceContext(device, precision, workers, threads, _name(device), config.engine), resolved


def _own(requested: str) -> str:
    """The device of this process among those of its machine."""
    process = world()
    if process.size == 1 or requested == "cpu":
        return requested
    if requested != "cuda":
        raise UsageError(f"--device {requested} is a single one; for several devices use --device cuda or cpu.")
    if process.local_size > torch.cuda.device_count():
        raise UsageError(
            f"{process.local_size} devices were requested, and there are {torch.cuda.device_count()} GPUs. Request "
            "fewer, or use --device cpu."
        )
    return f"cuda:{process.local_rank}"


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name} is not available here ({reason}); use --device {_best_device()}.") from error
    return device


def _best_precision(device: torch.device) -> str:
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported() and _has_fast_bf16():
        return "bfloat16"
    return "float32"


def _has_fast_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; emulated bfloat16 is slower than float32."""
    cpu: Any = torch.cpu
    amx, avx = getattr(cpu, "_is_amx_tile_supported", None), getattr(cpu, "_is_avx512_bf16_supported", None)
    return bool((amx and amx()) or (avx and avx()))


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    return "Apple GPU (mps)" if device.type == "mps" else f"CPU ({torch.backends.cpu.get_cpu_capability()})"


def tune_malloc() -> None:
    """Let glibc reuse freed activations instead of returning them: a training step on a CPU gets 1.4 to 1.8x faster.

    Without it, every large buffer is unmapped and page-faulted in again at each step; so it is in other threads than
    the first, unless all share its heap. Threads that exist already keep their own, so this comes first.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold, arenas = -1, -3, -8
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(arenas, 1)


def total_memory(compute: DeviceContext) -> int | None:
    """Bytes of memory of a CUDA GPU; None for other devices."""
    return torch.cuda.get_device_properties(compute.device).total_memory if compute.device.type == "cuda" else None


def reset_peak_memory(compute: DeviceContext) -> None:
    """Reset the measurement of peak memory where that is possible (Linux, CUDA)."""
    if compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(compute.device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(compute: DeviceContext) -> dict[str, int]:
    """Peak bytes since ``reset_peak_memory``, or since the process began: ``memory`` and, with CUDA, ``gpu_memory``.

    Memory is that of the main process, features and libraries included; processes that decode images come on top.
    """
    found = {}
    with contextlib.suppress(OSError, ValueError, ImportError):
        found["memory"] = _peak_of_process()
    if compute.device.type == "cuda":
        found["gpu_memory"] = torch.cuda.max_memory_allocated(compute.device)
    return found


def _peak_of_process() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def has_compiler() -> bool:
    """Whether there is what ``torch.compile`` needs on a CPU."""
    return bool(shutil.which("g++") or shutil.which("clang++"))


def compile_quietly(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """A module through ``torch.compile``; it has the same parameters."""
    fast = torch.compile(module)

    def forward(x: torch.Tensor) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, at the first batch
            return fast(x)

    return forward


class _Float32Forward:
    """A depthwise convolution that stays in float32 under autocast."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())  # pyrefly: ignore[missing-attribute]


def keep_depthwise_in_float32(model: nn.Module, compute: DeviceContext) -> None:
    """Keep depthwise convolutions in float32 on a CPU, where their bfloat16 backward is many times slower.

    Changes the class of these modules in place; parameters and their names stay.
    """
    if compute.device.type != "cpu" or compute.precision != "bfloat16":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            base = type(module)
            module.__class__ = type(f"Float32{base.__name__}", (_Float32Forward, base), {})


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("topwork", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "safetensors")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **versions, "platform": platform.platform()}


def environment(compute: DeviceContext) -> dict[str, str | int]:
    """What a result depends on besides the configuration; written to ``environment.json``."""
    return {
        **_versions(),
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "device": compute.name,
        "threads": compute.threads,
        "processes": world().size,
        "cuda": torch.version.cuda or "none" if compute.device.type == "cuda" else "not used",
    }
