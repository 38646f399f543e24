//! Globs over names and codes.

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters. Its time grows with a power of the number
/// of stars, so whoever takes patterns from strangers bounds that.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| rest.get(at..).is_some_and(|rest| glob(tail, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        assert!(glob("*", "") && glob("a*c", "abc") && glob("a*b*c", "axxbyyc") && glob("ä*", "äö"));
        assert!(!glob("a*c", "ab") && !glob("", "a") && !glob("a", "ab"));
    }
}
