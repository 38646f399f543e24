//! Generated pictures of every kind, held against what Pillow makes of them, and results held against their originals.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use caraway_picture::Format;
use serde::Deserialize;

use crate::codecs::{Codecs, Expected, deviation, pixels};

/// What one picture must become.
#[derive(Deserialize)]
struct Variant {
    kind: String,
    file: String,
    size: (u32, u32),
    mean: [f64; 3],
    pixels: Vec<((u32, u32), [u8; 3])>,
}

/// Where they are.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| caraway_testkit::pictures::variants(Path::new(env!("CARGO_TARGET_TMPDIR"))))
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

#[test]
fn every_kind_is_as_pillow_makes_it() {
    let variants: Vec<Variant> = serde_json::from_slice(&read("expected.json")).unwrap();
    let (mut codecs, mut wrong, mut kinds) = (Codecs::start(), Vec::new(), BTreeMap::<String, u32>::new());
    for Variant { kind, file, size, mean, pixels: right } in variants {
        *kinds.entry(kind).or_default() += 1;
        match codecs.make(&read(&file), "{}") {
            Ok((made, bytes)) => {
                let lossy = matches!(made.format, Format::Jpeg | Format::Webp | Format::Avif);
                let shown = if made.format == Format::Avif {
                    codecs.make(&bytes, r#"{"format":"png"}"#).unwrap().1
                } else {
                    bytes
                };
                let told =
                    deviation(&pixels(&shown), &Expected { size, mean, pixels: right }, if lossy { 25 } else { 12 });
                wrong.extend(told.map(|told| format!("{file}: {told}")));
            }
            Err(fault) => wrong.push(format!("{file}: {fault}")),
        }
    }
    println!("pictures: {kinds:?}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_thumbnail_is_not_larger_than_its_original() {
    let (mut codecs, mut larger, mut count) = (Codecs::start(), Vec::new(), 0);
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with("original-") {
            continue;
        }
        let file = std::fs::read(&path).unwrap();
        let (_, bytes) = codecs.make(&file, "{}").unwrap();
        count += 1;
        if bytes.len() > file.len() {
            larger.push(format!("{}: {} bytes of {}", path.display(), bytes.len(), file.len()));
        }
    }
    assert_eq!((count, larger), (100, Vec::<String>::new()));
}
