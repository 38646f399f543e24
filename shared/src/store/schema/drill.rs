//! Versions of the schema that only the fault drill has, because there is no release yet from which to upgrade: the same program
//! is an older or a newer version as a variable says.
//!
//! | `CARAWAY_DRILL_VERSION` | brings | reads the old column |
//! |---|---|---|
//! | `previous` | the old column | yes |
//! | `next` | a new column and an index of it (expands) | no |
//! | `after` | no old column any more (contracts): `previous` cannot work with that | no |
//! | `hasty` | the same as `after`, in the release after `previous`, and without saying so: the negative control | no |

use std::sync::LazyLock;

use deadpool_postgres::Object;
use refinery::Migration;
use tokio_postgres::Error as PgError;

const VARIABLE: &str = "CARAWAY_DRILL_VERSION";

const OLD_COLUMN: (&str, &str) =
    ("V9001__drill_old_column", "ALTER TABLE task_spec ADD COLUMN drill_old text NOT NULL DEFAULT 'old'");
const NEW_COLUMN: (&str, &str) = ("V9002__drill_new_column", "ALTER TABLE task_spec ADD COLUMN drill_new text");
const NEW_INDEX: (&str, &str) = (
    "V9003__drill_new_index",
    "-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS task_drill_new ON task_spec (id, drill_new) WHERE drill_new IS NOT NULL;",
);
const CONTRACT: (&str, &str) = (
    "V9004__drill_contract",
    "ALTER TABLE task_spec DROP COLUMN drill_old; UPDATE schema_compatibility SET oldest_version = 9003",
);
const HASTY_CONTRACT: (&str, &str) = ("V9004__drill_contract", "ALTER TABLE task_spec DROP COLUMN drill_old");
/// For the test of what a broken migration does.
const BROKEN: (&str, &str) = ("V9005__drill_broken", "ALTER TABLE task_spec ADD COLUMN drill_old no_such_type");

/// Which version this process is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Previous,
    Next,
    After,
    Hasty,
    Broken,
}

static VERSION: LazyLock<Option<Version>> = LazyLock::new(|| match std::env::var(VARIABLE).ok()?.as_str() {
    "previous" => Some(Version::Previous),
    "next" => Some(Version::Next),
    "after" => Some(Version::After),
    "hasty" => Some(Version::Hasty),
    "broken" => Some(Version::Broken),
    _ => None,
});

/// What this version brings beside the program's own.
pub(super) fn migrations() -> Vec<Migration> {
    let brought: &[(&str, &str)] = match *VERSION {
        None => &[],
        Some(Version::Previous) => &[OLD_COLUMN],
        Some(Version::Next) => &[OLD_COLUMN, NEW_COLUMN, NEW_INDEX],
        Some(Version::After) => &[OLD_COLUMN, NEW_COLUMN, NEW_INDEX, CONTRACT],
        Some(Version::Hasty) => &[OLD_COLUMN, NEW_COLUMN, NEW_INDEX, HASTY_CONTRACT],
        Some(Version::Broken) => &[BROKEN],
    };
    brought.iter().filter_map(|(name, sql)| Migration::unapplied(name, sql).ok()).collect()
}

/// Reads the old column, where this version does.
pub(in crate::store) async fn read_old_column(db: &Object) -> Result<(), PgError> {
    match *VERSION {
        Some(Version::Previous) => db.batch_execute("SELECT drill_old FROM task_spec LIMIT 0").await,
        _ => Ok(()),
    }
}
