//! API keys: `cwy_<id>_<secret>_<checksum>`. The id finds the row, the secret (256 bits, in hexadecimal) proves the key, and
//! the checksum (the first 32 bits of the SHA-256 of what stands before it) tells a slip of the fingers from a guess.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

const PREFIX: &str = "cwy";
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// A key's id. Tells nothing and is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, ToSchema)]
#[serde(transparent)]
pub struct KeyId(pub i64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key as its holder has it. Has no `Debug`, so that no log can show it.
pub struct Key {
    /// Which.
    pub id: KeyId,
    secret: [u8; SECRET_BYTES],
}

/// What the HMACs of an installation are made with.
#[derive(Clone)]
pub struct KeySecret(Hmac<Sha256>);

impl KeySecret {
    /// Of any length.
    pub fn new(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// What is kept of a key's secret.
    pub fn hmac(&self, secret: &[u8; SECRET_BYTES]) -> Vec<u8> {
        self.0.clone().chain_update(secret).finalize().into_bytes().to_vec()
    }
}

impl Key {
    /// The key of this id with this secret, which is to be random.
    pub const fn new(id: KeyId, secret: [u8; SECRET_BYTES]) -> Self {
        Self { id, secret }
    }

    /// What its holder is shown, once.
    pub fn reveal(&self) -> String {
        let body = format!("{PREFIX}_{}_{}", self.id, hex::encode(self.secret));
        let checksum = checksum(&body);
        format!("{body}_{checksum}")
    }

    /// Reads what a client sent. Only the one spelling that [`reveal`](Self::reveal) writes is a key.
    pub fn parse(text: &str) -> Option<Self> {
        let (body, sum) = text.rsplit_once('_')?;
        if sum != checksum(body) {
            return None;
        }
        let (id, secret) = body.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        let mut bytes = [0; SECRET_BYTES];
        hex::decode_to_slice(secret, &mut bytes).ok()?;
        let key = Self::new(KeyId(id.parse().ok()?), bytes);
        (key.reveal() == text).then_some(key)
    }

    /// Whether this is the key that was kept as `hmac`, in a time that does not tell how much of it fits.
    pub fn is(&self, hmac: &[u8], with: &KeySecret) -> bool {
        with.0.clone().chain_update(self.secret).verify_slice(hmac).is_ok()
    }
}

fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    hex::encode(digest.get(..CHECKSUM_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_shown_and_in_no_other_way() {
        let shown = Key::new(KeyId(7), [0xab; 32]).reveal();
        assert!(shown.starts_with("cwy_7_abab"));
        let read = Key::parse(&shown).unwrap();
        assert_eq!((read.id, read.secret), (KeyId(7), [0xab; 32]));
        for cut in 0..shown.len() {
            assert!(Key::parse(&shown[..cut]).is_none(), "{cut}");
        }
        let other = |from: &str, to: &str| shown.replacen(from, to, 1);
        for wrong in
            [other("abab", "abac"), other("_7_", "_8_"), other("cwy", "cwz"), shown.to_uppercase(), shown.clone() + " "]
        {
            assert!(Key::parse(&wrong).is_none(), "{wrong}");
        }
        // a right checksum does not make another spelling of the same id a key
        for body in [format!("cwy_+7_{}", "ab".repeat(32)), format!("cwy_07_{}", "ab".repeat(32))] {
            assert!(Key::parse(&format!("{body}_{}", checksum(&body))).is_none(), "{body}");
        }
    }

    #[test]
    fn only_the_kept_secret_is_the_key() {
        let with = KeySecret::new(b"of this installation").unwrap();
        let kept = with.hmac(&[1; 32]);
        assert!(Key::new(KeyId(1), [1; 32]).is(&kept, &with));
        assert!(!Key::new(KeyId(1), [2; 32]).is(&kept, &with));
        assert!(!Key::new(KeyId(1), [1; 32]).is(&kept, &KeySecret::new(b"of another").unwrap()));
        assert!(!Key::new(KeyId(1), [1; 32]).is(&kept[..16], &with));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "\\PC*", id in any::<i64>(), secret in any::<[u8; 32]>()) {
            let _ = Key::parse(&text);
            prop_assert_eq!(Key::parse(&Key::new(KeyId(id), secret).reveal()).map(|key| key.id), Some(KeyId(id)));
        }
    }
}
