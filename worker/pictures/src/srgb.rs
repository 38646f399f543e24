//! Whether a profile says what is assumed without one. Most photographs carry sRGB's own, and applying it costs more than
//! all other steps of a small picture and changes nothing.

/// The three primaries of sRGB, adapted to D50, as profiles state them.
const PRIMARIES: [(&[u8; 4], [f64; 3]); 3] =
    [(b"rXYZ", [0.4361, 0.2225, 0.0139]), (b"gXYZ", [0.3851, 0.7169, 0.0971]), (b"bXYZ", [0.1431, 0.0606, 0.7141])];
const CURVES: [&[u8; 4]; 3] = [b"rTRC", b"gTRC", b"bTRC"];
/// Points of sRGB's curve: what is stored, and how much light that is.
const POINTS: [(f64, f64); 4] = [(0.1, 0.0100), (0.25, 0.0509), (0.5, 0.2140), (0.75, 0.5225)];
/// Profiles round differently; a step of eight bits is 0.004.
const PRIMARY_TOLERANCE: f64 = 0.001;
const LIGHT_TOLERANCE: f64 = 0.0008;

/// Whether this is sRGB by its numbers, whatever its name. A profile that is written in another way is not recognised,
/// and is applied.
pub(crate) fn is_srgb(profile: &[u8]) -> bool {
    let table = |name: &[u8; 4]| tag(profile, *name);
    let primaries = PRIMARIES.iter().all(|(name, right)| {
        let there = table(name).filter(|tag| tag.starts_with(b"XYZ ")).and_then(|tag| numbers::<3>(tag.get(8..)?));
        there.is_some_and(|there| there.iter().zip(right).all(|(seen, right)| (seen - right).abs() < PRIMARY_TOLERANCE))
    });
    let curve = |name: &[u8; 4]| {
        POINTS.iter().all(|(stored, light)| {
            let seen = table(name).and_then(|tag| light_of(tag, *stored));
            seen.is_some_and(|seen| (seen - light).abs() < LIGHT_TOLERANCE)
        })
    };
    // what has a table for perception is not meant by its primaries alone
    table(b"A2B0").is_none() && primaries && CURVES.into_iter().all(curve)
}

/// What a tag holds.
fn tag(profile: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    let whole = |at: usize| Some(u32::from_be_bytes(*profile.get(at..)?.first_chunk()?));
    let count = usize::try_from(whole(128)?).ok()?.min(100);
    let entry =
        (0..count).map(|entry| 132 + entry * 12).find(|at| profile.get(*at..*at + 4) == Some(name.as_slice()))?;
    let (start, length) = (usize::try_from(whole(entry + 4)?).ok()?, usize::try_from(whole(entry + 8)?).ok()?);
    profile.get(start..start.checked_add(length)?)
}

/// So many numbers of 16 bits before the point and 16 behind it.
fn numbers<const N: usize>(bytes: &[u8]) -> Option<[f64; N]> {
    let mut numbers = [0.0; N];
    for (number, four) in numbers.iter_mut().zip(bytes.chunks_exact(4)) {
        *number = f64::from(i32::from_be_bytes(*four.first_chunk()?)) / 65_536.0;
    }
    (bytes.len() >= N * 4).then_some(numbers)
}

/// How much light a curve makes of a stored value, 0 to 1: a table with values between, or sRGB's formula.
fn light_of(curve: &[u8], stored: f64) -> Option<f64> {
    if curve.starts_with(b"para") && curve.get(8..10) == Some(&[0, 3]) {
        let [gamma, a, b, c, d] = numbers(curve.get(12..)?)?;
        return Some(if stored >= d { (a * stored + b).powf(gamma) } else { c * stored });
    }
    let table = curve.strip_prefix(b"curv").and_then(|rest| rest.get(8..))?;
    let entries: Vec<f64> = table
        .chunks_exact(2)
        .filter_map(|pair| Some(f64::from(u16::from_be_bytes(*pair.first_chunk()?)) / 65_535.0))
        .collect();
    let last = u32::try_from(entries.len().checked_sub(1)?).ok().filter(|last| *last > 1)?;
    let place = stored * f64::from(last);
    let (mut before, mut at) = (0_usize, 0.0);
    while at + 1.0 <= place {
        (before, at) = (before + 1, at + 1.0);
    }
    let (low, high) = (entries.get(before)?, entries.get(before + 1)?);
    Some(low + (high - low) * (place - at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sRGB, with its formula; `gamma` in place of its own exponent.
    fn profile(gamma: f64) -> Vec<u8> {
        let number = |value: f64| format!("{:.0}", value * 65_536.0).parse::<i32>().unwrap().to_be_bytes();
        let mut tags: Vec<(&[u8; 4], Vec<u8>)> = PRIMARIES
            .iter()
            .map(|(name, xyz)| (*name, [&b"XYZ \0\0\0\0"[..], &xyz.map(number).concat()].concat()))
            .collect();
        let formula = [gamma, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045].map(number).concat();
        let curve = [&b"para\0\0\0\0\0\x03\0\0"[..], &formula].concat();
        tags.extend(CURVES.map(|name| (name, curve.clone())));
        let (mut table, mut data) = (6_u32.to_be_bytes().to_vec(), Vec::new());
        for (name, content) in tags {
            let start = u32::try_from(132 + 12 * 6 + data.len()).unwrap();
            table.extend([*name, start.to_be_bytes(), u32::try_from(content.len()).unwrap().to_be_bytes()].concat());
            data.extend(content);
        }
        [vec![0; 128], table, data].concat()
    }

    #[test]
    fn srgb_is_told_by_its_numbers() {
        assert!(is_srgb(&profile(2.4)));
        assert!(!is_srgb(&profile(2.2)));
        let whole = profile(2.4);
        assert!((0..whole.len()).all(|length| !is_srgb(&whole[..length])), "cut anywhere");
    }
}
