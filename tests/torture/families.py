"""Networks that are too large for ``make test``, in tests that it runs with smaller ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

from tests.explain import test_attribution, test_layers
from tests.torture.calls import Tally
from tests.training import test_fully_sharded


def check() -> Tally:
    """Sharded trainings of every family, maps and layers of a network with a classifier of 100 million parameters."""
    tally = Tally()
    warnings.filterwarnings("ignore", "FSDP2-wrapped module")
    with test_fully_sharded.one_process() as compute:
        checks: dict[str, Callable[[], None]] = {
            f"sharded {name}": partial(test_fully_sharded.check_training, name, compute)
            for name in test_fully_sharded.FAMILIES
        }
        checks["maps of vgg11_bn"] = lambda: test_attribution.test_maps_of_every_family("vgg11_bn", False)
        checks["layers of vgg11_bn"] = lambda: test_layers.test_the_walk_through_every_family("vgg11_bn", 64)
        for name, run in checks.items():
            tally.tried += 1
            try:
                run()
            except Exception as error:  # whatever it is, it is counted
                tally.wrong.append(f"{name}: {type(error).__name__} {error}")
            else:
                tally.hit += 1
    return tally
