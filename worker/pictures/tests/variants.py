#!/usr/bin/env python3
"""Pictures of every kind that is read, and what Pillow makes of them: variants.py FOLDER [SEED].

Writes the files and `expected.json`: for each file the options, the size, the mean and three pixels of Pillow's result,
laid on white and in sRGB. The same seed gives the same pictures.
"""

import io
import json
import math
import pathlib
import random
import struct
import sys

from PIL import Image, ImageCms, ImageFilter, ImageOps
from pillow_heif import register_heif_opener

register_heif_opener()
FOLDER = pathlib.Path(sys.argv[1])
HERE = pathlib.Path(__file__).resolve().parent
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
CHOICE = random.Random(SEED)
PHOTOS = HERE.parents[2] / "deploy" / "photos"
EXPECTED = []


def photograph(width, height, mode="RGB"):
    """A part of a photograph, with the noise of its sensor smoothed, so that no kernel of scaling matters much."""
    with Image.open(PHOTOS / CHOICE.choice(["rocket.jpg", "astronaut.png"])) as photo:
        photo = photo.convert("RGB")
        side = CHOICE.uniform(0.5, 0.9)
        box_width = int(min(photo.width * side, photo.height * side * width / height))
        box_height = max(int(box_width * height / width), 1)
        left = CHOICE.randint(0, photo.width - box_width)
        top = CHOICE.randint(0, max(photo.height - box_height, 0))
        part = photo.crop((left, top, left + box_width, top + box_height)).resize((width, height), Image.Resampling.LANCZOS)
    part = part.filter(ImageFilter.GaussianBlur(max(width, height) / 128))
    if "A" in mode:
        alpha = Image.radial_gradient("L").resize((width, height))
        part = part.convert("RGBA")
        part.putalpha(ImageOps.invert(alpha))
    # no dither: what becomes of its noise depends on the order in which a kernel works
    part = part.convert(mode, dither=Image.Dither.NONE)
    part.info.clear()
    return part


def sizes(count):
    return [(CHOICE.randint(40, 900), CHOICE.randint(40, 900)) for _ in range(count)]


def srgb(picture):
    """As a viewer shows it: upright, in sRGB, on white."""
    picture = ImageOps.exif_transpose(picture)
    profile = picture.info.get("icc_profile")
    if profile:
        picture = ImageCms.profileToProfile(
            picture.convert("RGB") if picture.mode not in ("RGB", "RGBA", "CMYK", "L") else picture,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if picture.mode == "RGBA" else "RGB")
    if picture.mode.startswith("I;16"):
        picture = picture.point(lambda value: value / 256).convert("L")
    if picture.mode in ("P", "PA", "LA"):
        picture = picture.convert("RGBA")
    if picture.mode == "1":
        picture = picture.convert("L")
    return picture


