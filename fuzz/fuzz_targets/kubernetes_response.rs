//! The API server's answers: no bytes make the adapter panic, a status that is no success of the call is never `Ok`, and
//! nobody is authenticated for another audience.

#![no_main]

use http::Response;
use kubefox_core::caller::SIGNERS_MAX;
use kubefox_core::kubernetes::{Call, Pod, Reply, Review, Trust};
use kubefox_core::machine::Outcome;
use kubefox_core::names::{LifeId, Pem, PodName, ResourceVersion, Uid};
use kubefox_core::secret::{Own, Secret};
use kubefox_io::adapter::kubernetes::decode;
use libfuzzer_sys::fuzz_target;

const AUDIENCE: &str = "kubefox.blue";

const STATUSES: [u16; 14] = [200, 201, 202, 301, 400, 401, 403, 404, 409, 422, 429, 500, 503, 504];

fuzz_target!(|bytes: &[u8]| {
    let Some(([call, status], body)) = bytes.split_first_chunk::<2>() else { return };
    let (calls, status) = (calls(), STATUSES[usize::from(*status) % STATUSES.len()]);
    let call = &calls[usize::from(*call) % calls.len()];
    let response = || {
        let response = Response::builder().status(status).body(body.to_vec());
        response.expect("the status is one")
    };

    let outcome = decode(call, response());

    match &outcome {
        Outcome::Ok(reply) => {
            assert!(may_be_ok(reply, status), "{status}: {call:?} is {reply:?}");
            assert_sound(call, reply, body);
        }
        Outcome::Refused(_) => assert!((400..500).contains(&status), "{status} refuses nothing"),
        Outcome::Unknown(_) => {}
    }
    // What it says depends on nothing but the response.
    assert_eq!(decode(call, response()), outcome);
});

fn may_be_ok(reply: &Reply, status: u16) -> bool {
    match status {
        200 | 201 => true,
        202 => matches!(reply, Reply::PodDeleted | Reply::Signers(_)),
        404 => matches!(
            reply,
            Reply::PodDeleted | Reply::SealKey(None) | Reply::Committed(None) | Reply::Trust(None)
        ),
        409 => *reply == Reply::PodDeleted,
        _ => false,
    }
}

fn assert_sound(call: &Call, reply: &Reply, body: &[u8]) {
    let answers = match call {
        Call::CreateSealKey { .. } | Call::CreateCommitted { .. } | Call::CreateTrust { .. } => {
            *reply == Reply::Created
        }
        Call::UpdateTrust { .. } => *reply == Reply::Updated,
        Call::DeletePod { .. } => *reply == Reply::PodDeleted,
        Call::ReadSealKey => matches!(reply, Reply::SealKey(_)),
        Call::ReadCommitted => matches!(reply, Reply::Committed(_)),
        Call::ReadTrust => matches!(reply, Reply::Trust(_)),
        Call::ReadSigners => matches!(reply, Reply::Signers(keys) if keys.len() <= SIGNERS_MAX),
        Call::ReviewToken { .. } => matches!(reply, Reply::Review(_)),
    };
    assert!(answers, "{call:?} is not answered by {reply:?}");
    // A text that nobody looks at may be no Unicode, which this second reading refuses.
    if let Reply::Review(Review::Authenticated { .. }) = reply
        && let Ok(review) = serde_json::from_slice::<serde_json::Value>(body)
    {
        let audiences = review["status"]["audiences"].as_array().expect("it says for whom");
        assert!(audiences.iter().any(|audience| audience == AUDIENCE), "meant for somebody else");
        assert_eq!(review["status"]["authenticated"], true);
    }
}

/// One of each. A corpus names them by their place: new ones come last.
fn calls() -> [Call; 10] {
    let life = LifeId::parse("0123456789abcdef").expect("a life id");
    let pem = Pem::parse("-----BEGIN CERTIFICATE-----").expect("it begins so");
    let trust = Trust { certificate: pem.clone(), ca: pem };
    let version = ResourceVersion::parse("17").expect("a version");
    let pod =
        Pod { name: PodName::parse("kubefox-0").expect("a name"), uid: Uid::parse("u-1").expect("a uid") };
    [
        Call::CreateSealKey { life: life.clone(), key: Secret::Own(Own::MintedSealKey) },
        Call::ReadSealKey,
        Call::CreateCommitted { life: life.clone() },
        Call::ReadCommitted,
        Call::ReadTrust,
        Call::CreateTrust { life: life.clone(), trust: trust.clone() },
        Call::UpdateTrust { life, version, trust },
        Call::DeletePod { pod },
        Call::ReadSigners,
        Call::ReviewToken { token: Secret::Own(Own::ApiJwt), audience: AUDIENCE.into() },
    ]
}
