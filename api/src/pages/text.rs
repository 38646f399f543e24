//! The little of Markdown that our descriptions use: paragraphs, `code`, **weight**. Escaping is the template's.

/// A paragraph, piece by piece.
pub(super) type Paragraph = Vec<Piece>;

/// A run of text in one style.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    Plain(String),
    Code(String),
    Strong(String),
}

/// Every paragraph of a text.
pub(super) fn paragraphs(text: &str) -> Vec<Paragraph> {
    text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).map(pieces).collect()
}

/// One paragraph.
pub(super) fn pieces(text: &str) -> Paragraph {
    let mut pieces = Vec::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            pieces.push(Piece::Code(part.into()));
            continue;
        }
        for (index, part) in part.split("**").enumerate().filter(|(_, part)| !part.is_empty()) {
            pieces.push(if index % 2 == 1 { Piece::Strong(part.into()) } else { Piece::Plain(part.into()) });
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles() {
        let (plain, code, strong) = (Piece::Plain, Piece::Code, Piece::Strong);
        assert_eq!(
            pieces("**Send** `a*b`, then <wait>"),
            [strong("Send".into()), plain(" ".into()), code("a*b".into()), plain(", then <wait>".into())]
        );
        assert_eq!(paragraphs("a\nb\n\n\nc").len(), 2);
    }
}
