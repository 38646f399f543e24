//! What an upload is: what its first bytes say, held against what its sender says.
//!
//! The decision is what counts later: only what was recognised as an image here is ever shown inline to a browser or
//! handed to a decoder.

use actix_web::mime::{self, Mime};
use caraway_picture::{Kind, Recognised};

use crate::problem::{Code, Problem};

/// Of a media type with its parameters.
pub(super) const BYTES_MAX: usize = 255;

/// The image types that the first bytes tell and `process_image` reads.
const IMAGES: [&str; 8] =
    ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif", "image/heic"];

/// Formats that are built on others and begin as those do: an item is what its sender says, and no picture to process.
const BUILT_ON: [(&str, &[&str]); 2] = [
    (
        "image/tiff",
        &[
            "image/x-adobe-dng",
            "image/dng",
            "image/x-canon-cr2",
            "image/x-nikon-nef",
            "image/x-nikon-nrw",
            "image/x-sony-arw",
            "image/x-sony-sr2",
            "image/x-pentax-pef",
            "image/x-samsung-srw",
            "image/x-epson-erf",
            "image/x-kodak-dcr",
            "image/x-hasselblad-3fr",
            "image/x-phaseone-iiq",
            "image/tiff-fx",
            "image/geotiff",
            "image/vnd.stonegate.ometiff",
            "application/geotiff",
        ],
    ),
    ("image/png", &["image/apng", "image/vnd.mozilla.apng"]),
];

/// Whether an item of this type can be processed as an image, and shown as one.
pub(crate) fn is_processable(content_type: &str) -> bool {
    IMAGES.contains(&content_type)
}

/// The type to store: as sniffed, else as declared, else bytes. A contradiction is a problem. The content's beginning will do.
pub(crate) fn decide(declared: Option<&str>, content: &[u8]) -> Result<String, Problem> {
    let sniffed = sniff(content);
    let Some(declared) = declared.map(read).transpose()?.flatten() else {
        return Ok(sniffed.unwrap_or("application/octet-stream").into());
    };
    let claims = canonical(declared.essence_str());
    match sniffed {
        Some(sniffed) if claims == sniffed => Ok(sniffed.into()),
        // An APNG is a PNG, and shown by its first frame; the others are no pictures that are read here.
        Some("image/png") if is_built_on(claims, "image/png") => Ok("image/png".into()),
        Some(sniffed) if is_built_on(claims, sniffed) => Ok(claims.into()),
        // HEIF is a family: which member a file is, its brands tell better than its sender.
        Some(sniffed @ ("image/avif" | "image/heic")) if is_heif(claims) => Ok(sniffed.into()),
        Some(sniffed) => Err(mismatch(claims, sniffed)),
        None if is_processable(claims) => Err(mismatch(claims, "something else")),
        None => Ok(declared.as_ref().into()),
    }
}

fn is_built_on(claims: &str, sniffed: &str) -> bool {
    BUILT_ON.iter().any(|(base, built)| *base == sniffed && built.contains(&claims))
}

fn is_heif(claims: &str) -> bool {
    matches!(claims, "image/heif" | "image/heif-sequence" | "image/heic-sequence" | "image/avif-sequence")
}

/// The declared type; nothing where the sender said nothing that means anything.
fn read(declared: &str) -> Result<Option<Mime>, Problem> {
    let read = declared.parse::<Mime>().ok().filter(|_| declared.len() <= BYTES_MAX);
    let declared =
        read.ok_or_else(|| Problem::new(Code::UnsupportedMediaType, "the Content-Type is not a media type"))?;
    if declared.type_() == mime::MULTIPART {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "send the bytes themselves, or a form with one part that is none",
        ));
    }
    // the second is what `curl --data-binary` says of everything
    let says_nothing = declared.essence_str() == mime::APPLICATION_OCTET_STREAM.essence_str()
        || declared.essence_str() == mime::APPLICATION_WWW_FORM_URLENCODED.essence_str();
    Ok(Some(declared).filter(|_| !says_nothing))
}

