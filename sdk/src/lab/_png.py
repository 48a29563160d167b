"""An array as a PNG, with zlib alone (PNG specification, third edition: signature, IHDR, IDAT, IEND)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG colour type


def as_png(array: Any) -> bytes | None:
    """`array` (H×W, H×W×C or C×H×W; 8-bit integers, or floats from 0 to 1) as PNG bytes, or None if it is no such image."""
    shape, kind = tuple(array.shape), str(array.dtype)
    if kind not in ("uint8", "bool") and not kind.startswith("float"):
        return None
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 2, 3, 4):
        array = array.transpose(1, 2, 0)
        shape = tuple(array.shape)
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in _COLOUR or 0 in shape:
        return None
    if kind != "uint8":
        array = (array * 255).clip(0, 255).astype("uint8")
    return _encode(array.tobytes(), *shape)


def _encode(pixels: bytes, height: int, width: int, channels: int) -> bytes:
    import zlib

    row = width * channels
    rows = b"".join(b"\0" + pixels[start : start + row] for start in range(0, height * row, row))
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, _COLOUR[channels], 0, 0, 0))
    body = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in body
    )
