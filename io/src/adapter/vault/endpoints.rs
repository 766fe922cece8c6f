//! The endpoints that `vaultrs` lacks, in its own form.
//!
//! Responses are not declared here: `decode` reads only what it needs, and wipes it.

use rustify_derive::Endpoint;

/// `GET sys/seal-status` (<https://openbao.org/api-docs/system/seal-status/>).
#[derive(Endpoint)]
#[endpoint(path = "sys/seal-status")]
pub(super) struct SealStatus {}

/// `GET sys/init` (<https://openbao.org/api-docs/system/init/>).
#[derive(Endpoint)]
#[endpoint(path = "sys/init")]
pub(super) struct InitStatus {}

/// `GET sys/policies/acl/<name>` (<https://openbao.org/api-docs/system/policies/>); `vaultrs` knows only its
/// predecessor `sys/policy`, which the controller's policies do not allow.
#[derive(Endpoint)]
#[endpoint(path = "sys/policies/acl/{self.name}")]
pub(super) struct ReadPolicy {
    /// The policy's name.
    #[endpoint(skip)]
    pub(super) name: String,
}

/// `GET sys/policies/password/<name>` (<https://openbao.org/api-docs/system/policies-password/>).
#[derive(Endpoint)]
#[endpoint(path = "sys/policies/password/{self.name}")]
pub(super) struct ReadPasswordPolicy {
    /// The policy's name.
    #[endpoint(skip)]
    pub(super) name: String,
}

/// `GET sys/policies/password/<name>/generate`.
#[derive(Endpoint)]
#[endpoint(path = "sys/policies/password/{self.name}/generate")]
pub(super) struct GeneratePassword {
    /// The policy's name.
    #[endpoint(skip)]
    pub(super) name: String,
}

/// `POST <path>` with a body that is ready: the documents author whole settings, among them members that `vaultrs`
/// does not have (`alias_name_source`, `issuer_name`, `allowed_uri_sans_template`).
#[derive(Endpoint)]
#[endpoint(path = "{self.path}", method = "POST")]
pub(super) struct WriteSetting {
    /// The path, from [`super::path`].
    #[endpoint(skip)]
    pub(super) path: String,
    /// The body, JSON.
    #[endpoint(raw)]
    pub(super) body: Vec<u8>,
}
