"""``topwork serve``: a trained model behind HTTP; everything in one process but the decoding of images.

server.py (sockets, signals, with protocol.py) runs app.py (the endpoints), behind guard.py (who may ask) and over
bodies.py (what is sent), service.py (what is answered), decoding.py (processes that decode; decoder.py is the other
end), batching.py (the thread of the network), originals.py (training photographs), places.py and metrics.py; pages.py
reads page/, the static files of the page.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

from topwork.core.errors import MissingDependency

# Threads of numpy and torch that wait for work sleep; else they spin, on the cores that decode meanwhile.
PATIENT = {"OPENBLAS_THREAD_TIMEOUT": "4", "OMP_WAIT_POLICY": "passive"}
NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    run: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    names: Sequence[str] = (),
    token: bool = False,
    quiet: bool = False,
    limits: dict[str, Any] | None = None,
    **options: Any,
) -> int:
    """Serve a model over HTTP until SIGINT (Ctrl-C) or SIGTERM; what has begun by then is finished.

    Args:
        run: A run, a comparison (the best on val) or a bundle.
        host: Where to listen. Beyond this machine a token is demanded: that of the environment variable
            ``TOPWORK_TOKEN``, else a new one, which is printed.
        port: 0 takes a free one.
        names: Further host names under which it is reached, for instance behind a proxy; with any, a token is demanded.
        token: Demand a token in any case.
        quiet: Print nothing but the address.
        limits: Bounds that differ from those of ``topwork.serving.settings.Limits``, by name.
        **options: ``device``, ``precision``, ``engine``, ``workers`` as for ``topwork.load``.

    Returns:
        How many requests were answered.

    Raises:
        MissingExtra: The extra ``serve`` is not installed.
        UsageError: The address is not to be had.
        TopworkError: See ``topwork.load``.
    """
    if not all(importlib.util.find_spec(name) for name in NEEDED):
        raise MissingDependency("topwork serve", "serve")
    for name, value in PATIENT.items():  # read when the libraries are loaded, which is now unless they were before
        os.environ.setdefault(name, value)
    from topwork.serving.server import run as start
    from topwork.serving.settings import Limits

    def log(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    answered = start(run, host, port, names, token, Limits(**(limits or {})), log, **options)
    log(f"Stopped; {answered:,} requests were answered.")
    return answered
