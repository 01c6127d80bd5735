"""``topwork serve`` over real HTTP: the answers of ``predict`` to the last bit, and nothing that it must not do."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.zoo import encoded, photo
from tests.serving.client import Server, has_ended, multipart, serving, unread_bytes, wait_until

import topwork
from topwork.backbones.build import create
from topwork.bundle.format import write_bundle
from topwork.core.errors import MissingDependency, UsageError
from topwork.data.images import decode
from topwork.data.transforms import eval_transform
from topwork.inference.prediction_writer import as_dict
from topwork.inference.predictor import Predictor
from topwork.serving.inference_thread import InferenceThread, bit_exact_batch_sizes, min_spatial_positions
from topwork.serving.server import bind
from topwork.serving.settings import Access, access_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its processes are watched through /proc")


@pytest.fixture(scope="module")
def server(comparison: topwork.Comparison) -> Iterator[Server]:
    environment = {
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }  # in vain
    with serving(comparison["mlp"].path, environment, workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def small(comparison: topwork.Comparison) -> Iterator[Server]:
    """One with narrow bounds, a token, and all addresses of this machine."""
    bounds = {
        "max_body_bytes": 1 << 16,
        "max_images_in_progress": 4,
        "max_files": 4,
        "max_decode_seconds": 3.0,
        "idle_timeout": 1.5,
        "shutdown_timeout": 30.0,
        "max_connections": 40,
    }
    with serving(comparison["mlp"].path, host="0.0.0.0", limits=bounds, engine="torch", quiet=True) as running:
        yield running


@pytest.fixture(scope="module")
def predicted(mlp: Predictor, photos: Path) -> dict[str, dict[str, Any]]:
    """Predictions of ``predict`` by the file's name."""
    files = sorted(map(str, photos.rglob("*.png")))
    rows = topwork.predict(mlp, files, top=0, neighbours=5)
    return {row["image"]: row for row in ({**as_dict(p), "image": short(p.image)} for p in rows)}


def short(file: str | Path) -> str:
    return "-".join(Path(file).parts[-2:])


def sent(photos: Path) -> list[tuple[str, bytes]]:
    return [(short(path), path.read_bytes()) for path in sorted(photos.rglob("*.png"))]


def without_photos(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "neighbours": [{k: v for k, v in n.items() if k != "thumbnail_url"} for n in row["neighbours"]]}


def test_server_says_what_predict_says_to_the_last_bit(
    server: Server, predicted: dict[str, dict[str, Any]], photos: Path
) -> None:
    files = sent(photos)
    groups = [files, *([one] for one in files), *(files[i : i + 5] for i in range(0, 40, 5))]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda group: server.post("/predict?top=0&neighbours=5", group), groups))
    for group, answer in zip(groups, answers, strict=True):
        assert answer.status == 200
        rows = answer.json["predictions"]
        assert [without_photos(row) for row in rows] == [predicted[name] for name, _ in group]


