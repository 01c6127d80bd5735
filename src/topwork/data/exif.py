"""When and with which camera an image was taken, from its EXIF data; nothing else of them is kept."""

from __future__ import annotations

import hashlib

from PIL import Image

_MAKE, _MODEL, _EXIF = 0x010F, 0x0110, 0x8769
_TIME_ORIGINAL, _TIME_DIGITIZED, _FRACTION, _SERIAL = 0x9003, 0x9004, 0x9291, 0xA431


def exposure(image: Image.Image) -> tuple[str, str]:
    """The time, such as ``2024:05:03 10:11:12.25``, and a short hash of maker, model and serial number of the camera.

    Either is empty if it is not known. The time at which a program has written the file is no time of exposure.
    """
    try:
        exif = image.getexif()
        details = exif.get_ifd(_EXIF)
        time = _text(details.get(_TIME_ORIGINAL) or details.get(_TIME_DIGITIZED))
        fraction = _text(details.get(_FRACTION))
        camera = "\n".join(_text(value) for value in (exif.get(_MAKE), exif.get(_MODEL), details.get(_SERIAL)))
    except Exception:  # broken metadata is no reason to lose an image
        return "", ""
    taken = f"{time}.{fraction}" if time and fraction.isdecimal() else time
    return taken, hashlib.sha256(camera.encode()).hexdigest()[:8] if camera.strip() else ""


def _text(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return "".join(sign for sign in text if sign.isprintable()).strip()[:64]