def shrunk(picture):
    picture = srgb(picture)
    longer = max(picture.size)
    if longer > 256:
        size = [max(1, math.floor(side * 256 / longer + 0.5)) for side in picture.size]
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def keep(kind, name, content, right=None, code=None):
    """Notes what Pillow makes of the file, or of `right`; `code` where a refusal is right too."""
    (FOLDER / name).write_bytes(content)
    picture = shrunk(right if right is not None else Image.open(io.BytesIO(content)))
    data = list(picture.get_flattened_data())
    mean = [sum(pixel[channel] for pixel in data) / len(data) for channel in range(3)]
    places = [(picture.width // 4, picture.height // 2), (picture.width // 2, picture.height // 4),
              (picture.width * 3 // 4, picture.height // 2)]
    pixels = [[list(place), list(picture.getpixel(place))] for place in places]
    EXPECTED.append({"kind": kind, "file": name, "size": picture.size, "mean": mean, "pixels": pixels, "refusal": code})


def saved(picture, kind, **how):
    content = io.BytesIO()
    picture.save(content, kind, **how)
    return content.getvalue()


def each(kind, count, make, extension):
    for number, size in enumerate(sizes(count)):
        content, right = make(number, size)
        keep(kind, f"{kind}-{number}.{extension}", content, right)


def exif(orientation, little):
    mark, order = (b"II*\0\x08\0\0\0", "<") if little else (b"MM\0*\0\0\0\x08", ">")
    entry = struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + mark + entry


def jpegs():
    each("jpeg", 6, lambda n, s: (saved(photograph(*s), "JPEG", quality=70 + 5 * n, subsampling=n % 3), None), "jpg")
    each("jpeg-progressive", 5, lambda n, s: (saved(photograph(*s), "JPEG", quality=85, progressive=True), None), "jpg")
    each("jpeg-grey", 5, lambda n, s: (saved(photograph(*s, "L"), "JPEG", quality=85), None), "jpg")
    each("jpeg-restarts", 5,
         lambda n, s: (saved(photograph(*s), "JPEG", quality=85, restart_marker_rows=1 + n), None), "jpg")
    large = photograph(4000, 3000)
    keep("jpeg-large", "jpeg-12-megapixels.jpg", saved(large, "JPEG", quality=88))


def pngs():
    modes = ["RGB", "RGBA", "L", "LA", "P", "1"]
    for mode in modes:
        each(f"png-{mode.lower()}", 5, lambda n, s, mode=mode: (saved(photograph(*s, mode), "PNG"), None), "png")

    def deep(number, size):
        grey = photograph(*size, "L")
        wide = Image.new("I;16", size)
        wide.putdata([value * 257 for value in grey.get_flattened_data()])
        return saved(wide, "PNG"), grey
    each("png-16-bits", 5, deep, "png")

    def animated(number, size):
        first, second = photograph(*size), photograph(*size)
        return saved(first, "PNG", save_all=True, append_images=[second]), first
    each("apng", 5, animated, "png")


def webps():
    each("webp-lossy", 5, lambda n, s: (saved(photograph(*s), "WEBP", quality=60 + 8 * n), None), "webp")
    each("webp-lossless", 5, lambda n, s: (saved(photograph(*s, "RGBA"), "WEBP", lossless=True), None), "webp")

    def animated(number, size):
        first = photograph(*size)
        return saved(first, "WEBP", save_all=True, append_images=[photograph(*size)], lossless=True), first
    each("webp-animated", 5, animated, "webp")


def gifs():
    each("gif", 5, lambda n, s: (saved(photograph(*s, "P"), "GIF"), None), "gif")


def tiffs():
    for compression in [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"]:
        name = f"tiff-{compression or 'raw'}"
        each(name, 5, lambda n, s, c=compression: (saved(photograph(*s), "TIFF", compression=c), None), "tif")
    each("tiff-bilevel", 5,
         lambda n, s: (saved(photograph(*s, "1"), "TIFF", compression=["group3", "group4"][n % 2]), None), "tif")
    each("tiff-palette", 5, lambda n, s: (saved(photograph(*s, "P"), "TIFF"), None), "tif")
    each("tiff-alpha", 5, lambda n, s: (saved(photograph(*s, "RGBA"), "TIFF", compression="tiff_lzw"), None), "tif")
    each("tiff-rgbx", 5,
         lambda n, s: (saved(photograph(*s).convert("RGBX"), "TIFF", compression="tiff_lzw"), None), "tif")
    each("tiff-tiled", 5, lambda n, s: tiled(s), "tif")



def tiled(size):
    """A tiled TIFF, which Pillow reads and does not write."""
    picture = photograph(*size)
    side = 64
    across, down = -(-size[0] // side), -(-size[1] // side)
    tiles = []
    for row in range(down):
        for column in range(across):
            tile = Image.new("RGB", (side, side))
            tile.paste(picture.crop((column * side, row * side, min((column + 1) * side, size[0]),
                                     min((row + 1) * side, size[1]))), (0, 0))
            tiles.append(tile.tobytes())
    count = len(tiles)
    entries = 11
    extra = 8 + 2 + entries * 12 + 4
    bits_at, offsets_at = extra, extra + 6 + 2
    counts_at = offsets_at + 4 * count
    data_at = counts_at + 4 * count

    def tag(number, kind, amount, value):
        return struct.pack("<HHII", number, kind, amount, value)
    one = count == 1
    directory = b"".join([
        tag(256, 4, 1, size[0]), tag(257, 4, 1, size[1]), tag(258, 3, 3, bits_at), tag(259, 3, 1, 1), tag(262, 3, 1, 2),
        tag(277, 3, 1, 3), tag(284, 3, 1, 1), tag(322, 4, 1, side), tag(323, 4, 1, side),
        tag(324, 4, count, data_at if one else offsets_at), tag(325, 4, count, side * side * 3 if one else counts_at)])
    offsets = b"".join(struct.pack("<I", data_at + n * side * side * 3) for n in range(count))
    counts = struct.pack("<I", side * side * 3) * count
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + directory + struct.pack("<I", 0)
    content += struct.pack("<HHHH", 8, 8, 8, 0) + offsets + counts + b"".join(tiles)
    return content, picture


def bitmaps():
    each("bmp", 5, lambda n, s: (saved(photograph(*s), "BMP"), None), "bmp")
    each("bmp-palette", 5, lambda n, s: (saved(photograph(*s, "P"), "BMP"), None), "bmp")

    def os2(number, size):
        picture = photograph(*size)
        content = saved(picture, "BMP")
        # a header of OS/2 2: 64 bytes, of which the first 40 are as Windows has them
        header = struct.pack("<I", 64) + content[18:54] + bytes(24)
        start = content[:10] + struct.pack("<I", 14 + 64)
        return start + header + content[54:], picture
    each("bmp-os2", 5, os2, "bmp")

    def core(number, size):
        picture = photograph(*size)
        content = saved(picture, "BMP")
        header = struct.pack("<IHHHH", 12, size[0], size[1], 1, 24)
        return content[:10] + struct.pack("<I", 26) + header + content[54:], picture
    each("bmp-os2-core", 5, core, "bmp")


def heifs():
    each("avif", 5, lambda n, s: (saved(photograph(*s), "AVIF", quality=70 + 4 * n), None), "avif")
    each("avif-alpha", 5, lambda n, s: (saved(photograph(*s, "RGBA"), "AVIF", quality=90), None), "avif")
    each("heic", 5, lambda n, s: (saved(photograph(*s), "HEIF", quality=70 + 4 * n), None), "heic")


def orientations():
    for kind, extension in [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")]:
        for orientation in range(1, 9):
            for little in [True, False]:
                picture = photograph(300, 200)
                block = exif(orientation, little)
                name = f"orientation-{extension}-{orientation}-{'little' if little else 'big'}.{extension}"
                if kind == "TIFF":
                    content = tiff_with_orientation(picture, orientation, little)
                    keep("orientation", name, content)
                    continue
                how = {"quality": 92} if kind == "JPEG" else {}
                keep("orientation", name, saved(picture, kind, exif=block, **how))


def tiff_with_orientation(picture, orientation, little):
    order, mark = ("<", b"II*\0") if little else (">", b"MM\0*")
    entries = 9
    after = 8 + 2 + entries * 12 + 4

    def tag(number, kind, amount, value):
        if kind == 3 and amount == 1:
            return struct.pack(order + "HHIHH", number, kind, amount, value, 0)
        return struct.pack(order + "HHII", number, kind, amount, value)
    data = picture.tobytes()
    directory = b"".join([
        tag(256, 4, 1, picture.width), tag(257, 4, 1, picture.height), tag(258, 3, 3, after), tag(262, 3, 1, 2),
        tag(273, 4, 1, after + 6), tag(274, 3, 1, orientation), tag(277, 3, 1, 3), tag(278, 4, 1, picture.height),
        tag(279, 4, 1, len(data))])
    return (mark + struct.pack(order + "I", 8) + struct.pack(order + "H", entries) + directory
            + struct.pack(order + "I", 0) + struct.pack(order + "HHH", 8, 8, 8) + data)


# Primaries and white of the profiles that cameras and programs write; the last number is the exponent of the curve.
SPACES = {
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290), 2.2),
    "adobergb": ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), (0.3127, 0.3290), 2.19921875),
    "prophoto": ((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105), (0.345704, 0.358540), 1.8),
}
D50 = (0.9642, 1.0, 0.8249)


def product(a, b):
    return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(len(b[0]))] for i in range(3)]


