//! Vault's answers: no bytes make the adapter panic, a status that is no success of the call is never `Ok`, and a slot is
//! filled exactly when the reply says so.

#![no_main]

use http::Response;
use kubefox_core::machine::Outcome;
use kubefox_core::names::{Accessor, Csr, Identity};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{
    Account, AuthRole, Call, CertificateRequest, Mount, NatsKey, PkiRole, Reply, Setting, StoredJwt,
};
use kubefox_io::adapter::Slots as _;
use kubefox_io::adapter::vault::decode;
use kubefox_io::keyring::Keyring;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const TOKEN: Secret = Secret::Own(Own::ControllerToken);
const INTO: Secret = Secret::Own(Own::Password);
const INITIAL: [Secret; 2] = [Secret::Own(Own::UnsealKey), Secret::Own(Own::RootToken)];

/// What a server or a proxy before it may say; the first two are the successes.
const STATUSES: [u16; 18] =
    [200, 204, 307, 400, 401, 403, 404, 405, 409, 412, 429, 472, 473, 500, 501, 502, 503, 301];

fuzz_target!(|bytes: &[u8]| {
    let Some(([call, status], body)) = bytes.split_first_chunk::<2>() else { return };
    let (calls, status) = (calls(), STATUSES[usize::from(*status) % STATUSES.len()]);
    let call = &calls[usize::from(*call) % calls.len()];
    let response = || {
        let response = Response::builder().status(status).body(body.to_vec());
        response.expect("the status is one")
    };
    let mut slots = Keyring::default();

    let outcome = decode(call, response(), &mut slots);

    match &outcome {
        Outcome::Ok(reply) => {
            assert!(may_be_ok(call, reply, status), "{status}: {call:?} is {reply:?}");
            assert!(answers(call, reply), "{call:?} is not answered by {reply:?}");
        }
        Outcome::Refused(_) => assert!((300..600).contains(&status), "a success refuses nothing"),
        Outcome::Unknown(_) => {}
    }
    let fills = matches!(&outcome, Outcome::Ok(reply) if fills(call, reply));
    assert_eq!(slots.expose(INTO).is_ok(), fills, "{call:?} is {outcome:?}");
    for name in INITIAL {
        assert_eq!(slots.expose(name).is_ok(), outcome == Outcome::Ok(Reply::Initialized));
    }
    // What it says depends on nothing but the response.
    assert_eq!(decode(call, response(), &mut slots), outcome);
});

/// Whether a secret came with it, other than those of the initialization.
fn fills(call: &Call, reply: &Reply) -> bool {
    match reply {
        Reply::LoggedIn(_) | Reply::Password => true,
        // One that was asked for with a request is on a key that is elsewhere.
        Reply::Certificate(_) => matches!(call, Call::Issue { .. }),
        Reply::SealStatus(_)
        | Reply::InitStatus(_)
        | Reply::Health(_)
        | Reply::Initialized
        | Reply::AlreadyInitialized
        | Reply::HalfInitialized
        | Reply::Unsealed
        | Reply::WrongKey
        | Reply::Token(_)
        | Reply::NoToken
        | Reply::Revoked
        | Reply::Accessors(_)
        | Reply::Setting(_)
        | Reply::Written
        | Reply::Jwt(_)
        | Reply::Account { .. }
        | Reply::Generation(_)
        | Reply::Signature(_) => false,
    }
}

/// The rows of the adapter's table in which a status beside 200 and 204 is a reply.
fn may_be_ok(call: &Call, reply: &Reply, status: u16) -> bool {
    match status {
        200 => true,
        204 => matches!(reply, Reply::Written | Reply::Revoked),
        400 => matches!(
            reply,
            Reply::AlreadyInitialized
                | Reply::HalfInitialized
                | Reply::WrongKey
                | Reply::NoToken
                | Reply::Revoked
        ),
        403 => matches!(reply, Reply::NoToken | Reply::Revoked),
        404 => {
            matches!(
                reply,
                Reply::Setting(None)
                    | Reply::Jwt(None)
                    | Reply::Generation(None)
                    | Reply::Account { exists: false }
                    | Reply::NoToken
                    | Reply::Revoked
            ) || *reply == Reply::Accessors(vec![])
        }
        429 | 473 | 501 | 503 => matches!(call, Call::Health),
        500 => matches!(reply, Reply::InitStatus(_) | Reply::WrongKey),
        _ => false,
    }
}