@pytest.fixture(scope="module")
def large(mlp: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of ``mlp`` for images of the usual size."""
    old, folder = mlp.bundle, tmp_path_factory.mktemp("large") / "model"
    spec = replace(old.input_spec, size=224, resize_size=256)
    write_bundle(folder, replace(old, input_spec=spec))
    return folder


@pytest.mark.parametrize("which", ["finetune", "large"])
def test_whatever_waits_together_gets_the_same_bits(
    comparison: topwork.Comparison, large: Path, photos: Path, which: str
) -> None:
    place = large if which == "large" else comparison[which].path
    model = topwork.load(place, workers=0)
    files = sorted(map(str, photos.rglob("*.png")))[:21]
    expected = list(topwork.predict(model, files, top=0, neighbours=2))
    network = InferenceThread(topwork.load(place, workers=0))
    network.start()
    try:
        assert network.shapes == ((1, 4, 32) if which == "large" and model.engine == "openvino" else (32,))

        async def ask(waves: list[list[str]]) -> list[topwork.Prediction]:
            views = {f: eval_transform(decode(Path(f).read_bytes())[0], model.input_spec)[None] for f in files}
            found: list[topwork.Prediction] = []
            for wave in waves:
                found += await asyncio.gather(*(network.predict(f, views[f], 0, 2) for f in wave))
                await network.maps(views[wave[0]], [0, 2])
            return found

        assert asyncio.run(ask([files[:1], files[1:6], files[6:]])) == expected
    finally:
        network.stop()


@pytest.mark.parametrize(
    ("name", "size", "places"),
    [("resnet18", 224, 49), ("resnet18", 64, 4), ("vit_tiny_patch16_224", 224, 196), ("mobilenetv3_small_050", 224, 1)],
)
def test_layers_that_see_few_places_of_an_image_are_found(name: str, size: int, places: int) -> None:
    assert min_spatial_positions(create(name, None, size)) == places


def test_a_shape_with_other_bits_is_not_used(mlp: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(pixels: Any, shape: int) -> tuple[np.ndarray, np.ndarray]:
        scores = pixels.double().mean((1, 2, 3)).numpy()[:, None]
        return scores, scores + (1e-12 if shape in (2, 8) else 0)

    monkeypatch.setattr(mlp, "forward", forward)
    assert bit_exact_batch_sizes(mlp, (1, 2, 4, 8, 16, 32)) == (1, 4, 16, 32)


def test_bad_files_are_rows_with_their_reason(server: Server, photos: Path) -> None:
    good = (photos / "class0" / "000.png").read_bytes()
    files = [("a.png", b""), ("b.png", b"words"), ("c.png", good), ("d.png", good[:500]), ("../../e.png", good)]
    rows = server.post("/predict", files).json["predictions"]
    assert [row["image"] for row in rows] == [name for name, _ in files]
    assert [bool(row["error"]) for row in rows] == [True, True, False, True, False]
    assert rows[0]["error"] == "empty file"
    assert rows[1]["label"] is None
    assert rows[2]["top"] == rows[4]["top"]
    tall = encoded(photo((1, 60)), "PNG")
    assert "50 times" in server.post("/predict", [("f", tall)]).json["predictions"][0]["error"]
    assert server.post("/explain", files[1:2]).json["error"]


def test_explain_maps_the_classes_that_are_named(server: Server, photos: Path, mlp: Predictor) -> None:
    file = [("x.png", (photos / "class1" / "001.png").read_bytes())]
    best = server.post("/predict", file).json["predictions"][0]["label"]
    (one,) = server.post("/explain", file).json["maps"]
    assert one["label"] == best
    fields = [("class", "class2"), ("class", "class0")]
    answer = server.post("/explain", file, fields).json
    assert [found["label"] for found in answer["maps"]] == ["class2", "class0"]
    assert np.isfinite(np.array(answer["maps"][0]["values"])).all()
    spec = mlp.input_spec
    edge = (spec.resize_size - spec.size) // 2 / spec.resize_size
    assert answer["region"] == [edge, edge, spec.size / spec.resize_size, spec.size / spec.resize_size]
    drawn = server.post("/explain", file, fields, Accept="image/png")
    assert decode(drawn.body)[0].size == (mlp.input_spec.size, mlp.input_spec.size)
    assert server.post("/explain", file, [("class", "nothing")]).status == 404
    assert server.post("/explain", file * 2).status == 400


def test_facts_and_training_photographs(server: Server, photos: Path, comparison: topwork.Comparison) -> None:
    model = server.ask("GET", "/model").json
    assert (model["strategy"], model["classes"]) == ("mlp", ["class0", "class1", "class2"])
    assert model["test"]["accuracy"] == comparison["mlp"].metrics["test"]["accuracy"]
    assert model["inference"]["batch_sizes"] == [32]
    file = [("x.png", (photos / "class1" / "001.png").read_bytes())]
    near = server.post("/predict?neighbours=3", file).json["predictions"][0]["neighbours"]
    for neighbour in near:
        shown = server.ask("GET", neighbour["thumbnail_url"])
        assert shown.headers["content-type"] == "image/jpeg"
        there = np.asarray(decode((photos / neighbour["image"]).read_bytes())[0]).astype(float)
        assert np.abs(np.asarray(decode(shown.body)[0]) - there).mean() < 25
    for path in ("/training/99999", "/training/-1", "/training/../model", "/training/x", "/nothing", "/predict"):
        assert server.ask("GET", path).status in (400, 404, 405)
    assert server.ask("GET", "/healthz").json == {"status": "ok"}
    text = server.ask("GET", "/metrics").body.decode()
    from prometheus_client.parser import text_string_to_metric_families as parsed

    families = {family.name: family for family in parsed(text)}
    counted = {sample.labels["path"] for sample in families["topwork_requests"].samples}
    assert {"/predict", "/model", "/training/{number}"} <= counted
    assert families["topwork_images_in_progress"].samples[0].value == 0
    paths = server.ask("GET", "/openapi.json").json["paths"]
    assert set(paths) == {"/predict", "/explain", "/model", "/training/{number}", "/healthz", "/metrics"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:9000"}, 200),
        ({"Host": "localhost:x"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1", "Host": "localhost:1"}, 200),
        ({"Origin": "http://localhost:2", "Host": "localhost:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_hosts_and_origins_are_refused(
    server: Server, photos: Path, headers: dict[str, str], status: int
) -> None:
    body, kind = multipart([("x.png", (photos / "class1" / "001.png").read_bytes())])
    answer = server.ask("POST", "/predict", body, {"Content-Type": kind, **headers})
    assert answer.status == status
    assert ("error" in answer.json) == (status != 200)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Accept", "Authorization", "Range", "Cookie", "Expect", "X-Forwarded-Host"]),
    st.one_of(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
        st.sampled_from(["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x",
                         "multipart/form-data; boundary=" + "y" * 300, "100-continue", "image/png"]),
    ),
    max_size=3,
)  # fmt: skip
PIECES = st.sampled_from([
    b"--x\r\n", b"--x--\r\n", b"--x", b"\r\n\r\n", b"\r\n", b"Content-Disposition: form-data; name=\"files\"",
    b"; filename=\"../../etc/passwd\"", b"; filename*=UTF-8''%ff%00", b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Disposition: form-data; name=\"class\"\r\n\r\n\xff\xfe\r\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff",
    b"\0" * 50,
])  # fmt: skip
BODIES = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=12).map(b"".join))
PATHS = st.one_of(
    st.sampled_from(["/", "/predict", "/explain", "/model", "/healthz", "/openapi.json", "/training/0", "/docs",
                     "/predict?top=-1", "/predict?top=99999999999999999999", "/predict?neighbours=x&top=",
                     "/training/99999999999999999999999", "/training/%2e%2e%2f", "//model", "/model/", "/%00", "*"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30).map("/".__add__),
)  # fmt: skip
METHODS = st.sampled_from(["GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "TRACE", "PROPFIND"])


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(method=METHODS, path=PATHS, headers=HEADERS, body=BODIES)
def test_hostile_requests_get_an_answer(
    server: Server, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    answer = server.ask(method, path, body, headers)
    assert answer.status < 500
    assert answer.headers["x-content-type-options"] == "nosniff"


LINES = st.sampled_from([
    b"GET / HTTP/1.1\r\n", b"POST /predict HTTP/1.1\r\n", b"Host: localhost\r\n", b"Content-Length: 5\r\n", b"\r\n",
    b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n", b"0\r\n",
    b"A: " + b"x" * 20_000, b"Upgrade: websocket\r\nConnection: upgrade\r\n",
])  # fmt: skip
STREAMS = st.one_of(st.binary(min_size=1, max_size=200), st.lists(LINES, min_size=1, max_size=8).map(b"".join))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=STREAMS)
def test_hostile_bytes_end_no_server(server: Server, data: bytes) -> None:
    with server.connect() as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := line.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    assert b"HTTP/1.1 500" not in answer


def test_slow_clients_do_not_hurt_a_fast_one(server: Server, photos: Path) -> None:
    files = sent(photos)[:1]
    body, kind = multipart(files)
    start = head(kind, f"Content-Length: {len(body)}")
    slow = [server.connect() for _ in range(60)]
    try:
        for number, line in enumerate(slow):
            line.sendall(start + body[:200] if number % 2 else start[:50])
        expected = server.post("/predict", files)
        assert expected.status == 200
        assert all(server.post("/predict", files).body == expected.body for _ in range(10))
        assert b"\ntopwork_request_bytes_in_progress 6000.0\n" in server.ask("GET", "/metrics").body
        slow[1].sendall(body[200:])
        assert expected.body in received(slow[1], expected.body)
        for line in slow[2:]:
            line.setblocking(False)
            with pytest.raises(BlockingIOError):
                line.recv(1)  # none of them has been answered or sent away while the fast one was served
    finally:
        for line in slow:
            line.close()
    wait_until(lambda: b"\ntopwork_request_bytes_in_progress 0.0\n" in server.ask("GET", "/metrics").body)


@pytest.mark.parametrize("charset", ["undefined", "punycode", "idna", "nothing-" * 999, "utf-8"])
def test_a_charset_is_no_codec_of_python(server: Server, photos: Path, charset: str) -> None:
    body, kind = multipart(sent(photos)[:1], [("class", "class0")])
    answer = server.ask("POST", "/predict", body, {"Content-Type": f"{kind}; charset={charset}"})
    assert answer.status == 200
    assert [row["error"] for row in answer.json["predictions"]] == [None]


def test_two_lengths_are_refused(server: Server) -> None:
    with server.connect() as line:
        line.sendall(head("multipart/form-data; boundary=x", "Content-Length: 5\r\nTransfer-Encoding: chunked"))
        line.sendall(b"0\r\n\r\nGET /model HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = received(line, b"HTTP/1.1 200")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1, "a second request was read from the body"


def test_decoders_get_no_secrets(server: Server) -> None:
    for child in server.children():
        environment = Path(f"/proc/{child}/environ").read_text()
        assert "PATH=" in environment
        assert "OTEL" not in environment


def test_a_log_without_a_fault(server: Server) -> None:
    body = b"--x\r\nContent-Disposition\r: form-data\r\n\r\n1\r\n--x--\r\n"
    assert server.ask("POST", "/predict", body, {"Content-Type": "multipart/form-data; boundary=x"}).status == 400
    time.sleep(0.2)  # until what it says would have come
    assert [line for line in server.errors if "invalid" in line] == []
    assert [line for line in server.errors if "Error" in line or "Traceback" in line] == []
    assert server.process.poll() is None


def head(kind: str, length: str, token: str = "") -> bytes:
    """The head of a request to /predict."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: {kind}\r\n{length}\r\n\r\n"
    ).encode()


