//! `caraway-pictures`: the picture codecs, in a process of their own.
//!
//! A worker starts it, sends files over its standard input, and reads results from its standard output; nothing else is
//! said to it. libvips and what it is built on are C and read strangers' bytes, so before the first file is read, the
//! process gives up everything but memory, threads and those two pipes ([`seal`]).
//!
//! Two decoders stand beside libvips, and both are Rust: for PNG and BMP. PNG is several times faster that way, and
//! distributions build libvips without BMP.

mod bmp;
mod colour;
mod cost;
mod damage;
mod effects;
mod embed;
mod encode;
mod exif;
mod flatten;
mod jpeg;
mod load;
mod make;
mod raster;
mod scale;
mod seal;
mod serve;
mod source;
mod srgb;
mod vips;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ =
                std::io::Write::write_all(&mut std::io::stderr(), format!("caraway-pictures: {error:#}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// The only argument is the most memory that a picture may ever take, in mebibytes.
fn run() -> anyhow::Result<()> {
    let mebibytes = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let mebibytes =
        mebibytes.ok_or_else(|| anyhow::anyhow!("it is started by a worker, with a number of mebibytes"))?;
    vips::start()?;
    seal::seal(mebibytes)?;
    serve::serve(&mut std::io::stdin().lock(), &mut std::io::stdout().lock())
}
