import base64
import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from course_utils.grading.pictures import MAX_SIDE, Album, Picture


def coded(image: Image.Image, kind: str = "PNG", **options) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.data)))


def bomb(width: int, height: int) -> str:
    """Return a PNG whose header claims a size that its few bytes do not hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")).decode()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_keeps_its_pixels(mode):
    image = Image.linear_gradient("L").resize((7, 5))
    image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
    picture = Album().take(coded(image))
    assert picture.mime == "image/png"
    assert decoded(picture).convert("RGBA").tobytes() == image.convert("RGBA").tobytes()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_stays_a_jpeg(mode):
    picture = Album().take(coded(Image.new(mode, (9, 4)), "JPEG"))
    assert picture.mime == "image/jpeg"
    assert picture.url.startswith("data:image/jpeg;base64,")
    assert decoded(picture).size == (9, 4)


def test_a_jpeg_of_many_scans_is_not_decoded():
    """Each scan is decoded over the whole picture, and takes 31 bytes in the file."""
    whole = base64.b64decode(coded(Image.new("L", (64, 64)), "JPEG", progressive=True))
    assert Album().take(base64.b64encode(whole).decode()) is not None
    last = whole.rindex(b"\xff\xda")
    for scans, is_taken in ((30, True), (60, False)):
        longer = whole[:-2] + whole[last:-2] * scans + whole[-2:]
        assert (Album().take(base64.b64encode(longer).decode()) is not None) == is_taken
    inside = PngImagePlugin.PngInfo()  # in a PNG these bytes mean nothing
    inside.add(b"prVt", b"\xff\xda" * 100)
    assert Album().take(coded(Image.new("L", (9, 9)), pnginfo=inside)) is not None


def test_the_kind_is_what_the_picture_is():
    assert Album().take(coded(Image.new("RGB", (2, 2)), "JPEG")).mime == "image/jpeg"


def test_nothing_but_pixels_stays():
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "<script>SECRET</script>")
    exif = Image.Exif()
    exif[0x010E] = "SECRET place"
    for image in (
        coded(Image.new("RGB", (3, 3)), pnginfo=note, exif=exif, icc_profile=b"SECRET" * 9),
        coded(Image.new("RGB", (3, 3)), "JPEG", exif=exif, comment=b"SECRET"),
    ):
        assert b"SECRET" in base64.b64decode(image)
        assert b"SECRET" not in base64.b64decode(Album().take(image).data)


def test_a_photograph_is_turned_as_its_camera_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert decoded(Album().take(coded(Image.new("RGB", (8, 4)), "JPEG", exif=exif))).size == (4, 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_picture_becomes_smaller(kind):
    picture = decoded(Album().take(coded(Image.new("RGB", (4000, 1000)), kind)))
    assert picture.size == (MAX_SIDE, MAX_SIDE // 4)


@pytest.mark.parametrize(
    "refused",
    [
        bomb(30_000, 30_000),
        bomb(9_000, 9_000),
        coded(Image.new("1", (5000, 5000))),  # whole, small as a file, large in memory
        coded(Image.new("L", (8000, 8000)), "JPEG"),
        bomb(100, 100),  # fewer bytes than it claims
        base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode(),
        base64.b64encode(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;").decode(),
        coded(Image.new("RGB", (50, 50)))[:60],
        "not base64: é",
        "",
        None,
        3,
        ["x", 3],
        {"x": 1},
        "A" * 9_000_000,
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_picture_is_refused(refused):
    assert Album().take(refused) is None


def test_a_notebook_may_hold_the_text_in_lines():
    text = coded(Image.new("RGB", (20, 20)))
    assert Album().take([text[:30] + "\n", text[30:]]) == Album().take(text)


def test_the_album_is_full_at_its_bounds():
    pictures = [coded(Image.new("RGB", (2, 2), colour)) for colour in ("red", "blue", "green")]
    album = Album(count=2)
    assert [album.take(picture) is not None for picture in pictures] == [True, True, False]
    assert album.take(pictures[0]) is not None  # seen before, so no new work
    size = len(Album().take(pictures[0]).data)
    album = Album(characters=2 * size)
    assert [album.take(pictures[0]) is not None for _ in range(3)] == [True, True, False]


def test_the_work_of_decoding_is_bounded():
    album = Album(pixels=50)
    assert album.take(coded(Image.new("L", (6, 6), 1))) is not None
    assert album.take(coded(Image.new("L", (6, 6), 2))) is None
    assert album.take(coded(Image.new("L", (3, 3), 3))) is not None
    photograph = coded(Image.new("L", (6000, 6000)), "JPEG")  # read at a quarter of its sides
    assert Album(pixels=6000 * 6000 // 4).take(photograph) is not None


def test_refused_pictures_use_up_the_count():
    album = Album(count=1)
    assert album.take("xx") is None
    assert album.take(coded(Image.new("RGB", (2, 2)))) is None