fn answers(call: &Call, reply: &Reply) -> bool {
    match call {
        Call::SealStatus => matches!(reply, Reply::SealStatus(_)),
        Call::InitStatus => matches!(reply, Reply::InitStatus(_)),
        Call::Health => matches!(reply, Reply::Health(_)),
        Call::Initialize => {
            matches!(reply, Reply::Initialized | Reply::AlreadyInitialized | Reply::HalfInitialized)
        }
        Call::Unseal { .. } => matches!(reply, Reply::Unsealed | Reply::WrongKey),
        Call::LookupSelf { .. } => matches!(reply, Reply::Token(_)),
        Call::LookupAccessor { .. } => matches!(reply, Reply::Token(_) | Reply::NoToken),
        Call::RevokeSelf { .. } | Call::RevokeAccessor { .. } => *reply == Reply::Revoked,
        Call::ListAccessors { .. } => matches!(reply, Reply::Accessors(_)),
        Call::Login { .. } => matches!(reply, Reply::LoggedIn(_)),
        Call::Read { .. } => matches!(reply, Reply::Setting(_)),
        Call::ReadJwt { .. } => matches!(reply, Reply::Jwt(_)),
        Call::ReadAccount { .. } => matches!(reply, Reply::Account { .. }),
        Call::ReadGeneration { .. } => matches!(reply, Reply::Generation(_)),
        Call::GeneratePassword { .. } => *reply == Reply::Password,
        Call::Write { .. }
        | Call::WriteJwt { .. }
        | Call::WriteAccount { .. }
        | Call::WriteGeneration { .. } => *reply == Reply::Written,
        Call::Issue { .. } | Call::SignCertificate { .. } => matches!(reply, Reply::Certificate(_)),
        Call::Sign { .. } => matches!(reply, Reply::Signature(_)),
    }
}

/// One of each, and each setting that is read in a way of its own. A corpus names them by their place: new ones come last.
fn calls() -> Vec<Call> {
    let identity = Identity::parse_username("system:serviceaccount:team0:app").expect("an identity");
    let accessor = Accessor::parse("hmac-1").expect("an accessor");
    let request = CertificateRequest {
        role: PkiRole::Component,
        common_name: None,
        dns_names: vec![],
        uri: "spiffe://cluster.local/ns/team0/sa/app".into(),
        ttl_s: 60,
    };
    let csr = Csr::parse("-----BEGIN CERTIFICATE REQUEST-----\nAA==").expect("it begins so");
    let read = |setting| Call::Read { token: TOKEN, setting };
    vec![
        Call::SealStatus,
        Call::InitStatus,
        Call::Health,
        Call::Initialize,
        Call::Unseal { key: INITIAL[0] },
        Call::LookupSelf { token: TOKEN },
        Call::RevokeSelf { token: TOKEN },
        Call::ListAccessors { token: TOKEN },
        Call::LookupAccessor { token: TOKEN, accessor: accessor.clone() },
        Call::RevokeAccessor { token: TOKEN, accessor },
        Call::Login { role: AuthRole::Controller, jwt: TOKEN, into: INTO },
        Call::Write { token: TOKEN, setting: Setting::KubernetesAuth, body: Value::Null },
        Call::ReadJwt { token: TOKEN, jwt: StoredJwt::Operator },
        Call::WriteJwt { token: TOKEN, jwt: StoredJwt::Operator, text: "a.b.c".into() },
        Call::ReadAccount { token: TOKEN, account: Account::Admin },
        Call::GeneratePassword { token: TOKEN, into: INTO },
        Call::WriteAccount { token: TOKEN, account: Account::Admin, password: INTO },
        Call::ReadGeneration { token: TOKEN },
        Call::WriteGeneration { token: TOKEN, cas: 0, generation: 1 },
        Call::Issue { token: TOKEN, request: request.clone(), into: INTO },
        Call::Sign { token: TOKEN, key: NatsKey::User(identity), input: vec![] },
        read(Setting::KubernetesAuth),
        read(Setting::KubernetesAuthConfig),
        read(Setting::Policy(AuthRole::Nats)),
        read(Setting::Mount(Mount::Pki)),
        read(Setting::RootCertificate),
        read(Setting::NatsKey(NatsKey::Operator)),
        read(Setting::PasswordPolicy),
        Call::SignCertificate { token: TOKEN, request, csr },
    ]
}
