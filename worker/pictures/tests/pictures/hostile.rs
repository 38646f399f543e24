//! Damaged files of every kind: each ends as a picture or as a fault, within its memory and its time.

use std::time::{Duration, Instant};

use caraway_picture::Options;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    codecs::{Codecs, MEBIBYTES},
    variants,
};

const MUTATIONS: usize = 1_000;
/// What the program takes itself, beside its share.
const BASE_MEBIBYTES: u64 = 160;
/// Small pictures take milliseconds; the rest is for a machine that does other things as well.
const SECONDS_MAX: u64 = 20;
const CODES: [&str; 5] = ["corrupt_image", "unsupported_picture", "image_too_large", "not_an_image", "invalid_options"];
const FILES: [&str; 14] = [
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

/// Turns bits, writes nonsense over a stretch, cuts, or doubles a part.
fn mutated(file: &[u8], dice: &mut StdRng) -> Vec<u8> {
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

#[test]
fn a_thousand_damaged_files_of_each_kind_do_no_harm() {
    let (mut worst, mut peak, mut stopped, mut made) = (Duration::ZERO, 0, 0, 0);
    for name in FILES {
        let whole = std::fs::read(variants::folder().join(name)).unwrap();
        let mut dice = StdRng::seed_from_u64(7);
        let mut codecs = Codecs::start();
        for number in 0..MUTATIONS {
            let file = mutated(&whole, &mut dice);
            let began = Instant::now();
            match codecs.try_make(&file, Options { format: Some(caraway_picture::Format::Jpeg), ..Options::default() })
            {
                Ok(Ok(_)) => made += 1,
                Ok(Err(fault)) => assert!(CODES.contains(&fault.code()), "{name} {number}: {fault:?}"),
                Err(_) => {
                    // The worker makes a fault of it, and starts another process. A panic of ours would have the code 101.
                    assert_ne!(codecs.end(), Some(101), "{name} {number}: a panic");
                    stopped += 1;
                    codecs = Codecs::start();
                    continue;
                }
            }
            worst = worst.max(began.elapsed());
            peak = peak.max(codecs.peak_mebibytes());
        }
        assert_eq!(codecs.end(), Some(0), "{name}");
    }
    println!(
        "damaged: {made} of {} made, {stopped} ended the codecs, {worst:?} at most, {peak} MiB",
        FILES.len() * MUTATIONS
    );
    assert!(worst < Duration::from_secs(SECONDS_MAX), "{worst:?}");
    assert!(peak < BASE_MEBIBYTES + u64::from(MEBIBYTES), "{peak} MiB");
}
