//! The pipeline on real photographs, on small pictures made here, and on hostile bytes. One long
//! file, since all of it stands on the same few makers of pictures.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

use super::*;

const ROCKET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/photos/rocket.jpg");
const ASTRONAUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/photos/astronaut.png");

fn file(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

fn options(json: &str) -> Options {
    serde_json::from_str(json).unwrap()
}

fn bytes_of(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Red to the right, green downwards: every transformation shows.
fn gradient(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([u8::try_from(x * 255 / width).unwrap(), u8::try_from(y * 255 / height).unwrap(), 40])
    })
    .into()
}

fn png(image: &DynamicImage) -> Vec<u8> {
    bytes_of(image, ImageFormat::Png)
}

fn decoded(picture: &Picture) -> DynamicImage {
    let image = image::load_from_memory(&picture.bytes).unwrap();
    assert_eq!((image.width(), image.height()), (picture.width, picture.height), "the file and its description");
    image
}

fn run(input: &[u8], json: &str) -> Picture {
    let picture = process(input, &options(json)).unwrap();
    decoded(&picture);
    picture
}

fn size_of(input: &[u8], json: &str) -> (u32, u32) {
    let picture = run(input, json);
    (picture.width, picture.height)
}

fn code_of(input: &[u8], json: &str) -> &'static str {
    match process(input, &options(json)) {
        Err(fault) => fault.code(),
        Ok(picture) => panic!("{json}: a picture of {} x {}", picture.width, picture.height),
    }
}

#[test]
fn thumbnails_of_photographs() {
    let rocket = run(&file(ROCKET), "{}");
    assert_eq!((rocket.width, rocket.height, rocket.format), (256, 171, Format::Jpeg));
    let astronaut = run(&file(ASTRONAUT), "{}");
    assert_eq!((astronaut.width, astronaut.height, astronaut.format), (256, 256, Format::Png));
    let reference = image::load_from_memory(&file(ASTRONAUT)).unwrap().resize_exact(
        256,
        256,
        image::imageops::FilterType::Lanczos3,
    );
    let distance: u64 = reference
        .to_rgb8()
        .iter()
        .zip(decoded(&astronaut).to_rgb8().iter())
        .map(|(one, other)| u64::from(one.abs_diff(*other)))
        .sum();
    assert!(distance < 256 * 256 * 3, "more than 1 of 255 away from another Lanczos on average: {distance}");
}

#[test]
fn a_thumbnail_of_a_thumbnail_is_itself() {
    let once = run(&file(ASTRONAUT), "{}");
    assert_eq!(run(&once.bytes, "{}"), once);
    let jpeg = run(&file(ROCKET), "{}");
    let again = run(&jpeg.bytes, "{}");
    assert_eq!((again.width, again.height), (jpeg.width, jpeg.height));
    assert_eq!(size_of(&png(&gradient(30, 20)), "{}"), (30, 20), "never enlarged unasked");
}

