//! Pictures of every kind, made by Pillow, and damage to them.

use std::{
    env,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use rand::{Rng, RngExt};

use crate::repository;

/// One small picture of each kind that is read, among those in [`variants`].
pub const KINDS: [&str; 14] = [
    "jpeg-0.jpg",
    "jpeg-progressive-0.jpg",
    "jpeg-restarts-0.jpg",
    "png-rgba-0.png",
    "apng-0.png",
    "webp-lossy-0.webp",
    "webp-lossless-0.webp",
    "gif-0.gif",
    "tiff-tiff_lzw-0.tif",
    "tiff-bilevel-0.tif",
    "tiff-tiled-0.tif",
    "bmp-os2-0.bmp",
    "avif-0.avif",
    "heic-0.heic",
];

/// Makes the pictures in a folder below `state`, once for all tests: each of them is a process of its own.
///
/// `worker/pictures/tests/variants.py` makes them, with the seed in `CARAWAY_PICTURE_SEED`, or 1. `deploy/dev test`
/// installs what it needs and names its Python in `CARAWAY_PICTURE_PYTHON`.
pub fn variants(state: &Path) -> PathBuf {
    let script = repository().join("worker/pictures/tests/variants.py");
    let seed = env::var("CARAWAY_PICTURE_SEED").unwrap_or_else(|_| "1".into());
    let mut version = DefaultHasher::new();
    std::fs::read(&script).expect("the script ships with the repository").hash(&mut version);
    let folder = state.join(format!("variants-{seed}-{:x}", version.finish()));
    let lock = File::create(folder.with_extension("lock")).expect("the state folder takes files");
    lock.lock().expect("a lock of our own");
    if folder.join("expected.json").exists() {
        return folder;
    }
    let python = env::var("CARAWAY_PICTURE_PYTHON")
        .expect("CARAWAY_PICTURE_PYTHON must name a Python with Pillow and pillow-heif; deploy/dev test sets it");
    let made = Command::new(python).arg(script).arg(&folder).arg(seed).status();
    assert!(made.is_ok_and(|status| status.success()), "the pictures could not be made");
    folder
}

/// Turns bits, writes nonsense over a stretch, cuts, or doubles a part.
pub fn mutated(file: &[u8], dice: &mut impl Rng) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..dice.random_range(1..6) {
        // a header does more harm than pixels
        let reach = if dice.random_bool(0.5) { file.len().min(600) } else { file.len() };
        let at = dice.random_range(0..reach);
        match dice.random_range(0..5) {
            0 | 1 => file[at] ^= 1 << dice.random_range(0..8),
            2 => file.iter_mut().skip(at).take(8).for_each(|byte| *byte = dice.random()),
            3 => file[at] = if dice.random_bool(0.5) { 0xFF } else { 0 },
            _ if dice.random_bool(0.3) => file.truncate(at.max(1)),
            _ => {
                let end = (at + dice.random_range(1..64)).min(file.len());
                let part = file[at..end].to_vec();
                file.splice(at..at, part);
            }
        }
    }
    file
}
