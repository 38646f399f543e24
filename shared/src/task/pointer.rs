//! The broker message: one version byte, then one or several pointers of 20 bytes (16 of id, 4 of epoch, big-endian).
//!
//! Invariants: a message holds nothing but pointers, so a forged, stale, doubled or shuffled one can do nothing; what
//! does not decode to the last byte is refused whole.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::{Epoch, TaskId};

const VERSION: u8 = 1;
const POINTER_BYTES: usize = 20;

/// What a message says of one task: claim it if it is still at this epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pointer {
    /// Which task.
    pub id: TaskId,
    /// The epoch it had when the message was owed.
    pub epoch: Epoch,
}

/// Several pointers in one message: the broker's cost is per message, so one carries what one commit brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle(pub Vec<Pointer>);

/// Why bytes are not a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BundleError {
    /// The first byte is not a version that this build reads.
    #[error("unknown version")]
    Version,
    /// Not a whole number of pointers, none at all, or more than [`Bundle::MAX`].
    #[error("wrong length")]
    Length,
}

impl Bundle {
    /// Most pointers in a message.
    pub const MAX: usize = 64;
    /// Bytes of the largest message.
    pub const BYTES_MAX: usize = 1 + Self::MAX * POINTER_BYTES;

    /// The message's body.
    pub fn encode(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(1 + self.0.len() * POINTER_BYTES);
        body.put_u8(VERSION);
        for pointer in &self.0 {
            body.put_slice(pointer.id.0.as_bytes());
            body.put_i32(pointer.epoch.0);
        }
        body.freeze()
    }

    /// Reads a message's body.
    pub fn decode(body: &[u8]) -> Result<Self, BundleError> {
        if body.len() > Self::BYTES_MAX {
            return Err(BundleError::Length); // before anything of it is read
        }
        let (&version, pointers) = body.split_first().ok_or(BundleError::Version)?;
        if version != VERSION {
            return Err(BundleError::Version);
        }
        let (pointers, rest) = pointers.as_chunks::<POINTER_BYTES>();
        if !rest.is_empty() || pointers.is_empty() {
            return Err(BundleError::Length);
        }
        Ok(Self(pointers.iter().filter_map(decode_pointer).collect()))
    }
}

fn decode_pointer(bytes: &[u8; POINTER_BYTES]) -> Option<Pointer> {
    let (id, epoch) = bytes.split_first_chunk::<16>()?;
    let epoch = epoch.first_chunk::<4>()?;
    Some(Pointer { id: TaskId(Uuid::from_bytes(*id)), epoch: Epoch(i32::from_be_bytes(*epoch)) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(pointers in prop::collection::vec((any::<u128>(), any::<i32>()), 1..=Bundle::MAX)) {
            let bundle = Bundle(
                pointers.into_iter().map(|(id, epoch)| Pointer { id: TaskId(Uuid::from_u128(id)), epoch: Epoch(epoch) }).collect(),
            );
            prop_assert_eq!(Bundle::decode(&bundle.encode()), Ok(bundle));
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..2000)) {
            if let Ok(bundle) = Bundle::decode(&body) {
                prop_assert_eq!(bundle.encode().to_vec(), body);
            }
        }
    }

    #[test]
    fn refuses_what_is_not_whole() {
        assert_eq!(Bundle::decode(&[]), Err(BundleError::Version));
        assert_eq!(Bundle::decode(&[2; 21]), Err(BundleError::Version));
        assert_eq!(Bundle::decode(&[1]), Err(BundleError::Length));
        assert_eq!(Bundle::decode(&[1; 20]), Err(BundleError::Length));
        assert_eq!(Bundle::decode(&[1; 1 + 20 * 65]), Err(BundleError::Length));
    }
}