def received(line: socket.socket, end: bytes) -> bytes:
    """What comes until ``end``, or until the other side closes."""
    found = b""
    while end not in found and (part := line.recv(65536)):
        found += part
    return found


def authorized(small: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {small.token}"}


def test_other_addresses_need_the_token(small: Server) -> None:
    assert len(small.token) >= 16
    for path in ("/model", "/metrics", "/openapi.json", "/predict", "/nothing"):
        answer = small.ask("GET", path)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    for wrong in ("Bearer x", f"Basic {small.token}", "Bearer", f"Bearer {small.token[:-1]}", "Bearer \xfc"):
        assert small.ask("GET", "/model", headers={"Authorization": wrong}).status == 401
    assert small.ask("GET", "/model", headers=authorized(small)).status == 200
    assert small.ask("GET", "/healthz").status == 200


def test_too_large_and_too_many(small: Server, photos: Path) -> None:
    headers, (name, data) = authorized(small), sent(photos)[0]
    padded = data + bytes(70_000)
    assert small.post("/predict", [(name, padded)], **headers).status == 413
    body, kind = multipart([(name, padded)])
    with small.connect() as line:  # in chunks, so that nothing says how long it will be
        line.sendall(head(kind, "Transfer-Encoding: chunked", small.token))
        line.sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert small.post("/predict", [(name, data)] * 5, **headers).status == 400
    assert small.ask("POST", "/predict", data, {**headers, "Content-Type": "image/png"}).status == 415
    assert small.post("/predict", [], **headers).status == 400


def test_a_full_queue_says_when_to_come_again(small: Server, photos: Path) -> None:
    files, headers = sent(photos)[:3], authorized(small)
    alone = small.post("/predict", files, **headers)
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: small.post("/predict", files, **headers), range(96)))
    full = [answer for answer in answers if answer.status == 503]
    assert full
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in full)
    assert {answer.body for answer in answers if answer.status == 200} == {alone.body}
    assert len(full) < 96


