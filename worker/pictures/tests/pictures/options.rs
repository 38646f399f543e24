//! What the options make of a picture.

use caraway_picture::Format;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use crate::codecs::{Codecs, pixels};

const DAMAGED: &[u8] = include_bytes!("../cases/jpeg-damaged-middle.jpg");
const WIDE_GAMUT: &[u8] = include_bytes!("../cases/png-profile-70k.png");

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Red rises to the right, green downwards.
fn gradient(width: u32, height: u32) -> DynamicImage {
    let shade = |at: u32, of: u32| u8::try_from(at * 255 / of.max(2).saturating_sub(1)).unwrap();
    RgbImage::from_fn(width, height, |x, y| Rgb([shade(x, width), shade(y, height), 0])).into()
}

fn png(image: &DynamicImage) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

#[test]
fn sizes_and_formats() {
    let (mut codecs, wide) = (Codecs::start(), png(&gradient(300, 100)));
    for (json, size) in [
        ("{}", (256, 85)),
        (r#"{"width":90,"height":90}"#, (90, 30)),
        (r#"{"width":90,"height":90,"fit":"contain"}"#, (90, 90)),
        (r#"{"width":90,"height":90,"fit":"cover"}"#, (90, 90)),
        (r#"{"width":90,"height":90,"fit":"cover","gravity":"smart"}"#, (90, 90)),
        (r#"{"width":90,"height":90,"fit":"outside"}"#, (270, 90)),
        (r#"{"width":90,"rotate":90}"#, (90, 270)),
        (r#"{"width":900,"without_enlargement":true}"#, (300, 100)),
    ] {
        let (made, bytes) = codecs.make(&wide, json).unwrap();
        assert_eq!((made.width, made.height), size, "{json}");
        assert_eq!(pixels(&bytes).dimensions(), size, "{json}");
    }
    for (format, magic, at) in
        [("jpg", &b"\xFF\xD8\xFF"[..], 0), ("png", b"\x89PNG", 0), ("webp", b"WEBP", 8), ("avif", b"ftypavif", 4)]
    {
        let (_, bytes) = codecs.make(&wide, &format!(r#"{{"format":"{format}"}}"#)).unwrap();
        assert!(bytes[at..].starts_with(magic), "{format}: {:?}", &bytes[..16]);
        assert_eq!(codecs.make(&bytes, r#"{"format":"png"}"#).unwrap().0.format, Format::Png, "{format} is read again");
    }
    let length = |codecs: &mut Codecs, json: &str| codecs.make(&wide, json).unwrap().1.len();
    assert!(
        length(&mut codecs, r#"{"format":"webp","quality":20}"#)
            < length(&mut codecs, r#"{"format":"webp","quality":95}"#)
    );
    let (_, progressive) = codecs.make(&wide, r#"{"format":"jpeg","progressive":true}"#).unwrap();
    assert!(progressive.windows(2).any(|marker| marker == b"\xFF\xC2"));
}

#[test]
fn cover_shows_what_gravity_says() {
    let (mut codecs, wide) = (Codecs::start(), png(&gradient(300, 100)));
    for (gravity, left, right) in [("west", 0, 85), ("center", 85, 170), ("east", 170, 255)] {
        let json = format!(r#"{{"width":90,"height":90,"fit":"cover","gravity":"{gravity}"}}"#);
        let shown = pixels(&codecs.make(&wide, &json).unwrap().1);
        let red = |x| shown.get_pixel(x, 45).0[0];
        assert!(red(0).abs_diff(left) < 6 && red(89).abs_diff(right) < 6, "{gravity}: {} {}", red(0), red(89));
    }
    // a window of a turned picture: its own left is the stored bottom
    let json = r#"{"width":30,"height":30,"fit":"cover","gravity":"north","rotate":90}"#;
    let shown = pixels(&codecs.make(&wide, json).unwrap().1);
    assert!(shown.get_pixel(15, 0).0[0] < 10 && shown.get_pixel(0, 15).0[1] > 245, "{:?}", shown.get_pixel(0, 15));
}

#[test]
fn backgrounds_lie_behind_transparency() {
    let half = RgbaImage::from_fn(400, 400, |x, _| if x < 200 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 255, 0, 0]) });
    let (mut codecs, half) = (Codecs::start(), png(&half.into()));
    let at = |bytes: &[u8], x| image::load_from_memory(bytes).unwrap().to_rgba8().get_pixel(x, 9).0;
    for format in ["png", "webp"] {
        let (_, kept) = codecs.make(&half, &format!(r#"{{"format":"{format}","lossless":true}}"#)).unwrap();
        assert_eq!((at(&kept, 10), at(&kept, 250)[3]), ([255, 0, 0, 255], 0));
        assert!(at(&kept, 127)[1] == 0, "invisible green must not bleed: {:?}", at(&kept, 127));
    }
    let (_, white) = codecs.make(&half, r#"{"format":"jpeg"}"#).unwrap();
    assert!(at(&white, 250)[0] > 250);
    let (_, blue) = codecs.make(&half, r##"{"background":"#0000ff"}"##).unwrap();
    assert_eq!(at(&blue, 250), [0, 0, 255, 255]);
}

#[test]
fn effects_change_what_they_should() {
    let edge: DynamicImage = RgbImage::from_fn(100, 40, |x, _| Rgb([if x < 50 { 60 } else { 190 }; 3])).into();
    let (mut codecs, edge) = (Codecs::start(), png(&edge));
    let mut column = |json: &str, x| pixels(&codecs.make(&edge, json).unwrap().1).get_pixel(x, 20).0[0];
    assert!((column(r#"{"blur":4}"#, 48)).abs_diff(125) < 30, "the edge is soft");
    assert!(column(r#"{"sharpen":1}"#, 50) > 192, "the bright side of the edge is brighter");
    assert_eq!(column("{}", 50), 190);
}

#[test]
fn profiles_and_grey() {
    let mut codecs = Codecs::start();
    let has_profile = |bytes: &[u8]| bytes.windows(4).any(|name| name == b"iCCP");
    let (_, plain) = codecs.make(WIDE_GAMUT, "{}").unwrap();
    let (_, kept) = codecs.make(WIDE_GAMUT, r#"{"keep_profile":true}"#).unwrap();
    assert!(!has_profile(&plain) && has_profile(&kept));
    let (_, grey) = codecs.make(WIDE_GAMUT, r#"{"grayscale":true}"#).unwrap();
    assert_eq!(image::load_from_memory(&grey).unwrap().color(), image::ColorType::L8);
}

#[test]
fn exif_comes_along_without_the_place() {
    // one directory with a maker, and one with a latitude's reference
    let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
    tiff.extend(b"\x0f\x01\x02\0\x04\0\0\0Acm\0"); // Make, four letters
    tiff.extend(b"\x25\x88\x04\0\x01\0\0\0\x26\0\0\0\0\0\0\0"); // where the place lies
    tiff.extend(b"\x01\0\x01\0\x02\0\x02\0\0\0N\0\0\0\0\0\0\0");
    let mut jpeg = encoded(&gradient(300, 100), ImageFormat::Jpeg);
    let segment = [&b"Exif\0\0"[..], &tiff].concat();
    let length = u16::try_from(segment.len() + 2).unwrap().to_be_bytes();
    jpeg.splice(2..2, [&[0xFF, 0xE1], &length[..], &segment].concat());
    let mut codecs = Codecs::start();
    let says = |bytes: &[u8], words: &[u8]| bytes.windows(words.len()).any(|there| there == words);
    let (_, bare) = codecs.make(&jpeg, "{}").unwrap();
    assert!(!says(&bare, b"Exif\0\0"));
    for how in [
        r#""format":"jpeg""#,
        r#""format":"png""#,
        r#""format":"png","progressive":true"#,
        r#""format":"webp""#,
        r#""format":"webp","lossless":true"#,
        r#""format":"avif""#,
    ] {
        let (_, kept) = codecs.make(&jpeg, &format!(r#"{{"metadata":"keep",{how}}}"#)).unwrap();
        let read = exif::Reader::new().read_from_container(&mut std::io::Cursor::new(&kept)).unwrap();
        let make = read.get_field(exif::Tag::Make, exif::In::PRIMARY).unwrap();
        assert_eq!(make.display_value().to_string(), "\"Acm\"", "{how}");
        assert!(read.fields().all(|field| field.tag.context() != exif::Context::Gps), "{how}");
        assert!(!says(&kept, b"\x25\x88\x04\0") && !says(&kept, b"\x88\x25\0\x04"), "{how}");
        assert!(codecs.make(&kept, "{}").is_ok(), "{how}");
    }
}

#[test]
fn what_cannot_be_made_is_told_with_its_code() {
    let mut codecs = Codecs::start();
    let whole = encoded(&gradient(300, 200), ImageFormat::Jpeg);
    for format in
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff]
    {
        let file = encoded(
            &gradient(300, 200).to_rgba8().into(),
            if format == ImageFormat::Jpeg { ImageFormat::Png } else { format },
        );
        let file = if format == ImageFormat::Jpeg { &whole } else { &file };
        for part in [20, 10, 5, 2] {
            let cut = &file[..file.len() - file.len() / part];
            assert_eq!(codecs.make(cut, "{}").unwrap_err().code(), "corrupt_image", "{format:?} less 1/{part}");
        }
    }
    for (file, json, code) in [
        (&b"<svg/>"[..], "{}", "not_an_image"),
        (b"8BPS\0\x01", "{}", "unsupported_picture"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "{}", "unsupported_picture"),
        (&whole, r#"{"width":0}"#, "invalid_options"),
        (&whole, r#"{"page":3}"#, "invalid_options"),
        (&whole, r#"{"width":8192,"height":8192,"fit":"fill"}"#, "image_too_large"),
    ] {
        assert_eq!(codecs.make(file, json).unwrap_err().code(), code, "{json}");
    }
    // damage without restart markers shifts or greys all that follows
    let mut shifted = DAMAGED.to_vec();
    let restart = shifted.windows(4).position(|bytes| bytes == b"\xFF\xDD\0\x04").unwrap();
    shifted[restart + 4..restart + 6].fill(0);
    assert_eq!(codecs.make(&shifted, "{}").unwrap_err().code(), "corrupt_image");
}
