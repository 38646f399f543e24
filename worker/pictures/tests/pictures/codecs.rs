//! The program, and what is said to it.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use caraway_picture::{Fault, Go, Made, Options, Reply, Request, frame, read_frame};
use image::RgbImage;

pub(crate) const MEBIBYTES: u32 = 512;

pub(crate) struct Codecs {
    pub(crate) child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

/// The program has ended over a picture.
#[derive(Debug)]
pub(crate) struct Gone;

impl Codecs {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_caraway-pictures"))
            .arg(MEBIBYTES.to_string())
            .env_clear()
            .env("VIPS_NOVECTOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// Has one picture made.
    pub(crate) fn try_make(&mut self, file: &[u8], options: Options) -> Result<Result<(Made, Vec<u8>), Fault>, Gone> {
        let bytes = u64::try_from(file.len()).unwrap();
        let request = Request { options, bytes, pixels_max: 200_000_000, mebibytes_max: MEBIBYTES };
        self.stdin.write_all(&frame(&request).unwrap()).map_err(|_| Gone)?;
        self.stdin.write_all(file).map_err(|_| Gone)?;
        let mebibytes = match self.hear()? {
            Reply::Needs(mebibytes) => mebibytes,
            Reply::Fault(fault) => return Ok(Err(fault)),
            Reply::Made(_) => panic!("made before the memory was there"),
        };
        self.stdin.write_all(&frame(&Go { mebibytes, seconds: 60 }).unwrap()).map_err(|_| Gone)?;
        match self.hear()? {
            Reply::Made(made) => {
                let mut bytes = vec![0; usize::try_from(made.bytes).unwrap()];
                self.stdout.read_exact(&mut bytes).map_err(|_| Gone)?;
                Ok(Ok((made, bytes)))
            }
            Reply::Fault(fault) => Ok(Err(fault)),
            Reply::Needs(_) => panic!("it asks twice"),
        }
    }

    pub(crate) fn make(&mut self, file: &[u8], json: &str) -> Result<(Made, Vec<u8>), Fault> {
        self.try_make(file, serde_json::from_str(json).unwrap()).expect("the codecs go on")
    }

    fn hear(&mut self) -> Result<Reply, Gone> {
        read_frame(&mut self.stdout).map_err(|_| Gone)?.ok_or(Gone)
    }

    /// Ends it; its exit code.
    pub(crate) fn end(self) -> Option<i32> {
        let Self { mut child, stdin, stdout } = self;
        drop((stdin, stdout));
        child.wait().unwrap().code()
    }

    /// The most memory that it has had, in MiB.
    pub(crate) fn peak_mebibytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

/// The pixels of a result, laid on white.
pub(crate) fn pixels(bytes: &[u8]) -> RgbImage {
    let image = image::load_from_memory(bytes).unwrap().to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u32::from);
        image::Rgb(
            [red, green, blue].map(|value| u8::try_from((value * alpha + 255 * (255 - alpha) + 127) / 255).unwrap()),
        )
    })
}

/// What a picture must look like.
pub(crate) struct Expected {
    pub(crate) size: (u32, u32),
    pub(crate) mean: [f64; 3],
    pub(crate) pixels: Vec<((u32, u32), [u8; 3])>,
}

/// Allowed are 3 a channel on the mean, and `at_a_pixel` there. `None` where all is well.
pub(crate) fn deviation(seen: &RgbImage, expected: &Expected, at_a_pixel: u8) -> Option<String> {
    if seen.dimensions() != expected.size {
        return Some(format!("{:?} instead of {:?}", seen.dimensions(), expected.size));
    }
    let count = f64::from(seen.width() * seen.height());
    let sum = seen.pixels().fold([0.0; 3], |sum, pixel| std::array::from_fn(|at| sum[at] + f64::from(pixel.0[at])));
    let mean = sum.map(|sum| sum / count);
    if mean.iter().zip(expected.mean).any(|(seen, right)| (seen - right).abs() > 3.0) {
        return Some(format!("its mean is {mean:.0?} instead of {:.0?}", expected.mean));
    }
    for ((x, y), right) in &expected.pixels {
        let there = seen.get_pixel(*x, *y).0;
        if there.iter().zip(right).any(|(seen, right)| seen.abs_diff(*right) > at_a_pixel) {
            return Some(format!("{there:?} at {x}, {y} instead of {right:?}"));
        }
    }
    None
}