def test_a_decoder_that_hangs_or_dies_takes_its_image_and_nothing_else(small: Server, photos: Path) -> None:
    files, four, headers = sent(photos)[:1], sent(photos)[:4], authorized(small)
    alone, together = (small.post("/predict", some, **headers).body for some in (files, four))
    killed = small.children()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert small.post("/predict", four, **headers).body == together  # all of them are asked, and start again
    stopped = small.children()
    assert not {*killed} & {*stopped}
    assert len(killed) == len(stopped) == 2
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        late = pool.submit(small.post, "/predict", files, **headers)
        wait_until(lambda: any(map(unread_bytes, stopped)))  # the request has reached one of them
        for pid in stopped:  # what its timer of processor time sends
            os.kill(pid, signal.SIGPROF)
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: all(map(has_ended, stopped)))  # a decoder still dying would blame the next image for it
    assert late.result().json["predictions"][0]["error"] == "took longer than 3 s to decode"
    assert small.post("/predict", files, **headers).body == alone
    assert b"topwork_decoder_crashes_total" in small.ask("GET", "/metrics", headers=headers).body


def test_who_does_not_send_is_sent_away(small: Server) -> None:
    with small.connect() as mute, small.connect() as slow:
        mute.sendall(b"GET /healthz HT")
        slow.sendall(head("multipart/form-data; boundary=x", "Content-Length: 500", small.token) + b"--x")
        assert slow.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert mute.recv(1) == b""