def inverse(m):
    (a, b, c), (d, e, f), (g, h, i) = m
    det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return [[(e * i - f * h) / det, (c * h - b * i) / det, (b * f - c * e) / det],
            [(f * g - d * i) / det, (a * i - c * g) / det, (c * d - a * f) / det],
            [(d * h - e * g) / det, (b * g - a * h) / det, (a * e - b * d) / det]]


def profile(space):
    """An ICC profile of version 2: three primaries, adapted to D50 (Bradford), and one exponent."""
    red, green, blue, white, gamma = SPACES[space]
    xyz = lambda xy: [xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]]
    columns = [list(row) for row in zip(*[xyz(red), xyz(green), xyz(blue)])]
    whole = xyz(white)
    scales = [row[0] for row in product(inverse(columns), [[value] for value in whole])]
    matrix = [[columns[i][j] * scales[j] for j in range(3)] for i in range(3)]
    bradford = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    cone = lambda w: [row[0] for row in product(bradford, [[value] for value in w])]
    from_cone, to_cone = cone(whole), cone(D50)
    ratio = [[to_cone[i] / from_cone[i] if i == j else 0.0 for j in range(3)] for i in range(3)]
    matrix = product(product(product(inverse(bradford), ratio), bradford), matrix)
    fixed = lambda value: struct.pack(">i", round(value * 65536))
    point = lambda values: b"XYZ \0\0\0\0" + b"".join(fixed(value) for value in values)
    text = space.encode() + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags = [(b"desc", description), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", point(D50))]
    tags += [(name, point([matrix[i][j] for i in range(3)])) for j, name in enumerate([b"rXYZ", b"gXYZ", b"bXYZ"])]
    tags += [(name, curve) for name in [b"rTRC", b"gTRC", b"bTRC"]]
    return icc(b"mntrRGB XYZ ", tags)


def icc(kind, tags):
    """A profile of version 2 around its tags."""
    table, data, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(data), len(content))
        data += content
    head = struct.pack(">I", 128 + len(table) + len(data)) + bytes(4) + struct.pack(">I", 0x02100000) + kind
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(struct.pack(">i", round(value * 65536)) for value in D50)
    return head + bytes(128 - len(head)) + table + data


