//! There is at most one root certificate, and what is published is that one.

use super::SecondStart;
use crate::model::world::{Rest, World};

pub(super) fn check(world: &World, rest: Rest, _second: Option<&SecondStart>) -> Result<(), String> {
    let issuers = world.vault.issuer_certificates();
    if issuers.len() > 1 {
        return Err(format!("{} root certificates", issuers.len()));
    }
    let published = world.published_ca().map(|pem| String::from_utf8_lossy(&pem).trim().to_owned());
    let issued = issuers.first().map(|pem| pem.trim().to_owned());
    match (rest, published, issued) {
        (Rest::Serving, published, issued) if published.is_none() || published != issued => {
            Err("what is published is not the root certificate".to_owned())
        }
        (_, Some(published), Some(issued)) if published != issued => {
            Err("another root certificate is published".to_owned())
        }
        (Rest::Serving | Rest::Stopped(_) | Rest::Restless, _, _) => Ok(()),
    }
}