/// Old spellings that are still sent.
fn canonical(essence: &str) -> &str {
    match essence {
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "image/x-png" => "image/png",
        "image/x-ms-bmp" | "image/x-bmp" => "image/bmp",
        "image/tif" => "image/tiff",
        other => other,
    }
}

fn mismatch(claims: &str, sniffed: &str) -> Problem {
    Problem::new(Code::ContentTypeMismatch, format!("declared as {claims}, but the content is {sniffed}"))
}

/// By the magic bytes of each format.
fn sniff(content: &[u8]) -> Option<&'static str> {
    match content {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        // "BM", the file's size, four reserved bytes that are zero: two letters alone would claim half of all texts
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some("image/bmp"),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some("image/tiff"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => match caraway_picture::recognise(content) {
            Recognised::Read(Kind::Avif) => Some("image/avif"),
            Recognised::Read(Kind::Heic) => Some("image/heic"),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = b"\xff\xd8\xff\xe0rest";

    fn decided(declared: Option<&str>, content: &[u8]) -> Result<String, String> {
        decide(declared, content).map_err(|problem| problem.to_string().split(':').next().unwrap().to_owned())
    }

    #[test]
    fn formats_by_their_magic() {
        let cases: [(&[u8], &str); 9] = [
            (JPEG, "image/jpeg"),
            (b"\x89PNG\r\n\x1a\nrest", "image/png"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
            (b"GIF89a..", "image/gif"),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "image/bmp"),
            (b"II\x2a\0....", "image/tiff"),
            (b"MM\0\x2a....", "image/tiff"),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "image/avif"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        ];
        for (content, media_type) in cases {
            assert_eq!(decided(None, content).as_deref(), Ok(media_type));
            assert_eq!(decided(Some(media_type), content).as_deref(), Ok(media_type));
        }
        assert_eq!(decided(None, b"BMW is a brand").as_deref(), Ok("application/octet-stream"));
        assert_eq!(decided(None, b"").as_deref(), Ok("application/octet-stream"));
    }

    #[test]
    fn a_contradiction_is_refused_both_ways() {
        let mismatch = Err("content_type_mismatch".to_owned());
        assert_eq!(decided(Some("image/png"), JPEG), mismatch);
        assert_eq!(decided(Some("text/plain"), JPEG), mismatch);
        assert_eq!(decided(Some("image/png"), b"just text"), mismatch);
    }

    #[test]
    fn what_is_built_on_a_format_is_no_contradiction() {
        const TIFF: &[u8] = b"II\x2a\0\x10\0\0\0";
        assert_eq!(decided(Some("image/x-adobe-dng"), TIFF).as_deref(), Ok("image/x-adobe-dng"));
        assert!(!is_processable("image/x-adobe-dng"), "a raw photograph is no picture that is read here");
        assert_eq!(decided(Some("image/apng"), b"\x89PNG\r\n\x1a\n").as_deref(), Ok("image/png"));
        assert_eq!(decided(Some("image/heif"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").as_deref(), Ok("image/heic"));
        assert_eq!(decided(Some("image/x-adobe-dng"), JPEG), Err("content_type_mismatch".to_owned()));
    }

    #[test]
    fn what_says_nothing_contradicts_nothing() {
        for declared in ["application/octet-stream", "application/x-www-form-urlencoded", "IMAGE/JPG"] {
            assert_eq!(decided(Some(declared), JPEG).as_deref(), Ok("image/jpeg"), "{declared}");
        }
        assert_eq!(decided(Some("text/csv; charset=utf-8"), b"a,b").as_deref(), Ok("text/csv; charset=utf-8"));
    }

    #[test]
    fn forms_and_nonsense_are_refused() {
        for declared in ["multipart/form-data; boundary=x", "nonsense", ""] {
            assert_eq!(decided(Some(declared), JPEG), Err("unsupported_media_type".into()), "{declared}");
        }
    }
}