def lab(rgb):
    """CIE Lab of linear red, green and blue of sRGB, by the matrix that is adapted to D50."""
    matrix = [(0.4360747, 0.3850649, 0.1430804), (0.2225045, 0.7168786, 0.0606169), (0.0139322, 0.0971045, 0.7141733)]
    root = lambda t: t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116
    x, y, z = (root(sum(m * v for m, v in zip(row, rgb)) / white) for row, white in zip(matrix, D50))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def inks():
    """The profile of the case, and one of a simple model of four inks on grey paper: a table of 5 steps an ink."""
    with Image.open(HERE / "cases" / "jpeg-cmyk-profile.jpg") as picture:
        yield picture.info["icc_profile"]
    steps, table = [0, 0.25, 0.5, 0.75, 1], b""
    for cyan in steps:
        for magenta in steps:
            for yellow in steps:
                for black in steps:
                    rgb = [0.9 * (1 - 0.95 * ink) ** 2 * (1 - 0.98 * black) ** 2 for ink in (cyan, magenta, yellow)]
                    level, a, b = lab(rgb)
                    table += bytes(max(0, min(255, round(v))) for v in (level * 2.55, a + 128, b + 128))
    identity = bytes(range(256))
    one, nought = struct.pack(">i", 65536), bytes(4)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 5, 0]) + (one + nought * 3) * 2 + one + identity * 4 + table + identity * 3
    lut += bytes(-len(lut) % 4)
    text = b"four inks\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in D50)
    yield icc(b"prtrCMYKLab ", [(b"desc", description), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", white), (b"A2B0", lut)])


def profiles():
    for space in SPACES:
        block = profile(space)
        for number, size in enumerate(sizes(5)):
            content = saved(photograph(*size), "PNG" if number % 2 else "JPEG", icc_profile=block,
                            **({} if number % 2 else {"quality": 92}))
            keep("profile", f"profile-{space}-{number}.{'png' if number % 2 else 'jpg'}", content)
    for which, block in enumerate(inks()):
        for number, size in enumerate(sizes(5)):
            picture = photograph(*size).convert("CMYK")
            kind, extension = ("JPEG", "jpg") if number % 2 == 0 else ("TIFF", "tif")
            how = {"quality": 92} if kind == "JPEG" else {}
            keep("profile", f"profile-cmyk-{which}-{number}.{extension}", saved(picture, kind, icc_profile=block, **how))


def originals():
    """A hundred photographs to be shrunk to fewer pixels; nothing is expected of them but a small result."""
    for number in range(100):
        size = (CHOICE.randint(280, 900), CHOICE.randint(280, 900))
        mode = CHOICE.choice(["RGB", "RGB", "P", "L"])
        if number % 2:
            content, extension = saved(photograph(*size), "WEBP", quality=CHOICE.randint(10, 95)), "webp"
        else:
            picture = photograph(*size)
            picture = picture.quantize(256) if mode == "P" else picture.convert(mode)
            content, extension = saved(picture, "PNG", optimize=True), "png"
        (FOLDER / f"original-{number}.{extension}").write_bytes(content)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in [jpegs, pngs, webps, gifs, tiffs, bitmaps, heifs, orientations, profiles, originals]:
        part()
    (FOLDER / "expected.json").write_text(json.dumps(EXPECTED, indent=1))


main()
