//! The `nats` members of the platform's four kinds of JWT, in the order of the official library.
//!
//! A limit that is absent is zero and therefore forbids: imports, exports and leaf nodes are never written.

use serde::Serialize;

use crate::documents::nkey::PublicKey;
use crate::documents::subject::{MAY_PUBLISH, MAY_SUBSCRIBE};

/// Connections that all components together may hold: a thousand brokers, each with a second one while a renewal takes the
/// place of the first.
pub const MAX_CONNECTIONS: i64 = 2_048;
/// Subscriptions that one connection may hold.
pub const MAX_SUBSCRIPTIONS: i64 = 1_000;
/// Size of one message.
pub const MAX_PAYLOAD_BYTES: i64 = 1 << 20;

const UNLIMITED: i64 = -1;
const NOTHING: Rule = Rule { allow: &[], deny: &[">"] };

pub(super) fn operator(system_account: &PublicKey) -> impl Serialize {
    #[derive(Serialize)]
    struct Operator<'a> {
        system_account: &'a PublicKey,
    }
    Typed { body: Operator { system_account }, kind: "operator", version: VERSION }
}

pub(super) fn system_account() -> impl Serialize {
    account(Limits { disallow_bearer: true, ..Limits::per_connection(UNLIMITED, UNLIMITED) }, None)
}

pub(super) fn platform_account(signer: &PublicKey) -> impl Serialize {
    let scope = Scope {
        kind: "user_scope",
        key: signer,
        role: "component",
        template: Template {
            permissions: Permissions {
                publish: Rule { allow: &MAY_PUBLISH, deny: &[] },
                subscribe: Rule { allow: &MAY_SUBSCRIBE, deny: &[] },
            },
            limits: Limits::per_connection(MAX_SUBSCRIPTIONS, MAX_PAYLOAD_BYTES),
            allowed_connection_types: ["STANDARD"],
        },
        description: "components",
    };
    let limits = Limits {
        disallow_bearer: true,
        conn: MAX_CONNECTIONS,
        ..Limits::per_connection(MAX_SUBSCRIPTIONS, MAX_PAYLOAD_BYTES)
    };
    account(limits, Some([scope]))
}

pub(super) fn user(platform_account: &PublicKey) -> impl Serialize {
    #[derive(Serialize)]
    struct User<'a> {
        #[serde(flatten)]
        permissions: Permissions,
        issuer_account: &'a PublicKey,
    }
    let none = Rule { allow: &[], deny: &[] };
    let body = User {
        permissions: Permissions { publish: none, subscribe: none },
        issuer_account: platform_account,
    };
    Typed { body, kind: "user", version: VERSION }
}

/// The version of claims that is written; a server refuses a higher one than it knows.
pub(super) const VERSION: u8 = 2;

fn account(limits: Limits, signing_keys: Option<[Scope<'_>; 1]>) -> Typed<Account<'_>> {
    let default_permissions = Permissions { publish: NOTHING, subscribe: NOTHING };
    let body = Account { limits, signing_keys, default_permissions, authorization: Authorization {} };
    Typed { body, kind: "account", version: VERSION }
}

#[derive(Serialize)]
struct Typed<B> {
    #[serde(flatten)]
    body: B,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

#[derive(Serialize)]
struct Account<'a> {
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_keys: Option<[Scope<'a>; 1]>,
    default_permissions: Permissions,
    authorization: Authorization,
}

/// Who may answer authorization call-outs: nobody.
#[derive(Serialize)]
struct Authorization {}

#[derive(Serialize)]
struct Limits {
    subs: i64,
    data: i64,
    payload: i64,
    #[serde(skip_serializing_if = "is_false")]
    disallow_bearer: bool,
    #[serde(skip_serializing_if = "is_zero")]
    conn: i64,
}

impl Limits {
    fn per_connection(subs: i64, payload: i64) -> Self {
        Self { subs, data: UNLIMITED, payload, disallow_bearer: false, conn: 0 }
    }
}

/// A signing key whose users have exactly the permissions and limits of the template.
#[derive(Serialize)]
struct Scope<'a> {
    kind: &'static str,
    key: &'a PublicKey,
    role: &'static str,
    template: Template,
    description: &'static str,
}

#[derive(Serialize)]
struct Template {
    #[serde(flatten)]
    permissions: Permissions,
    #[serde(flatten)]
    limits: Limits,
    allowed_connection_types: [&'static str; 1],
}

/// No `resp`: a permission to reply covers any subject that the requester names, which makes the one who answers
/// a deputy of the one who asks.
#[derive(Clone, Copy, Serialize)]
struct Permissions {
    #[serde(rename = "pub")]
    publish: Rule,
    #[serde(rename = "sub")]
    subscribe: Rule,
}

#[derive(Clone, Copy, Serialize)]
struct Rule {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allow: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    deny: &'static [&'static str],
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
