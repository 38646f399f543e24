//! Why there is no picture.

use serde::{Deserialize, Serialize};

/// Why a picture cannot be made. Every fault is final: the same file and options end alike at another attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The options contradict each other, the picture, or their limits.
    #[error("invalid options: {0}")]
    InvalidOptions(String),
    /// The file begins like no picture at all.
    #[error("not a picture: JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF and HEIC are read")]
    NotAnImage,
    /// A healthy file of a kind that is not read here. The text names the kind.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The file is damaged or incomplete.
    #[error("the image cannot be decoded: {0}")]
    Corrupt(String),
    /// More pixels, memory or time than a picture may have.
    #[error("the image is too large: {0}")]
    TooLarge(String),
    /// The result cannot be written.
    #[error("the result cannot be encoded: {0}")]
    Encoding(String),
}

impl Fault {
    /// The code under which callers know the fault. It never changes.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidOptions(_) => "invalid_options",
            Self::NotAnImage => "not_an_image",
            Self::Unsupported(_) => "unsupported_picture",
            Self::Corrupt(_) => "corrupt_image",
            Self::TooLarge(_) => "image_too_large",
            Self::Encoding(_) => "encoding_failed",
        }
    }
}
