//! Bitmaps of OS/2, made into those of Windows that the decoder knows.

use caraway_picture::Fault;

/// Length of the header of the file, which comes first.
const FILE_HEADER: usize = 14;
/// Length of the header of Windows 3; OS/2's of 16 to 64 bytes begins alike.
const WINDOWS_HEADER: usize = 40;

/// The file with a header of Windows, where it has one of OS/2 2; `None` where it needs none.
pub(crate) fn windows(file: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let long = |at: usize| file.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let Some(length) = long(FILE_HEADER).and_then(|length| usize::try_from(length).ok()) else { return Ok(None) };
    if !matches!(length, 16..=39 | 64) {
        return Ok(None);
    }
    // 0 to 2 mean the same in both; 3 and 4 are OS/2's Huffman code and runs of 24 bits
    if length > 16 && long(FILE_HEADER + 16).is_some_and(|compression| compression > 2) {
        return Err(Fault::Unsupported("this compression of an OS/2 bitmap".to_owned()));
    }
    let cut = || Fault::Corrupt("its header is incomplete".to_owned());
    let whole = file.get(FILE_HEADER..FILE_HEADER + length).ok_or_else(cut)?;
    let rest = file.get(FILE_HEADER + length..).ok_or_else(cut)?;
    let mut header = whole.get(..length.min(WINDOWS_HEADER)).unwrap_or_default().to_vec();
    header.resize(WINDOWS_HEADER, 0);
    let offset = long(10).and_then(|offset| usize::try_from(offset).ok()).ok_or_else(cut)?;
    let offset = u32::try_from((offset + WINDOWS_HEADER).saturating_sub(length)).map_err(|_| cut())?;
    let start = file.get(..10).ok_or_else(cut)?;
    let windows = [start, &offset.to_le_bytes(), &[40, 0, 0, 0], header.get(4..).unwrap_or_default(), rest].concat();
    Ok(Some(windows))
}