def test_who_does_not_read_is_sent_away(small: Server) -> None:
    with small.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = (
            f"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {small.token}\r\n\r\n".encode()
        )
        deaf.sendall(request * 5_000)
        wait_until(lambda: deaf.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)
    assert small.ask("GET", "/healthz").status == 200


def test_more_connections_than_there_may_be(small: Server) -> None:
    lines = [small.connect() for _ in range(45)]
    try:
        assert lines[-1].recv(65536).startswith(b"HTTP/1.1 503 ")
    finally:
        for line in lines:
            line.close()
    wait_until(lambda: small.ask("GET", "/healthz").status == 200)


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_stop_finishes_what_has_begun(small: Server, photos: Path, number: int) -> None:
    """The last test of this server."""
    body, kind = multipart(sent(photos)[:2])
    with small.connect() as line:
        line.sendall(head(kind, f"Content-Length: {len(body)}", small.token) + body[:300])
        assert small.ask("GET", "/healthz").status == 200  # what was sent before has been read
        small.process.send_signal(number)

        def refused() -> bool:
            try:
                small.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(refused)
        line.sendall(body[300:])
        answer = line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert small.process.wait(timeout=60) == 0
    assert [line for line in small.errors if "Traceback" in line] == []


def test_an_address_that_is_taken_is_one_line(comparison: topwork.Comparison) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="--port"):
        topwork.serve(comparison["mlp"].path, port=taken.getsockname()[1])
    with pytest.raises(UsageError, match="--host"):
        topwork.serve(comparison["mlp"].path, host="no.such.host.invalid")


def test_a_short_answer_does_not_wait_for_the_one_before() -> None:
    """asyncio turns Nagle's delay off where a socket says that it is one of TCP; what it accepts says the same."""
    with bind("127.0.0.1", 0) as place:
        assert place.proto == socket.IPPROTO_TCP


def test_who_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOPWORK_TOKEN", raising=False)
    assert not access_for("127.0.0.1").token
    assert not access_for("localhost").token
    assert access_for("0.0.0.0").token
    assert access_for("127.0.0.1", token=True).token
    behind = access_for("127.0.0.1", ["My.Example."])
    assert behind.token
    assert behind.accepts_host("my.example")
    assert not behind.accepts_host("my.example.evil")
    assert access_for("0.0.0.0").is_new
    monkeypatch.setenv("TOPWORK_TOKEN", "a-token-of-my-own")
    assert access_for("127.0.0.1").token == "a-token-of-my-own"
    assert not access_for("127.0.0.1").is_new  # and is not printed
    monkeypatch.setenv("TOPWORK_TOKEN", "short")
    with pytest.raises(UsageError, match="16"):
        access_for("127.0.0.1")
    assert Access(frozenset()).accepts_token("")


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"topwork\[serve\]"):
        topwork.serve(tmp_path)


def test_threads_are_ended(server: Server) -> None:
    assert not [thread for thread in threading.enumerate() if thread.name == "topwork-inference"]
