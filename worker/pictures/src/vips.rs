//! What is said to libvips, and what it says. Its enumerations are numbers here, as its own header has them: the crate
//! sets properties by name, and takes no others.

use anyhow::Context;
use caraway_picture::Fault;
use rs_vips::{
    Vips, VipsImage,
    enums::{BandFormat, Interpretation},
    voption::{Setter, VOption},
};

/// `VipsAccess`: from top to bottom, once, so that no more than some lines are in memory.
pub(crate) const SEQUENTIAL: i32 = 1;
/// `VipsFailOn`.
pub(crate) const FAIL_ON_NOTHING: i32 = 0;
pub(crate) const FAIL_ON_WARNING: i32 = 3;
/// `VipsKernel`.
pub(crate) const LANCZOS3: i32 = 5;
/// `VipsIntent`.
pub(crate) const PERCEPTUAL: i32 = 0;
/// `VipsForeignPngFilter`.
pub(crate) const ALL_FILTERS: i32 = 0xF8;
/// `VipsForeignHeifCompression`.
pub(crate) const AV1: i32 = 4;

/// Starts libvips, and has everything loaded that it loads when it is first used: later it can open no file.
pub(crate) fn start() -> anyhow::Result<()> {
    Vips::init("caraway-pictures").context("libvips cannot be started")?;
    Vips::concurrency_set(1);
    Vips::cache_set_max(0);
    // Of no use as a picture, but it makes libheif look for its plugins.
    let _ = VipsImage::heifload_buffer(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x08mdat");
    let black = VipsImage::new_from_memory_copy(&[0; 64 * 3], 8, 8, 3, BandFormat::Uchar)?;
    let black = black.copy_with_opts(VOption::new().set("interpretation", number(Interpretation::Srgb)))?;
    black.icc_transform("srgb")?.write_to_memory();
    black.webpsave_buffer()?;
    Vips::error_clear();
    Ok(())
}

/// An enumeration's number, for a property.
pub(crate) fn number(interpretation: Interpretation) -> i32 {
    match interpretation {
        Interpretation::BW => 1,
        Interpretation::Cmyk => 15,
        Interpretation::Rgb16 => 25,
        Interpretation::Grey16 => 26,
        _ => 22,
    }
}

/// What libvips has complained of, in one line; the buffer is empty afterwards.
pub(crate) fn complaint() -> String {
    const LENGTH_MAX: usize = 300;
    let told = Vips::error_buffer().unwrap_or_default();
    Vips::error_clear();
    let mut lines: Vec<&str> = told.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    lines.join("; ").chars().filter(|letter| !letter.is_control()).take(LENGTH_MAX).collect()
}

/// A fault of decoding, told in libvips' words.
pub(crate) fn undecodable() -> Fault {
    let told = complaint();
    if told.contains("out of memory") || told.contains("unable to allocate") {
        return Fault::TooLarge(format!("its decoder needs more memory than it may have ({told})"));
    }
    for (words, kind) in [
        ("not a known", "this variety"),
        ("unsupported", "this variety"),
        ("Unsupported", "this variety"),
        ("not supported", "this variety"),
        ("not configured", "this compression"),
        ("Sorry, ", "this variety"),
        ("no decoding plugin", "this compression"),
    ] {
        if told.contains(words) {
            return Fault::Unsupported(format!("{kind} ({told})"));
        }
    }
    Fault::Corrupt(if told.is_empty() { "its decoder gave up".to_owned() } else { told })
}

/// A fault of writing.
pub(crate) fn unwritable() -> Fault {
    Fault::Encoding(complaint())
}
