"""A process that decodes images for another one; inspection, ``predict`` and ``serve`` all decode here.

Run as ``python -m topwork.data.decoder LIMITS``, it processes requests from standard input until its end.
A decoder that crashes or exceeds a limit ends this process and nothing else; ``decoder_pool`` is the parent.
"""

from __future__ import annotations

import faulthandler
import io
import json
import signal
import struct
import sys
from dataclasses import asdict, astuple, dataclass
from typing import IO, Any

from PIL import Image

from topwork.core.artifacts import DEFAULT_RULES, InputSpec, PixelRules
from topwork.core.image_ref import ImageRef
from topwork.data import child_process
from topwork.data.images import MAX_PIXELS, UnreadableImage, decode, read_image_bytes
from topwork.data.inspection import MIN_SIDE, inspect_file
from topwork.data.near_duplicates import thumbnail_of
from topwork.data.resize import resize_for_network

INSPECT, NETWORK_INPUT, THUMBNAIL, GRAYS = "inspect", "network input", "thumbnail", "grays"
THUMBNAIL_SIDE = 240  # pixels
_NO_REF = ImageRef("", "")
_LENGTHS = struct.Struct(">II")  # of a message's JSON value and of the bytes that follow it


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What one image may cost; memory is limited by ``child_process``.

    Attributes:
        max_pixels: As the file declares them.
        cpu_seconds: Processor time, so that a busy machine excludes no image.
        wall_seconds: Against a decoder that waits without using the processor, for instance for a dead network.
    """

    max_pixels: int = MAX_PIXELS
    cpu_seconds: float = 10.0
    wall_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """A task on one image.

    Attributes:
        task: ``INSPECT`` (see ``inspect_file``), ``NETWORK_INPUT`` (uint8 pixels (S, S, 3) as the network sees them),
            ``THUMBNAIL`` (a JPEG of at most ``THUMBNAIL_SIDE`` pixels) or ``GRAYS`` (of ``near_duplicates``).
        ref: The image.
        data: The content of an image file instead of a reference.
        known: For ``INSPECT``: hash of the content that needs no inspection.
        spec: For ``NETWORK_INPUT``: input of the network.
        rules: For the other tasks: how to decode.
    """

    task: str
    ref: ImageRef = _NO_REF
    data: bytes | None = None
    known: str = ""
    spec: InputSpec | None = None
    rules: PixelRules = DEFAULT_RULES

    def write(self, file: IO[bytes]) -> None:
        """Send the request."""
        spec = self.spec and asdict(self.spec)
        rest = self.data is not None, self.known, spec, astuple(self.rules)
        write_message(file, [self.task, astuple(self.ref), *rest], self.data or b"")


def handle(request: Request, limits: DecoderLimits) -> tuple[Any, bytes]:
    """The response to a request: a JSON value (for ``INSPECT``) and bytes (for the other tasks).

    Raises:
        UnreadableImage: The image cannot be decoded; ``INSPECT`` returns the reason instead.
    """
    if request.task == INSPECT:
        content, inspection = inspect_file(request.ref, request.known, request.rules)
        return [content, inspection and astuple(inspection)], b""
    data = read_image_bytes(request.ref) if request.data is None else request.data
    min_side = MIN_SIDE if request.task == GRAYS else request.spec.resize_size if request.spec else THUMBNAIL_SIDE
    rules = request.spec.pixel_rules if request.spec else request.rules
    image, _ = decode(data, min_side=min_side, box=request.ref.box, max_pixels=limits.max_pixels, rules=rules)
    if request.spec:
        return None, resize_for_network(image, request.spec).tobytes()
    if request.task == GRAYS:
        grays, side = thumbnail_of(image)
        return side, grays.tobytes()
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return None, file.getvalue()


def write_message(file: IO[bytes], value: Any, data: bytes = b"") -> None:
    """Write a JSON value and bytes."""
    text = json.dumps(value).encode("ascii")
    file.write(_LENGTHS.pack(len(text), len(data)) + text)
    file.write(data)
    file.flush()


def read_message(file: IO[bytes]) -> tuple[Any, bytes] | None:
    """Read what ``write_message`` wrote; None at the end of the file, and for a message that is not complete."""
    lengths = file.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    text_length, data_length = _LENGTHS.unpack(lengths)
    text, data = file.read(text_length), file.read(data_length)
    return (json.loads(text), data) if len(text) == text_length and len(data) == data_length else None


def _set_timers(cpu_seconds: float, wall_seconds: float) -> None:
    """End this process by SIGPROF or SIGALRM when a time has passed; 0 cancels."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    elif wall_seconds:  # Windows
        faulthandler.dump_traceback_later(wall_seconds, exit=True)
    else:
        faulthandler.cancel_dump_traceback_later()


def main(arguments: str) -> None:
    """Handle requests until there are none; nothing but responses is written to standard output."""
    output = child_process.init_child()
    limits = DecoderLimits(**json.loads(arguments))
    Image.init()  # loads the modules of all formats: uploads make this process open no other files
    write_message(output, "ready")
    while message := read_message(sys.stdin.buffer):
        (task, ref, has_data, known, spec, rules), data = message
        spec = InputSpec.from_dict(spec) if spec else None
        request = Request(task, ImageRef.from_list(ref), data if has_data else None, known, spec, PixelRules(*rules))
        _set_timers(limits.cpu_seconds, limits.wall_seconds)
        try:
            response = handle(request, limits)
        except UnreadableImage as error:
            response = {"error": error.reason}, b""
        _set_timers(0, 0)
        write_message(output, *response)


if __name__ == "__main__":
    main(sys.argv[1])
