//! The identities of the system, each a type of its own so that one can never stand for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Bits of an id that name the cell: its lowest.
const CELL_BITS: u32 = 12;
/// The highest cell.
const CELL_MAX: u16 = (1 << CELL_BITS) - 1;
/// Bits of a number below those that name the cell: a million million rows of each table.
const NUMBER_BITS: u32 = 40;

/// One of up to 4,096 installations behind one address: the one that an id or a number leads to, with no table to look it up in. Where
/// there is only one installation, it is cell 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Cell(u16);

/// It is no cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a cell is a whole number from 0 to 4095")]
pub struct NoCell;

impl Cell {
    /// The cell of this number.
    pub fn new(number: i64) -> Result<Self, NoCell> {
        u16::try_from(number).ok().filter(|number| *number <= CELL_MAX).map(Self).ok_or(NoCell)
    }

    /// Its number, 0 to 4095.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The one that made this id: its lowest 12 bits.
    pub fn of(id: Uuid) -> Self {
        let [.., high, low] = id.into_bytes();
        Self(u16::from_be_bytes([high, low]) & CELL_MAX)
    }

    /// The first number that it gives to a row: for ids that are not UUIDs, such as those of users and API keys.
    pub fn first_number(self) -> i64 {
        (i64::from(self.0) << NUMBER_BITS) + 1
    }

    /// The one that gave this number to a row.
    pub fn of_number(number: i64) -> Option<Self> {
        number.checked_sub(1).and_then(|number| Self::new(number >> NUMBER_BITS).ok())
    }

    /// This id, as one of this cell's.
    fn mark(self, id: Uuid) -> Uuid {
        Uuid::from_u128(id.as_u128() & !u128::from(CELL_MAX) | u128::from(self.0))
    }
}

impl FromStr for Cell {
    type Err = NoCell;

