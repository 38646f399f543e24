//! Where the next page of a list begins, as a text that says nothing to a client: a version byte, the position, and a checksum
//! over both and the list's name, in base64url.
//!
//! Opaque, so that a list can be ordered otherwise one day without breaking anybody; versioned, so that a cursor of another
//! program is told and not misread. A cursor is no authority: what its page shows, the caller may see or not, as on the first page. So
//! the checksum has no secret in it. It tells a cursor that was cut, altered or taken from another list from a good one, because such
//! a one would silently begin somewhere else.

use std::marker::PhantomData;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use caraway_shared::{coordination::Name, task::TaskId};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Of what stands behind the version byte.
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// Characters of a cursor: no position comes near it.
const CHARS_MAX: usize = 1024;

/// Why a text is no cursor of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum CursorFault {
    /// Its version byte is another one.
    #[error("was made by another version of this service; begin with the first page again")]
    Version,
    /// It was cut or altered, or is another list's.
    #[error("must be the next_cursor of an earlier answer of this list, unchanged")]
    Form,
}

/// What a list's pages go by.
pub(crate) trait Position: Sized {
    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8>;

    /// Reads all of them, or nothing.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// A list that has pages: its name, which nobody sees, and what its pages go by. The name keeps cursors of two lists apart, so
/// no two lists with different orders have the same.
pub(crate) struct PagedList<P> {
    name: &'static str,
    position: PhantomData<fn() -> P>,
}

impl<P: Position> PagedList<P> {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, position: PhantomData }
    }

    /// The cursor of what follows `position`.
    pub(crate) fn cursor(&self, position: &P) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(position.to_bytes());
        let checksum = self.checksum(&bytes);
        bytes.extend(checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what a client sent.
    pub(crate) fn position(&self, cursor: &str) -> Result<P, CursorFault> {
        if cursor.len() > CHARS_MAX {
            return Err(CursorFault::Form);
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorFault::Form)?;
        let (signed, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(CursorFault::Form)?;
        let (version, position) = signed.split_first().ok_or(CursorFault::Form)?;
        if *version != VERSION {
            return Err(CursorFault::Version);
        }
        if *checksum != self.checksum(signed) {
            return Err(CursorFault::Form);
        }
        P::from_bytes(position).ok_or(CursorFault::Form)
    }

    fn checksum(&self, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let digest = Sha256::new().chain_update(self.name).chain_update([0]).chain_update(bytes).finalize();
        let mut checksum = [0; CHECKSUM_BYTES];
        checksum.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        checksum
    }
}

impl Position for Uuid {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

impl Position for TaskId {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }
}

impl Position for i64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

/// A time, which the database has in whole microseconds, and of what has the same time the id.
impl Position for (Timestamp, Uuid) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.as_microsecond().to_bytes(), self.1.to_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, id) = bytes.split_first_chunk::<8>()?;
        Some((Timestamp::from_microsecond(i64::from_be_bytes(*time)).ok()?, Uuid::from_slice(id).ok()?))
    }
}

impl Position for Name {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_str().into()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDS: PagedList<Uuid> = PagedList::new("ids");
    const NUMBERS: PagedList<i64> = PagedList::new("numbers");
    const TIMES: PagedList<(Timestamp, Uuid)> = PagedList::new("times");
    const NAMES: PagedList<Name> = PagedList::new("names");

    #[test]
    fn a_cursor_is_of_one_list_and_one_version() {
        let id = Uuid::from_u128(7);
        let cursor = IDS.cursor(&id);
        assert_eq!(IDS.position(&cursor), Ok(id));
        assert_eq!(PagedList::<Uuid>::new("others").position(&cursor), Err(CursorFault::Form));
        let mut later = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        later[0] = VERSION + 1;
        assert_eq!(IDS.position(&URL_SAFE_NO_PAD.encode(later)), Err(CursorFault::Version));
    }

    #[test]
    fn what_was_a_cursor_before_is_refused() {
        for old in
            ["", "7", "41", "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b00", "1800000000123456.x", "deployed", &"A".repeat(5000)]
        {
            assert!(IDS.position(old).is_err() && NUMBERS.position(old).is_err(), "{old}");
        }
    }

    #[test]
    fn a_position_of_another_shape_is_refused_even_with_a_good_checksum() {
        assert_eq!(PagedList::<i64>::new("ids").position(&IDS.cursor(&Uuid::nil())), Err(CursorFault::Form));
        assert_eq!(PagedList::<Name>::new("ids").position(&IDS.cursor(&Uuid::nil())), Err(CursorFault::Form));
        let late = PagedList::<Uuid>::new("times").cursor(&Uuid::max());
        assert_eq!(TIMES.position(&late), Err(CursorFault::Form));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id: u128, number: i64, micros in 0..253_402_207_200_000_000_i64, name in "[a-zA-Z0-9_.:-]{1,64}") {
            let (id, time) = (Uuid::from_u128(id), Timestamp::from_microsecond(micros).unwrap());
            prop_assert_eq!(IDS.position(&IDS.cursor(&id)), Ok(id));
            prop_assert_eq!(NUMBERS.position(&NUMBERS.cursor(&number)), Ok(number));
            prop_assert_eq!(TIMES.position(&TIMES.cursor(&(time, id))), Ok((time, id)));
            if let Ok(name) = name.parse::<Name>() {
                let cursor = NAMES.cursor(&name);
                prop_assert!(cursor.len() <= CHARS_MAX && !cursor.contains(['+', '/', '=', '&']));
                prop_assert_eq!(NAMES.position(&cursor).map(|read| read.to_string()), Ok(name.to_string()));
            }
        }

        #[test]
        fn one_changed_character_is_seen(id: u128, at: prop::sample::Index, to: prop::sample::Index) {
            const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let cursor = IDS.cursor(&Uuid::from_u128(id));
            let mut altered = cursor.clone().into_bytes();
            let at = at.index(altered.len());
            altered[at] = ALPHABET[to.index(ALPHABET.len())];
            let altered = String::from_utf8(altered).unwrap();
            if altered != cursor {
                prop_assert!(IDS.position(&altered).is_err(), "{} for {}", altered, cursor);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = (IDS.position(&text), NUMBERS.position(&text), TIMES.position(&text), NAMES.position(&text));
        }
    }
}
