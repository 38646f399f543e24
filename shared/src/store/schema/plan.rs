//! What a program has to do about the schema that it finds. Pure.
//!
//! Invariant: a migration is applied only on top of exactly those that this program knows; a program works with a schema that it
//! does not know only where that schema says that it may.

use refinery::Migration;

use super::SchemaError;

/// A migration that the database has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Applied {
    pub(super) version: i32,
    pub(super) name: String,
    /// As refinery keeps it: of the number, the name and the SQL.
    pub(super) checksum: String,
}

/// The second migration of development versions before the first release, whose first one had the name that it has now.
const BEFORE_RELEASE: (i32, &str) = (2, "dispatch");

/// What there is to do.
#[derive(Debug)]
pub(super) enum SchemaPlan<'a> {
    /// Nothing.
    Ready {
        /// The schema's version, where it is newer than this program.
        newer: Option<i32>,
    },
    /// These are missing, in this order.
    Apply(Vec<&'a Migration>),
}

impl Applied {
    fn title(&self) -> String {
        format!("V{}__{}", self.version, self.name)
    }

    fn is(&self, migration: &Migration) -> bool {
        self.name == migration.name() && self.checksum == migration.checksum().to_string()
    }
}

/// Compares what a program brings with what the database has; both in order. `oldest` is the oldest version of a program that
/// can work with this database.
pub(super) fn plan<'a>(
    brought: &'a [Migration],
    applied: &[Applied],
    oldest: Option<i32>,
) -> Result<SchemaPlan<'a>, SchemaError> {
    let find = |version| brought.iter().find(|migration| migration.version() == version);
    if applied.iter().any(|one| (one.version, one.name.as_str()) == BEFORE_RELEASE) {
        return Err(SchemaError::BeforeRelease);
    }
    if let Some(other) = applied.iter().find(|one| find(one.version).is_some_and(|migration| !one.is(migration))) {
        return Err(SchemaError::Diverged { migration: other.title() });
    }
    let is_applied = |migration: &&Migration| applied.iter().any(|one| one.version == migration.version());
    let pending: Vec<&Migration> = brought.iter().filter(|migration| !is_applied(migration)).collect();
    let unknown: Vec<&Applied> = applied.iter().filter(|one| find(one.version).is_none()).collect();
    match (pending.first(), unknown.first(), applied.last()) {
        (None, None, _) | (None, Some(_), None) => Ok(SchemaPlan::Ready { newer: None }),
        (None, Some(_), Some(newest)) => {
            let program = brought.iter().map(Migration::version).max().unwrap_or_default();
            if oldest.is_some_and(|oldest| oldest <= program) {
                Ok(SchemaPlan::Ready { newer: Some(newest.version) })
            } else {
                Err(SchemaError::TooNew { schema: newest.version, program, oldest })
            }
        }
        (Some(missing), Some(unknown), _) => {
            Err(SchemaError::Foreign { unknown: unknown.title(), missing: missing.to_string() })
        }
        (Some(missing), None, Some(newest)) if missing.version() < newest.version => {
            Err(SchemaError::Skipped { missing: missing.to_string(), newest: newest.title() })
        }
        (Some(_), None, _) => Ok(SchemaPlan::Apply(pending)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(version: i32) -> Migration {
        Migration::unapplied(&format!("V{version}__m{version}"), "SELECT 1").unwrap()
    }

    fn brought(versions: &[i32]) -> Vec<Migration> {
        versions.iter().map(|version| migration(*version)).collect()
    }

    fn applied(versions: &[i32]) -> Vec<Applied> {
        let one = |version: &i32| Applied {
            version: *version,
            name: format!("m{version}"),
            checksum: migration(*version).checksum().to_string(),
        };
        versions.iter().map(one).collect()
    }

    /// The plan as a line.
    fn decide(program: &[i32], database: &[i32], oldest: Option<i32>) -> String {
        match plan(&brought(program), &applied(database), oldest) {
            Ok(SchemaPlan::Ready { newer: None }) => "ready".into(),
            Ok(SchemaPlan::Ready { newer: Some(version) }) => format!("ready for {version}"),
            Ok(SchemaPlan::Apply(pending)) => {
                format!("apply {:?}", pending.iter().map(|one| one.version()).collect::<Vec<_>>())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_empty_or_older_schema_is_migrated() {
        assert_eq!(decide(&[1, 2, 5], &[], None), "apply [1, 2, 5]");
        assert_eq!(decide(&[1, 2, 5], &[1, 2], Some(2)), "apply [5]");
        assert_eq!(decide(&[1, 2, 5], &[1, 2, 5], Some(2)), "ready");
    }

    #[test]
    fn a_newer_schema_says_who_may_work_with_it() {
        assert_eq!(decide(&[1, 2], &[1, 2, 5, 6], Some(2)), "ready for 6");
        let refused = decide(&[1, 2], &[1, 2, 5, 6], Some(5));
        assert!(
            refused.contains("version 6") && refused.contains("5 or newer") && refused.contains("has 2"),
            "{refused}"
        );
        let silent = decide(&[1, 2], &[1, 2, 5], None);
        assert!(silent.contains("version 5") && silent.contains("has 2"), "{silent}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let skipped = decide(&[1, 2, 3], &[1, 3], Some(1));
        assert!(skipped.contains("V2__m2") && skipped.contains("V3__m3"), "{skipped}");
        let foreign = decide(&[1, 2, 4], &[1, 2, 3], Some(1));
        assert!(foreign.contains("V3__m3") && foreign.contains("V4__m4"), "{foreign}");
        let mut old = applied(&[1, 2]);
        old[1].name = "dispatch".into();
        let error = plan(&brought(&[1]), &old, None).unwrap_err().to_string();
        assert!(error.contains("deploy/dev down --wipe"), "{error}");
        let mut edited = applied(&[1, 2]);
        edited[1].checksum = "7".into();
        let error = plan(&brought(&[1, 2]), &edited, None).unwrap_err().to_string();
        assert!(error.contains("V2__m2"), "{error}");
    }
}
