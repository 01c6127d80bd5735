"""``topwork serve``: a trained model behind HTTP, in one process and the processes that decode images for it.

Enters: requests with images. Leaves: predictions, heatmaps and metrics, and the page in ``page/``.
``server`` (sockets and signals) runs ``app`` (endpoints) behind ``guard`` (access control); ``uploads`` reads request
bodies, ``service`` answers them with ``inference_thread`` (the network), ``capacity`` limits what is in progress.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Unpack

from topwork.core.errors import MissingDependency, TopworkError
from topwork.core.progress import Progress
from topwork.inference import InferenceOptions

# Idle threads of numpy and torch sleep; otherwise they spin on the cores that decode images.
SLEEPING_THREADS = {"OPENBLAS_THREAD_TIMEOUT": "4", "OMP_WAIT_POLICY": "passive"}
REQUIRED_MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    run: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    host_names: Sequence[str] = (),
    token: bool = False,
    quiet: bool = False,
    limits: dict[str, Any] | None = None,
    **options: Unpack[InferenceOptions],
) -> int:
    """Serve a model over HTTP until SIGINT (Ctrl-C) or SIGTERM; requests in progress are finished.

    Args:
        run: A run, a comparison (its recommended strategy) or a bundle.
        host: Address to listen on. Any other than 127.0.0.1 requires a token: that of the environment variable
            ``TOPWORK_TOKEN``, else a new one, which is printed.
        port: 0 chooses a free one.
        host_names: Additional host names of the server, for instance behind a proxy; they require a token.
        token: Require a token also on 127.0.0.1.
        quiet: Print only the address.
        limits: Fields of ``topwork.serving.settings.Limits`` with other values than the defaults.
        **options: ``device``, ``precision``, ``engine``, ``workers`` as for ``topwork.load``.

    Returns:
        Number of requests.

    Raises:
        MissingDependency: The extra ``serve`` is not installed.
        UsageError: The address is not available.
        TopworkError: See ``topwork.load``.
    """
    if not all(importlib.util.find_spec(name) for name in REQUIRED_MODULES):
        raise MissingDependency("topwork serve", "serve")
    for name, value in SLEEPING_THREADS.items():  # read when the libraries are loaded
        os.environ.setdefault(name, value)
    from topwork.inference.predictor import load
    from topwork.serving.server import bind, describe, local_url, make_server
    from topwork.serving.service import Service
    from topwork.serving.settings import Limits, access_for

    log, bounds, access = Progress(quiet).log, Limits(**(limits or {})), access_for(host, host_names, token)
    with closing(bind(host, port)) as sock:
        service = Service(load(run, log=log, **options), bounds)
        service.network.start()
        try:
            url = local_url(host, sock.getsockname()[1]) + (f"#token={access.token}" if access.is_new else "")
            server = make_server(service, access, bounds, lambda: print(f"Serving {url}", flush=True))
            log(describe(service, host))
            asyncio.run(server.serve([sock]))
        finally:
            service.network.stop()
    if not server.started:
        raise TopworkError("The server could not start; see the error above.")
    log(f"Stopped after {server.server_state.total_requests:,} requests.")
    return server.server_state.total_requests