    fn from_str(text: &str) -> Result<Self, NoCell> {
        text.parse().map_err(|_| NoCell).and_then(Self::new)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of what follows from something else, always the same: the hash of both (RFC 9562, section 5.5) behind the millisecond of
/// that id, because lists and retention go by an id's time, and with its cell (a version 8, section 5.8).
pub fn derived(from: Uuid, what: &str) -> Uuid {
    let mut bytes = Uuid::new_v5(&from, what.as_bytes()).into_bytes();
    for (byte, time) in bytes.iter_mut().zip(from.into_bytes()).take(6) {
        *byte = time;
    }
    Cell::of(from).mark(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Makes the ids of one process, version 7 of RFC 9562 (section 6.2, method 1). It reads no clock and has no randomness of its own.
///
/// | bits | are |
/// |---|---|
/// | 48 | the millisecond |
/// | 4 | the version |
/// | 12 | the counter's higher bits |
/// | 2 | the variant |
/// | 30 | the counter's lower bits |
/// | 20 | random |
/// | 12 | the cell |
///
/// Invariants: each id is greater than the one before, whatever the clock does; all of them name the cell. The counter begins with 41
/// random bits in each millisecond, so two processes clash only where both those and the 20 random bits meet; then the primary key
/// refuses one.
#[derive(Clone, Debug, Default)]
pub struct IdSequence {
    cell: Cell,
    unix_ms: u64,
    counter: u64,
}

impl IdSequence {
    const COUNTER_BITS: u32 = 42;
    const COUNTER_LOW_BITS: u32 = 30;
    const NOISE_BITS: u32 = 20;
    const MS_BITS: u32 = 48;

    /// Of this cell.
    pub fn new(cell: Cell) -> Self {
        Self { cell, ..Self::default() }
    }

    /// The next id, at this time, with 64 random bits of which 61 are used.
    pub fn next(&mut self, unix_ms: u64, random: u64) -> Uuid {
        // one bit less than there are, so that it has room to count
        let fresh = random >> (u64::BITS - Self::COUNTER_BITS + 1);
        if unix_ms > self.unix_ms {
            (self.unix_ms, self.counter) = (unix_ms, fresh);
        } else {
            // in the same millisecond, or by a clock that was set back
            self.counter += 1;
            if self.counter >> Self::COUNTER_BITS > 0 {
                (self.unix_ms, self.counter) = (self.unix_ms + 1, fresh);
            }
        }
        let bits = |value: u64, count: u32| u128::from(value & ((1 << count) - 1));
        let id = bits(self.unix_ms, Self::MS_BITS) << 80
            | 7 << 76
            | bits(self.counter >> Self::COUNTER_LOW_BITS, 12) << 64
            | 0b10 << 62
            | bits(self.counter, Self::COUNTER_LOW_BITS) << 32
            | bits(random, Self::NOISE_BITS) << CELL_BITS;
        self.cell.mark(Uuid::from_u128(id))
    }
}

/// A task's id: a UUID version 7 made by the API, so that ids sort by time of acceptance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl TaskId {
    /// The id of what follows from something else, always the same.
    pub fn derived(from: Uuid, what: &str) -> Self {
        Self(derived(from, what))
    }

    /// Whose it is.
    pub fn cell(self) -> Cell {
        Cell::of(self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a task was claimed: its fencing token. Rises by one at every claim and is never reused, so whoever holds
/// an older one can change nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One start of one worker process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One installation of Caraway: what stands in one database, whichever servers and addresses it has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InstallationId(pub Uuid);

/// What tells an installation from others. Both parts are written once and never changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Installation {
    /// Its names in Redis begin with it.
    pub id: InstallationId,
    /// Its ids and numbers name it.
    pub cell: Cell,
}

/// The account that owns tasks, items and keys. Every row and every cache key carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnerId(pub i64);

impl OwnerId {
    /// The account of an open, loopback-only installation.
    pub const LOCAL: Self = Self(1);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells() -> impl Strategy<Value = Cell> {
        (0..=i64::from(CELL_MAX)).prop_map(|number| Cell::new(number).unwrap())
    }

    #[test]
    fn what_is_derived_twice_is_the_same_and_sorts_by_time() {
        let from = Uuid::now_v7();
        assert_eq!(TaskId::derived(from, "a"), TaskId::derived(from, "a"));
        assert_ne!(TaskId::derived(from, "a"), TaskId::derived(from, "b"));
        assert_eq!(TaskId::derived(from, "a").0.into_bytes()[..6], from.into_bytes()[..6]);
    }

    #[test]
    fn an_id_is_laid_out_as_the_table_says() {
        let mut ids = IdSequence::new(Cell::new(0xABC).unwrap());
        let id = ids.next(0x0123_4567_89AB, u64::MAX);
        // 41 of the counter's 42 bits are random, and all of the 20
        assert_eq!(id.to_string(), "01234567-89ab-77ff-bfff-fffffffffabc");
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(
            ids.next(0, 0).to_string(),
            "01234567-89ab-7800-8000-000000000abc",
            "counts on by a clock that was set back"
        );
    }

    #[test]
    fn a_counter_that_is_full_goes_on_in_the_next_millisecond() {
        let mut ids = IdSequence { cell: Cell::default(), unix_ms: 5, counter: (1 << IdSequence::COUNTER_BITS) - 1 };
        let next = ids.next(5, 0);
        assert_eq!(next.to_string(), "00000000-0006-7000-8000-000000000000");
    }

    #[test]
    fn only_4096_numbers_are_cells() {
        for good in ["0", "7", "4095"] {
            assert_eq!(good.parse::<Cell>().unwrap().to_string(), good);
        }
        for bad in ["", "-1", "4096", "65536", "x", "0x7", " 7", "9223372036854775808"] {
            assert_eq!(bad.parse::<Cell>(), Err(NoCell), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_way_to_an_id_keeps_the_cell(cell in cells(), ms in 0..1_u64 << 48, random: u64, what: String) {
            let mut ids = IdSequence::new(cell);
            let id = ids.next(ms, random);
            prop_assert_eq!(Cell::of(id), cell);
            prop_assert_eq!(TaskId::derived(id, &what).cell(), cell);
            prop_assert_eq!(Cell::of(derived(derived(id, &what), &what)), cell);
        }

        #[test]
        fn ids_rise_whatever_the_clock_does(cell in cells(), moments in prop::collection::vec((0..1_u64 << 40, any::<u64>()), 2..200)) {
            let mut ids = IdSequence::new(cell);
            let made: Vec<Uuid> = moments.iter().map(|(ms, random)| ids.next(*ms, *random)).collect();
            prop_assert!(made.is_sorted_by(|one, next| one < next));
            let latest = moments.iter().map(|(ms, _)| *ms).max().unwrap();
            let (seconds, nanoseconds) = made.last().unwrap().get_timestamp().unwrap().to_unix();
            prop_assert_eq!(seconds * 1000 + u64::from(nanoseconds / 1_000_000), latest);
        }

        #[test]
        fn numbers_lead_to_their_cell(cell in cells(), row in 0..1_i64 << NUMBER_BITS) {
            let number = cell.first_number() + row;
            prop_assert_eq!(Cell::of_number(number), Some(cell));
            // JSON's numbers are exact up to here
            prop_assert!(number < 1 << 53);
        }
    }
}
