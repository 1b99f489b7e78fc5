//! The host names that the wormholes of an app take: the claims that the commit writes with them.

use super::{
    check::Found,
    problem::{ManifestPath, ProblemKind},
    resource::Record,
};
use crate::{
    desired::{ClaimWrites, Claims, Desired, Taken},
    name::WormholeId,
    store::{Expect, KeyKind, StoreKey},
};

/// Returns what these writes do to claims, or why they can't be made. Wormholes of the same app
/// that want one name are reported with the manifest.
pub(super) fn of_commit(
    puts: &[(StoreKey, Record, Expect)],
    deletes: &[(StoreKey, Expect)],
    desired: &Desired,
) -> Result<ClaimWrites, Vec<Found>> {
    let id = |key: &StoreKey| match key.kind() {
        Some(KeyKind::Wormhole(id)) => Some(id),
        _ => None,
    };
    let deleted: Vec<WormholeId> = deletes.iter().filter_map(|(key, _)| id(key)).collect();
    let put: Vec<_> = puts
        .iter()
        .filter_map(|(key, record, _)| match record {
            Record::Wormhole(spec) => Some((id(key)?, spec)),
            _ => None,
        })
        .collect();
    let mut claims = Claims::new(desired);
    for id in &deleted {
        claims.delete(id);
    }
    for (id, spec) in &put {
        claims.put(id, spec);
    }
    let path = |id: &WormholeId| ManifestPath::of(["wormholes", id.as_str()]);
    let claims = claims.to_write().map_err(|taken| {
        let is_of_another = |taken: &Taken| !put.iter().any(|(id, _)| *id == taken.by);
        let taken = taken.into_iter().filter(is_of_another);
        let problem = |taken: Taken| {
            let kind = ProblemKind::HostTaken {
                host: taken.host.to_string(),
                path: taken.path,
                by: taken.by,
            };
            (path(&taken.wanted_by), kind)
        };
        taken.map(problem).collect::<Vec<_>>()
    })?;
    match desired.newer_claim(claims.hosts()) {
        None => Ok(claims),
        Some((host, newer)) => {
            let (host, reason) = (host.to_string(), newer.reason.clone());
            let newer = ProblemKind::NewerClaim { host, reason };
            Err(vec![(ManifestPath::default(), newer)])
        }
    }
}