#[test]
fn sizes_follow_the_options() {
    let wide = png(&gradient(300, 100));
    for (json, size) in [
        (r#"{"width":150}"#, (150, 50)),
        (r#"{"height":200}"#, (600, 200)),
        (r#"{"width":90,"height":90}"#, (90, 30)),
        (r#"{"width":90,"height":90,"fit":"contain"}"#, (90, 30)),
        (r#"{"width":900,"height":900}"#, (900, 300)),
        (r#"{"width":90,"height":10}"#, (30, 10)),
        (r#"{"width":90,"height":90,"fit":"cover"}"#, (90, 90)),
        (r#"{"width":90,"height":90,"fit":"fill"}"#, (90, 90)),
        (r#"{"width":90,"fit":"cover"}"#, (90, 30)),
        (r#"{"width":8192,"fit":"contain"}"#, (8192, 2731)),
    ] {
        assert_eq!(size_of(&wide, json), size, "{json}");
    }
}

#[test]
fn cover_crops_the_middle_and_fill_stretches() {
    let wide = png(&gradient(300, 100));
    let edge = |json: &str| {
        let image = decoded(&run(&wide, json)).to_rgb8();
        (image.get_pixel(0, 45).0[0], image.get_pixel(89, 45).0[0])
    };
    let (left, right) = edge(r#"{"width":90,"height":90,"fit":"fill"}"#);
    assert!(left < 5 && right > 250, "fill shows the whole width: {left} {right}");
    let (left, right) = edge(r#"{"width":90,"height":90,"fit":"cover"}"#);
    assert!(left.abs_diff(85) < 4 && right.abs_diff(169) < 4, "cover shows the middle third: {left} {right}");
}

#[test]
fn cover_meets_every_box() {
    for (width, height) in [(1, 1), (1, 50), (3, 7), (7, 3), (33, 32), (49, 99), (50, 1)] {
        for source in [(1, 1), (2, 9), (9, 2), (13, 17), (97, 89)] {
            let input = png(&gradient(source.0, source.1));
            let json = format!(r#"{{"width":{width},"height":{height},"fit":"cover"}}"#);
            assert_eq!(size_of(&input, &json), (width, height), "{source:?}");
        }
    }
}

#[test]
fn formats_are_what_they_say() {
    let rocket = file(ROCKET);
    for (json, magic, format) in [
        (r#"{"format":"jpeg"}"#, &b"\xFF\xD8\xFF"[..], Format::Jpeg),
        (r#"{"format":"jpg"}"#, b"\xFF\xD8\xFF", Format::Jpeg),
        (r#"{"format":"png"}"#, b"\x89PNG\r\n\x1A\n", Format::Png),
        (r#"{"format":"webp"}"#, b"RIFF", Format::Webp),
    ] {
        let picture = run(&rocket, json);
        assert!(picture.bytes.starts_with(magic), "{json}");
        assert_eq!(picture.format, format);
    }
    let webp = run(&rocket, r#"{"format":"webp"}"#);
    assert_eq!(webp.bytes.get(8..12), Some(&b"WEBP"[..]));
    assert_eq!(run(&webp.bytes, "{}").format, Format::Webp, "the input's own");
    for other in [ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff] {
        let picture = run(&bytes_of(&gradient(300, 100).to_rgba8().into(), other), "{}");
        assert_eq!((picture.format, picture.width, picture.height), (Format::Png, 256, 85), "{other:?}");
    }
}

#[test]
fn quality_changes_a_jpeg_alone() {
    let rocket = file(ROCKET);
    let length = |json: &str| run(&rocket, json).bytes.len();
    assert!(length(r#"{"quality":20}"#) < length("{}"));
    assert!(length("{}") < length(r#"{"quality":95}"#));
    assert_eq!(length(r#"{"quality":80}"#), length("{}"));
    assert_eq!(length(r#"{"format":"png","quality":1}"#), length(r#"{"format":"png"}"#));
}

/// How finely the first component is sampled beside the others: 0x22 twice as finely in both directions, 0x11 alike.
fn sampling(jpeg: &[u8]) -> u8 {
    let start_of_frame = jpeg.windows(2).position(|marker| marker == b"\xFF\xC0").unwrap();
    jpeg[start_of_frame + 11]
}

#[test]
fn colour_has_half_the_resolution_below_quality_90() {
    let red = png(&RgbImage::from_pixel(40, 30, Rgb([200, 30, 60])).into());
    for (quality, factors) in [(1, 0x22), (80, 0x22), (89, 0x22), (90, 0x11), (100, 0x11)] {
        let picture = run(&red, &format!(r#"{{"format":"jpeg","quality":{quality}}}"#));
        assert_eq!(sampling(&picture.bytes), factors, "quality {quality}");
        let Rgb(seen) = *decoded(&picture).to_rgb8().get_pixel(20, 15);
        let off = seen.into_iter().zip([200, 30, 60]).map(|(seen, wanted)| seen.abs_diff(wanted)).max();
        assert!(quality < 80 || off < Some(4), "quality {quality}: {seen:?}");
    }
}

#[test]
fn grayscale_has_one_channel() {
    for json in [r#"{"grayscale":true}"#, r#"{"grayscale":true,"format":"png"}"#] {
        assert_eq!(decoded(&run(&file(ROCKET), json)).color(), image::ColorType::L8);
    }
    let gray = decoded(&run(&file(ROCKET), r#"{"grayscale":true,"format":"webp"}"#)).to_rgb8();
    assert!(gray.pixels().all(|Rgb([red, green, blue])| red == green && green == blue));
    let clear = png(&RgbaImage::from_pixel(9, 9, Rgba([9, 9, 9, 0])).into());
    let flat = decoded(&run(&clear, r#"{"grayscale":true}"#));
    assert_eq!(flat, GrayImage::from_pixel(9, 9, Luma([255])).into(), "on white");
}

/// Orientation as a camera writes it: a TIFF header and one entry, 0x0112.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    exif
}

/// The same JPEG with an APP1 segment after its first marker.
fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let (start, rest) = jpeg.split_at(2);
    let exif = exif(orientation);
    let length = u16::try_from(exif.len() + 8).unwrap().to_be_bytes();
    [start, &[0xFF, 0xE1], &length, b"Exif\0\0", &exif, rest].concat()
}

#[test]
fn orientation_is_applied_before_sizes_are_judged() {
    let jpeg = bytes_of(&gradient(300, 100), ImageFormat::Jpeg);
    // where red (0 is left) and green (0 is above) of the stored top left corner must end up
    for (orientation, size, corner) in [
        (1, (256, 85), (0, 0)),
        (2, (256, 85), (255, 0)),
        (3, (256, 85), (255, 84)),
        (4, (256, 85), (0, 84)),
        (5, (85, 256), (0, 0)),
        (6, (85, 256), (84, 0)),
        (7, (85, 256), (84, 255)),
        (8, (85, 256), (0, 255)),
    ] {
        let picture = run(&with_exif(&jpeg, orientation), r#"{"format":"png"}"#);
        assert_eq!((picture.width, picture.height), size, "{orientation}");
        let dark = decoded(&picture).to_rgb8().get_pixel(corner.0, corner.1).0;
        assert!(dark[0] < 20 && dark[1] < 20, "{orientation}: {dark:?}");
    }
    let turned = with_exif(&jpeg, 6);
    assert_eq!(size_of(&turned, r#"{"width":50}"#), (50, 150));
    assert_eq!(size_of(&turned, r#"{"width":50,"height":50,"fit":"cover"}"#), (50, 50));
    assert_eq!(size_of(&turned, r#"{"width":200,"height":900}"#), (200, 600), "enlarged");
    assert_eq!(size_of(&run(&turned, "{}").bytes, "{}"), (85, 256), "not turned twice");
}

#[test]
fn orientation_in_png_and_webp() {
    for format in ["png", "webp"] {
        let mut bytes = Vec::new();
        let image = gradient(300, 100);
        let tag = exif(6);
        if format == "png" {
            let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
            image::ImageEncoder::set_exif_metadata(&mut encoder, tag).unwrap();
            image.write_with_encoder(encoder).unwrap();
        } else {
            let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut bytes);
            image::ImageEncoder::set_exif_metadata(&mut encoder, tag).unwrap();
            image.write_with_encoder(encoder).unwrap();
        }
        assert_eq!(size_of(&bytes, "{}"), (85, 256), "{format}");
    }
}

#[test]
fn alpha_is_kept_or_flattened_on_white() {
    let half = RgbaImage::from_fn(400, 400, |x, _| if x < 200 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 255, 0, 0]) });
    let half = png(&half.into());
    for format in ["png", "webp"] {
        let kept = decoded(&run(&half, &format!(r#"{{"format":"{format}"}}"#))).to_rgba8();
        assert_eq!(kept.get_pixel(10, 9).0, [255, 0, 0, 255]);
        assert_eq!(kept.get_pixel(250, 9).0[3], 0);
        let edge = kept.get_pixel(127, 9).0;
        assert!(edge[1] == 0 && edge[0] > 250, "invisible green must not bleed: {edge:?}");
    }
    let flat = decoded(&run(&half, r#"{"format":"jpeg"}"#)).to_rgb8();
    assert!(flat.get_pixel(250, 9).0.iter().all(|value| *value > 250), "white: {:?}", flat.get_pixel(250, 9));
    let half_gray = image::GrayAlphaImage::from_pixel(10, 10, image::LumaA([0, 128]));
    let gray = decoded(&run(&png(&half_gray.into()), r#"{"format":"jpeg"}"#)).to_luma8();
    assert!(gray.get_pixel(5, 5).0[0].abs_diff(127) < 3);
}

#[test]
fn sixteen_bits_and_floats_become_eight() {
    let deep = gradient(300, 100);
    for (image, color) in [
        (DynamicImage::from(deep.to_rgb16()), image::ColorType::Rgb8),
        (deep.to_rgba16().into(), image::ColorType::Rgba8),
        (deep.to_luma16().into(), image::ColorType::L8),
        (deep.to_luma_alpha16().into(), image::ColorType::La8),
    ] {
        for json in ["{}", r#"{"width":600}"#, r#"{"width":300}"#] {
            assert_eq!(decoded(&run(&png(&image), json)).color(), color, "{json}");
        }
        run(&png(&image), r#"{"format":"jpeg"}"#);
        run(&png(&image), r#"{"format":"webp","width":600}"#);
    }
    let tiff = bytes_of(&deep.to_rgb32f().into(), ImageFormat::Tiff);
    let pixel = decoded(&run(&tiff, "{}")).to_rgb8().get_pixel(128, 42).0;
    assert!(pixel[0].abs_diff(127) < 4 && pixel[1].abs_diff(127) < 4, "{pixel:?}");
}

#[test]
fn colour_profiles_survive_where_they_fit() {
    let profile = [&[0; 16][..], b"RGB ", &[0; 200]].concat();
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new(&mut bytes);
    image::ImageEncoder::set_icc_profile(&mut encoder, profile).unwrap();
    gradient(300, 100).write_with_encoder(encoder).unwrap();
    let carries = |json: &str| run(&bytes, json).bytes.windows(11).any(|bytes| bytes == b"ICC_PROFILE");
    assert!(carries("{}"));
    assert!(!carries(r#"{"grayscale":true}"#));
}

#[test]
fn the_first_frame_of_an_animation() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for shade in [200, 10] {
        encoder.encode(&vec![shade; 300 * 60 * 3], 300, 60, ExtendedColorType::Rgb8).unwrap();
    }
    drop(encoder);
    let pixel = decoded(&run(&bytes, "{}")).to_rgb8().get_pixel(100, 20).0;
    assert!(pixel.iter().all(|value| value.abs_diff(200) < 6), "{pixel:?}");
}

#[test]
fn truncated_files_are_corrupt() {
    let image = gradient(300, 200);
    let mut inputs = vec![file(ROCKET), file(ASTRONAUT), with_exif(&bytes_of(&image, ImageFormat::Jpeg), 6)];
    for format in [ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff] {
        inputs.push(bytes_of(&image.to_rgba8().into(), format));
    }
    for input in inputs {
        for part in [20, 10, 5, 2] {
            let cut = &input[..input.len() - input.len() / part];
            assert_eq!(code_of(cut, "{}"), "corrupt_image", "{:02X?} less 1/{part}", &input[..4]);
        }
        assert_eq!(code_of(&input[..16], "{}"), "corrupt_image", "{:02X?} 16 bytes", &input[..4]);
    }
}

#[test]
fn bytes_behind_a_jpeg_do_no_harm() {
    let mut jpeg = bytes_of(&gradient(300, 100), ImageFormat::Jpeg);
    jpeg.extend([0; 100]);
    assert_eq!(size_of(&jpeg, "{}"), (256, 85));
}

#[test]
fn bytes_that_are_no_image() {
    let random: Vec<u8> = (0_u32..5000).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let inputs: [&[u8]; 6] =
        [b"", b"\0", b"P1 no portable bitmap", b"<svg/>", &random, b"\0\0\0\x20ftypavif\0\0\0\0mif1miaf"];
    for input in inputs {
        assert_eq!(code_of(input, "{}"), "not_an_image");
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let image = gradient(64, 48);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
        let whole = bytes_of(&image, format);
        for seed in 0..whole.len().min(700) {
            let mut damaged = whole.clone();
            damaged[seed] ^= 0x5A;
            let _ = process(&damaged, &Options::default());
        }
    }
}

/// A PNG that ends after its header.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 6, 0, 0, 0]);
    let mut crc = u32::MAX;
    for byte in &chunk {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    [b"\x89PNG\r\n\x1A\n\0\0\0\x0D", &chunk[..], &(!crc).to_be_bytes(), b"\0\0\0\0IDAT\x35\xAF\x06\x1E"].concat()
}

#[test]
fn headers_that_claim_too_much_fail_before_decoding() {
    for (width, height) in [(60_000, 60_000), (8193, 1), (1, 8193), (8192, 8192), (7000, 6000)] {
        let before = std::time::Instant::now();
        assert_eq!(code_of(&png_header(width, height), "{}"), "image_too_large", "{width} x {height}");
        assert!(before.elapsed().as_secs() < 1, "from the header alone");
    }
    assert_eq!(code_of(&png_header(7000, 5000), "{}"), "corrupt_image", "allowed, but nothing follows");
    let mut gif = bytes_of(&gradient(9, 9).to_rgba8().into(), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x60, 0xEA, 0x60, 0xEA]);
    assert_eq!(code_of(&gif, "{}"), "image_too_large");
    let mut bmp = bytes_of(&gradient(9, 9), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0x60, 0xEA, 0, 0, 0x60, 0xEA, 0, 0]);
    assert_eq!(code_of(&bmp, "{}"), "image_too_large");
}

#[test]
fn extreme_ratios_keep_a_pixel() {
    assert_eq!(size_of(&png(&gradient(1, 1)), "{}"), (1, 1));
    assert_eq!(size_of(&png(&gradient(1, 1)), r#"{"width":100}"#), (100, 100));
    let line = png(&GrayImage::new(1, 8192).into());
    assert_eq!(size_of(&line, "{}"), (1, 256));
    assert_eq!(size_of(&line, r#"{"height":3}"#), (1, 3));
    assert_eq!(size_of(&line, r#"{"width":50,"height":50,"fit":"cover"}"#), (50, 50));
    assert_eq!(code_of(&line, r#"{"width":2}"#), "invalid_options", "16384 pixels high");
    assert_eq!(size_of(&png(&GrayImage::new(8192, 1).into()), r#"{"width":4}"#), (4, 1));
}

#[test]
fn options_out_of_range() {
    let input = png(&gradient(3, 3));
    for json in [
        r#"{"width":0}"#,
        r#"{"height":0}"#,
        r#"{"width":8193}"#,
        r#"{"height":4294967295}"#,
        r#"{"quality":0}"#,
        r#"{"quality":101}"#,
        r#"{"width":8192}"#,
        r#"{"width":8192,"height":8192,"fit":"fill"}"#,
    ] {
        assert_eq!(code_of(&input, json), "invalid_options", "{json}");
    }
    for json in [r#"{"widht":1}"#, r#"{"fit":"Cover"}"#, r#"{"format":"gif"}"#, r#"{"quality":256}"#, r#"{"width":-1}"#]
    {
        assert!(serde_json::from_str::<Options>(json).is_err(), "{json}");
    }
}
