//! New ids: the process's clock and randomness, handed to [`IdSequence`]. Everything that a process makes an id for takes it from here,
//! because each id names the cell.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

use crate::task::{Cell, IdSequence, TaskId};

/// Makes ids. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Ids(Arc<Mutex<IdSequence>>);

impl Ids {
    /// Tells which cell this process serves; before that it is cell 0. No id may be made before.
    pub fn belong_to(&self, cell: Cell) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = IdSequence::new(cell);
    }

    /// A new id, greater than all that were made before.
    pub fn make(&self) -> Uuid {
        // before 1970 there were no clocks that count its milliseconds
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next(unix_ms, rand::random())
    }

    /// A new task's id.
    pub fn make_task(&self) -> TaskId {
        TaskId(self.make())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn threads_make_different_ids_of_one_cell() {
        let ids = Ids::default();
        ids.belong_to(Cell::new(7).unwrap());
        let made: HashSet<Uuid> = thread::scope(|scope| {
            let make = || (0..10_000).map(|_| ids.make()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.len(), 40_000);
        assert!(made.iter().all(|id| Cell::of(*id).number() == 7));
    }
}
