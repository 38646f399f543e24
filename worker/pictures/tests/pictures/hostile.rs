//! Damaged files of every kind: each ends as a picture or as a fault, within its memory and its time.

use std::time::{Duration, Instant};

use caraway_picture::Options;
use caraway_testkit::pictures::{KINDS, mutated};
use rand::{SeedableRng, rngs::StdRng};

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

#[test]
fn a_thousand_damaged_files_of_each_kind_do_no_harm() {
    let (mut worst, mut peak, mut stopped, mut made) = (Duration::ZERO, 0, 0, 0);
    for name in KINDS {
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
        KINDS.len() * MUTATIONS
    );
    assert!(worst < Duration::from_secs(SECONDS_MAX), "{worst:?}");
    assert!(peak < BASE_MEBIBYTES + u64::from(MEBIBYTES), "{peak} MiB");
}
