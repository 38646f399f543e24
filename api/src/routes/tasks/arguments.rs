//! Arguments against the parameters that a handler declared, as Python's call would bind them. The worker binds again
//! when it runs the task; here a mistake is told while the client still listens.

use std::collections::{BTreeMap, HashSet};

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::submission::Submission;
use crate::problem::{Code, Fault, Problem};

/// Too many positional arguments, a named one that does not exist, or one given twice.
pub(crate) fn check(submission: &Submission<'_>, parameters: &[String]) -> Result<(), Problem> {
    let faults = faults(submission.args(), submission.kwargs(), parameters, |part| submission.at(part))?;
    if faults.is_empty() { Ok(()) } else { Err(Problem::faults(faults)) }
}

fn faults(args: &str, kwargs: &str, parameters: &[String], at: impl Fn(&str) -> String) -> Result<Vec<Fault>, Problem> {
    let positional = serde_json::from_str::<Vec<IgnoredAny>>(args).map_err(Problem::internal)?.len();
    let named: BTreeMap<String, &RawValue> = serde_json::from_str(kwargs).map_err(Problem::internal)?;
    let mut faults = Vec::new();
    if positional > parameters.len() {
        let detail = format!("{} parameters, but {positional} positional arguments", parameters.len());
        faults.push(fault(at("args"), detail));
    }
    let known: HashSet<&str> = parameters.iter().map(String::as_str).collect();
    let bound: HashSet<&str> = parameters.iter().take(positional).map(String::as_str).collect();
    for name in named.keys() {
        let at = || at(&format!("kwargs/{}", name.replace('~', "~0").replace('/', "~1")));
        if bound.contains(name.as_str()) {
            faults.push(fault(at(), "is given by position as well".into()));
        } else if !known.contains(name.as_str()) {
            faults.push(fault(at(), format!("is not a parameter; these are: {}", parameters.join(", "))));
        }
    }
    Ok(faults)
}

fn fault(pointer: String, detail: String) -> Fault {
    Fault { pointer, code: Code::InvalidArguments, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(args: &str, kwargs: &str) -> Vec<String> {
        let parameters = ["x".to_owned(), "y".to_owned()];
        faults(args, kwargs, &parameters, |part| format!("/tasks/7/{part}"))
            .unwrap()
            .into_iter()
            .map(|fault| fault.pointer)
            .collect()
    }

    #[test]
    fn binds_as_python_does() {
        assert!(pointers("[1, 2]", "{}").is_empty());
        assert!(pointers("[1]", r#"{"y": 2}"#).is_empty());
        assert!(pointers("[]", "{}").is_empty(), "which parameters have defaults only the handler knows");
        assert_eq!(pointers("[1, 2, 3]", "{}"), ["/tasks/7/args"]);
        assert_eq!(pointers("[1]", r#"{"x": 2}"#), ["/tasks/7/kwargs/x"]);
        assert_eq!(pointers("[]", r#"{"z": 2, "a/b": 1}"#), ["/tasks/7/kwargs/a~1b", "/tasks/7/kwargs/z"]);
    }
}
