"""Whether the entropy-coded data of a JPEG are complete, found out while Pillow decodes it.

libjpeg fills what is missing with gray and skips what is left over, and Pillow hides its warnings. But a decoder that
is fed piece by piece shows where it is: inside of a segment it returns the bytes of a block that is not complete, and
after the last block of the segment it consumes whatever precedes the next marker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, JpegImagePlugin

_SOF, _EOI, _SOS = {0xC0, 0xC1, 0xC2}, 0xD9, 0xDA  # frames with Huffman codes; end of image; start of scan
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_FILLER = b"\xfe" * 8  # libjpeg looks up to eight bytes ahead
_PROBES = 4  # single bytes by which a segment is tested for its end; inside of one, libjpeg never consumes two in a row
_TRUNCATED = "truncated: a part of the image data is missing"
_MAX_EXTRA = 16  # bytes after the last block; cameras pad with some, and more of them if all are the same


@dataclass(frozen=True, slots=True)
class _Scan:
    """Header of a scan, as it is in the file, and the first and last byte of each segment between restart markers."""

    header: bytes
    segments: list[tuple[int, int]]


def load(image: JpegImagePlugin.JpegImageFile, data: bytes) -> None:
    """Decode an opened JPEG completely, as ``image.load()`` does; a missing end marker does not matter.

    Raises:
        OSError: Its data end early, or do not match its size.
    """
    frame, scans = _parse(data)
    if frame is None or not scans:
        image.load()
        return
    if not _covers_all_coefficients(frame, scans):
        raise OSError(_TRUNCATED)
    image.load_prepare()
    name, extents, _, arguments = image.tile[0]
    feed = _Feed(Image._getdecoder(image.mode, name, arguments, image.decoderconfig))
    feed.decoder.setimage(image.im, extents)
    try:
        position = 0
        for scan in scans:
            for start, end in scan.segments:
                feed.decode_segment(data[position:start], data[start:end])
                position = end
            restart = bytes([0xFF, 0xD0 + (len(scan.segments) - 1) % 8])  # another segment would begin with it
            if not feed.reaches_end(restart + _FILLER, _FILLER[:_PROBES]):
                raise OSError(_TRUNCATED)
        if len(scans) > 1:
            feed(b"\xff\xd9")
        if not feed.finished:
            raise OSError(_TRUNCATED)
    finally:
        feed.decoder.cleanup()
    image.tile = []
    image.load_end()


class _Feed:
    """A decoder of Pillow, and what it has not consumed of the bytes that it was given."""

    def __init__(self, decoder: Any) -> None:
        self.decoder, self.rest, self.finished = decoder, b"", False

    def __call__(self, data: bytes) -> bool:
        """Decode more; whether all of it was consumed."""
        if not self.finished:
            self.rest += data
            consumed, error = self.decoder.decode(self.rest)
            self.finished = consumed < 0
            if self.finished and error < 0:
                raise OSError("damaged: the image data cannot be decoded")
            self.rest = self.rest[max(0, consumed) :]
        return self.finished or not self.rest

    def reaches_end(self, data: bytes, probes: bytes) -> bool:
        """Decode more; whether the last block of the segment was decoded before the last of the probes."""
        self(data)
        return all([self(probes[i : i + 1]) for i in range(len(probes))][-2:])

    def decode_segment(self, header: bytes, data: bytes) -> None:
        """Decode a segment and what precedes it.

        Raises:
            OSError: Its last block is missing, or is not at its end.
        """
        self(header)
        end, followed, position = len(data), data + 2 * _FILLER, 0
        used = len(data.rstrip(data[-1:]))  # equal bytes at the end may be padding, or pixels of one color
        for stop in (used, end) if end - used > 2 * _MAX_EXTRA else (end,):
            early = max(position, stop - _MAX_EXTRA)
            if self.reaches_end(followed[position:early], followed[early : early + _PROBES]) and early > _MAX_EXTRA:
                raise OSError("damaged: the image data do not match the size of the image")
            position = stop + len(_FILLER)
            if self.reaches_end(followed[early + _PROBES : position], followed[position : position + _PROBES]):
                return
            position += _PROBES
        raise OSError(_TRUNCATED)


def _parse(data: bytes) -> tuple[bytes | None, list[_Scan]]:
    """The frame header and the scans; no frame header if the data are not coded by Huffman codes."""
    frame, scans, position = None, list[_Scan](), 2
    while found := _MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker == _EOI:
            break
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        content, position = data[position + 2 : position + length], position + length
        if marker in _SOF:
            frame = content
        elif marker == _SOS:
            scan = _Scan(content, [])
            scans.append(scan)
            restart = True
            while restart:
                following = _MARKER.search(data, position)
                end = following.start() if following else len(data)
                while end > position and data[end - 1] == 0xFF:  # fill bytes before the marker
                    end -= 1
                scan.segments.append((position, end))
                restart = following is not None and 0xD0 <= following[1][0] <= 0xD7
                position = following.end() if following and restart else end
    return frame, scans


def _covers_all_coefficients(frame: bytes, scans: Sequence[_Scan]) -> bool:
    """Whether the scans have all coefficients of all components to their last bit."""
    missing = {component: bytearray(b"\xff" * 64) for component in frame[6::3]}
    for scan in scans:
        first, last, bits = scan.header[-3:].rjust(3, b"\xff")  # shorter if the file ends in it
        for component in scan.header[1:-3:2]:
            if component in missing and first <= last < 64:
                missing[component][first : last + 1] = bytes([bits & 15]) * (last + 1 - first)
    return not any(map(any, missing.values()))
