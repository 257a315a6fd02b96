"""Pictures of strangers: kept when they really are pictures, drawn anew, within a budget."""

import base64
import io
import warnings
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Album", "Picture"]

MAX_PIXELS = 50_000_000  # of one picture, by its header: a phone's photograph passes
MAX_DECODED = 16_000_000  # pixels of one picture in memory; a large JPEG is read at less
MAX_SIDE = 1600  # pixels; larger pictures are made smaller
JPEG_SCAN = b"\xff\xda"  # begins a scan; each is decoded over the whole picture
MAX_SCANS = 50  # libjpeg's own writer makes 10
MAX_CODED = 8_000_000  # characters of base64 read for one picture


@dataclass(frozen=True)
class Picture:
    """A picture that this module wrote: its kind and its bytes in base64."""

    mime: str
    data: str

    @property
    def url(self) -> str:
        return f"data:{self.mime};base64,{self.data}"


@dataclass
class Album:
    """Takes pictures in until the room for them is used up.

    Parameters
    ----------
    count
        How many pictures it takes, at most; those that are refused count too, as
        looking at them costs time.
    characters
        How many characters of base64 it holds, at most.
    pixels
        How many pixels are decoded for it, at most.
    """

    count: int = 60
    characters: int = 6_000_000
    pixels: int = 64_000_000
    _seen: dict[str, Picture | None] = field(default_factory=dict)

    def take(self, coded: Any) -> Picture | None:
        """Return a PNG or JPEG in base64 drawn anew, or None where it is none or has no room."""
        if isinstance(coded, list) and all(isinstance(part, str) for part in coded):
            coded = "".join(coded)
        if not isinstance(coded, str) or len(coded) > MAX_CODED:
            return None
        if coded not in self._seen:
            if len(self._seen) >= self.count:
                return None
            self._seen[coded] = self._redraw(coded)
        picture = self._seen[coded]
        if picture is None or len(picture.data) > self.characters:
            return None
        self.characters -= len(picture.data)
        return picture

    def _redraw(self, coded: str) -> Picture | None:
        """Decode a picture and write its pixels, and nothing else of it, into a new file."""
        from PIL import Image

        try:
            content = base64.b64decode(coded, validate=False)
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Pillow only warns of a bomb of middling size
                with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
                    if image.format == "JPEG" and content.count(JPEG_SCAN) > MAX_SCANS:
                        return None
                    whole = image.width * image.height
                    image.draft("RGB", (MAX_SIDE, MAX_SIDE))
                    decoded = image.width * image.height
                    if whole > MAX_PIXELS or decoded > min(MAX_DECODED, self.pixels):
                        return None
                    self.pixels -= decoded
                    return _write(image)
        except Exception:  # decoders fail in many ways on what is not a picture
            return None


def _write(image: Any) -> Picture:
    from PIL import ImageOps

    is_png = image.format == "PNG"
    image.load()
    plain = ImageOps.exif_transpose(image)
    is_large = max(plain.size) > MAX_SIDE
    if is_png and (is_large or plain.mode not in ("1", "L", "P", "RGB", "RGBA")):
        plain = plain.convert("RGBA")
    elif not is_png and plain.mode not in ("L", "RGB"):
        plain = plain.convert("RGB")
    if is_large:
        plain.thumbnail((MAX_SIDE, MAX_SIDE))
    # Whatever else a file can carry (places, colour profiles, comments) stays behind.
    plain.info = {key: plain.info[key] for key in ("transparency",) if key in plain.info}
    buffer = io.BytesIO()
    plain.save(buffer, "PNG" if is_png else "JPEG", **({} if is_png else {"quality": 85}))
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture("image/png" if is_png else "image/jpeg", data)
