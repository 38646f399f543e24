//! References in a node's arguments, resolved when it runs: what its dependencies left behind is terminal and never changes, so
//! it is the same at every attempt, and what is large is copied into no row.

use bytes::Bytes;
use caraway_shared::{
    store::{tasks::Claim, workflows::Left},
    workflow::{Reference, Unresolved, may_refer, references, resolve},
};

use crate::{Failure, patient_store::PatientStore};

/// The input with what its references stand for. Nearly all tasks have none, and pay a search for a few bytes.
pub(crate) async fn resolved(claim: Box<Claim>, store: &PatientStore) -> Result<Bytes, Failure> {
    let (Some(member), Ok(input)) = (claim.member, str::from_utf8(&claim.input)) else { return Ok(claim.input) };
    if !may_refer(input) {
        return Ok(claim.input);
    }
    // they were checked when the workflow was accepted; a handler's own nodes may hold anything
    let found =
        references(input, |_| true).map_err(|fault| Failure::fatal("unresolved_reference", fault.to_string()))?;
    let all = found.contains(&Reference::Results);
    let keys: Vec<String> = found
        .into_iter()
        .filter_map(|reference| if let Reference::Node { key, .. } = reference { Some(key) } else { None })
        .collect();
    // apart: these reads would be the larger part of every task's future, and few tasks have them
    let left = match Box::pin(store.ask(|store| store.dependencies(member, &keys, all))).await? {
        Left::These(nodes, list) => resolve(input, &nodes, list.as_deref()),
        Left::TooLarge => Err(Unresolved::TooLarge),
    };
    left.map(Bytes::from).map_err(|error| {
        let code = match &error {
            Unresolved::Nowhere(_) => "unresolved_reference",
            Unresolved::TooLarge => "input_too_large",
        };
        Failure::fatal(code, error.to_string())
    })
}
