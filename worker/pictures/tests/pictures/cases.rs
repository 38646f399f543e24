//! The twelve pictures of `tests/cases`, held against the table in its README.

use std::path::Path;

use caraway_picture::Format;

use crate::codecs::{Codecs, Expected, deviation, pixels};

fn numbers(text: &str) -> Vec<u32> {
    let words = text.split(|letter: char| !letter.is_ascii_digit()).filter(|word| !word.is_empty());
    words.map(|word| word.parse().unwrap()).collect()
}

fn expected(size: &str, mean: &str, pixels: &str) -> Expected {
    let channels = |values: &[u32]| -> [u8; 3] { std::array::from_fn(|at| u8::try_from(values[at]).unwrap()) };
    Expected {
        size: (numbers(size)[0], numbers(size)[1]),
        mean: channels(&numbers(mean)).map(f64::from),
        pixels: pixels.split(';').map(numbers).map(|all| ((all[0], all[1]), channels(&all[2..]))).collect(),
    }
}

#[test]
fn the_twelve_cases_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let (mut codecs, mut wrong, mut seen) = (Codecs::start(), Vec::new(), 0);
    for row in table.lines().filter(|line| line.starts_with("| ") && line.matches('.').count() > 1) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, right) = (cells[1], expected(cells[4], cells[5], cells[6]));
        if !folder.join(name).is_file() {
            continue;
        }
        seen += 1;
        let file = std::fs::read(folder.join(name)).unwrap();
        match codecs.make(&file, "{}") {
            Ok((made, bytes)) => {
                let most = if made.format == Format::Jpeg { 25 } else { 12 };
                wrong.extend(deviation(&pixels(&bytes), &right, most).map(|told| format!("{name}: {told}")));
                if name == "webp-lossy.webp" && bytes.len() > 2 * file.len() {
                    wrong.push(format!("{name}: {} bytes", bytes.len()));
                }
                if name == "jpeg-damaged-middle.jpg" && made.warnings.is_empty() {
                    wrong.push(format!("{name}: no warning"));
                }
            }
            // libvips reads tiles, and planes, and not both in one
            Err(fault) if name == "tiff-tiled-planar.tiff" && fault.code() == "unsupported_picture" => {}
            Err(fault) => wrong.push(format!("{name}: {fault}")),
        }
    }
    assert_eq!((seen, wrong), (12, Vec::<String>::new()));
}
