//! There is at most one root certificate, ever, and nothing else is published.

use crate::model::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let issuers = world.vault.issuer_certificates();
    if issuers.len() > 1 {
        return Err(format!("{} root certificates", issuers.len()));
    }
    let first = world.monitor.root_of_trust.as_deref().map(str::trim);
    if let Some(issuer) = issuers.first()
        && Some(issuer.trim()) != first
    {
        return Err("another root certificate than the first one".to_owned());
    }
    let published = world.published_ca().map(|pem| String::from_utf8_lossy(&pem).trim().to_owned());
    match published {
        Some(published) if Some(published.as_str()) != first => {
            Err("another root certificate is published".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}
