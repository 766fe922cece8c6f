//! Responses become outcomes: the rows of the table that belong to one call, and what a success says.

use data_encoding::BASE64;
use http::Response;
use kubefox_core::documents::certificate::usage;
use kubefox_core::machine::{Lost, Outcome, Refusal};
use kubefox_core::names::{Accessor, Csr, Identity, Namespace, Pem, ServiceAccount};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::signature::Signature;
use kubefox_core::vault::{
    Call, Certificate, Generation, Health, InitStatus, Login, PkiRole, Reply, SealStatus, TokenFacts,
};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use zeroize::Zeroizing;

use super::failure::{Answer, Credential, Failure};
use super::setting;
use crate::adapter::certificate::Facts;
use crate::adapter::{Slots, certificate, csr};

/// In front of a signature: the only version of a key there ever is, since an identity's key is never rotated.
const SIGNATURE_PREFIX: &str = "vault:v1:";
/// How a private key in PKCS#8 begins.
const PKCS8_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

/// The outcome of a call whose response came. The table is in the module's documentation.
pub fn decode(call: &Call, response: Response<Vec<u8>>, slots: &mut dyn Slots) -> Outcome<Reply> {
    match reply(call, &Answer::from(response), slots) {
        Ok(reply) => Outcome::Ok(reply),
        Err(failure) => failure.into_outcome(),
    }
}

fn reply(call: &Call, answer: &Answer, slots: &mut dyn Slots) -> Result<Reply, Failure> {
    match call {
        Call::SealStatus => seal_status(answer).map(Reply::SealStatus),
        Call::InitStatus => init_status(answer).map(Reply::InitStatus),
        Call::Health => health(answer).map(Reply::Health),
        Call::Initialize => initialized(answer, slots),
        Call::Unseal { key: _ } => unsealed(answer),
        Call::LookupSelf { token: _ } => token_facts(answer).map(Reply::Token),
        Call::LookupAccessor { token: _, accessor: _ } => match says_no_accessor(answer) {
            true => Ok(Reply::NoToken),
            false => token_facts(answer).map(Reply::Token),
        },
        Call::RevokeSelf { token: _ } => done(answer, Reply::Revoked),
        Call::RevokeAccessor { token: _, accessor: _ } => match says_no_accessor(answer) {
            true => Ok(Reply::Revoked),
            false => done(answer, Reply::Revoked),
        },
        Call::ListAccessors { token: _ } => accessors(answer).map(Reply::Accessors),
        Call::Login { role: _, jwt: _, into } => logged_in(answer, *into, slots).map(Reply::LoggedIn),
        Call::Read { token: _, setting } => setting::read(setting, answer).map(Reply::Setting),
        Call::ReadJwt { token: _, jwt: _ } => stored_jwt(answer).map(Reply::Jwt),
        Call::ReadAccount { token: _, account: _ } => {
            let stored: Option<Stored<Account>> = stored(answer)?;
            Ok(Reply::Account { exists: stored.is_some() })
        }
        Call::ReadGeneration { token: _ } => generation(answer).map(Reply::Generation),
        Call::GeneratePassword { token: _, into } => password(answer, *into, slots),
        Call::Write { token: _, setting: _, body: _ }
        | Call::WriteJwt { token: _, jwt: _, text: _ }
        | Call::WriteAccount { token: _, account: _, password: _ }
        | Call::WriteGeneration { token: _, cas: _, generation: _ } => done(answer, Reply::Written),
        Call::Issue { token: _, request, into } => {
            issued(answer, request.role, *into, slots).map(Reply::Certificate)
        }
        Call::SignCertificate { token: _, request, csr } => {
            signed(answer, request.role, csr).map(Reply::Certificate)
        }
        Call::Sign { token: _, key: _, input: _ } => signature(answer).map(Reply::Signature),
    }
}

/// A success whose body says nothing that is needed; still it has to be one.
fn done(answer: &Answer, reply: Reply) -> Result<Reply, Failure> {
    match answer.status {
        204 => Ok(reply),
        200 => answer.body::<IgnoredAny>().map(|_| reply),
        _ => Err(answer.failure(Credential::Token)),
    }
}

/// A response of `sys/` that needs no token and is not enveloped.
fn bare<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    match answer.status {
        200 => answer.body(),
        _ => Err(answer.failure(Credential::Nothing)),
    }
}

#[derive(Deserialize)]
struct SealStatusBody {
    #[serde(rename = "type")]
    kind: String,
    initialized: bool,
    sealed: bool,
    n: u32,
    t: u32,
    version: String,
}

fn seal_status(answer: &Answer) -> Result<SealStatus, Failure> {
    let body: SealStatusBody = bare(answer)?;
    Ok(SealStatus {
        shamir: body.kind == "shamir",
        initialized: body.initialized,
        sealed: body.sealed,
        shares: body.n,
        threshold: body.t,
        version: body.version,
    })
}

fn init_status(answer: &Answer) -> Result<InitStatus, Failure> {
    #[derive(Deserialize)]
    struct Body {
        initialized: bool,
    }
    if answer.status == 500 && answer.says("no seal configuration") {
        return Ok(InitStatus::NoSealConfiguration);
    }
    let body: Body = bare(answer)?;
    Ok(if body.initialized { InitStatus::Initialized } else { InitStatus::Uninitialized })
}

/// The status code is what counts, but only with a body that agrees: a 501 or 503 may be somebody else's.
fn health(answer: &Answer) -> Result<Health, Failure> {
    #[derive(Deserialize)]
    struct Body {
        initialized: bool,
        sealed: bool,
        standby: bool,
    }
    let health = match answer.status {
        200 => Health::Active,
        429 | 473 => Health::Standby,
        501 => Health::Uninitialized,
        503 => Health::Sealed,
        _ => return Err(answer.failure(Credential::Nothing)),
    };
    let body: Body = answer.body()?;
    let agrees = match health {
        Health::Active => body.initialized && !body.sealed && !body.standby,
        Health::Standby => body.initialized && !body.sealed,
        Health::Sealed => body.initialized && body.sealed,
        Health::Uninitialized => !body.initialized,
    };
    if agrees { Ok(health) } else { Err(Failure::GARBLED) }
}

fn initialized(answer: &Answer, slots: &mut dyn Slots) -> Result<Reply, Failure> {
    #[derive(Deserialize)]
    struct Body {
        keys: Vec<Zeroizing<String>>,
        root_token: Zeroizing<String>,
    }
    if answer.status == 400 && answer.says("already initialized") {
        return Ok(Reply::AlreadyInitialized);
    }
    if answer.status == 400 && answer.says("cluster already has state") {
        return Ok(Reply::HalfInitialized);
    }
    if answer.status == 400 && answer.says("being initialized") {
        return Err(Failure::Refused(Refusal::NotReady));
    }
    let Body { keys, root_token } = bare(answer)?;
    let [key] = <[_; 1]>::try_from(keys).map_err(|_| Failure::GARBLED)?;
    let (key, root_token) = (sendable(key)?, sendable(root_token)?);
    slots.fill(Secret::Own(Own::UnsealKey), key);
    slots.fill(Secret::Own(Own::RootToken), root_token);
    Ok(Reply::Initialized)
}

fn unsealed(answer: &Answer) -> Result<Reply, Failure> {
    if matches!(answer.status, 400 | 500) && answer.says("invalid key") {
        return Ok(Reply::WrongKey);
    }
    if answer.status == 400 && answer.says("not initialized") {
        return Err(Failure::Refused(Refusal::NotReady));
    }
    let status: SealStatusBody = bare(answer)?;
    // One share is the whole key, so a success that leaves the seal closed is none of ours.
    if status.sealed { Err(Failure::GARBLED) } else { Ok(Reply::Unsealed) }
}

fn token_facts(answer: &Answer) -> Result<TokenFacts, Failure> {
    #[derive(Deserialize)]
    struct Data {
        path: String,
        policies: Vec<String>,
    }
    let Data { path, mut policies } = answer.data(Credential::Token)?;
    policies.sort_unstable();
    Ok(TokenFacts { path, policies })
}

fn says_no_accessor(answer: &Answer) -> bool {
    matches!(answer.status, 400 | 403 | 404) && answer.says("invalid accessor")
}

fn accessors(answer: &Answer) -> Result<Vec<Accessor>, Failure> {
    #[derive(Deserialize)]
    struct Data {
        keys: Vec<Accessor>,
    }
    if answer.is_absent() {
        return Ok(Vec::new());
    }
    answer.data::<Data>(Credential::Token).map(|data| data.keys)
}

fn logged_in(answer: &Answer, into: Secret, slots: &mut dyn Slots) -> Result<Login, Failure> {
    #[derive(Deserialize)]
    struct Body {
        auth: Auth,
    }
    #[derive(Deserialize)]
    struct Auth {
        client_token: Zeroizing<String>,
        lease_duration: u64,
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        service_account_namespace: Namespace,
        service_account_name: ServiceAccount,
    }
    if answer.status != 200 {
        return Err(answer.failure(Credential::Jwt));
    }
    let Body { auth: Auth { client_token, lease_duration, metadata } } = answer.body()?;
    slots.fill(into, sendable(client_token)?);
    let identity = Identity {
        namespace: metadata.service_account_namespace,
        service_account: metadata.service_account_name,
    };
    Ok(Login { identity, lease_s: lease_duration })
}

/// What a K/V engine stores under a path.
#[derive(Deserialize)]
struct Stored<T> {
    data: T,
    metadata: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// Credentials are there; they are not looked at.
#[derive(Deserialize)]
struct Account {
    #[serde(rename = "username")]
    _username: IgnoredAny,
    #[serde(rename = "password")]
    _password: IgnoredAny,
}

fn stored<T: DeserializeOwned>(answer: &Answer) -> Result<Option<Stored<T>>, Failure> {
    if answer.is_absent() {
        return Ok(None);
    }
    answer.data(Credential::Token).map(Some)
}

fn stored_jwt(answer: &Answer) -> Result<Option<String>, Failure> {
    #[derive(Deserialize)]
    struct Document {
        jwt: String,
    }
    let stored: Option<Stored<Document>> = stored(answer)?;
    Ok(stored.map(|stored| stored.data.jwt))
}

/// An engine that is not mounted keeps none: so it is between the death of root and the first configuration.
fn generation(answer: &Answer) -> Result<Option<Generation>, Failure> {
    if answer.status == 404 && answer.says("no handler for route") {
        return Ok(None);
    }
    #[derive(Deserialize)]
    struct Document {
        generation: u64,
    }
    let stored: Option<Stored<Document>> = stored(answer)?;
    Ok(stored.map(|Stored { data, metadata }| Generation {
        version: metadata.version,
        generation: data.generation,
    }))
}

fn password(answer: &Answer, into: Secret, slots: &mut dyn Slots) -> Result<Reply, Failure> {
    #[derive(Deserialize)]
    struct Data {
        password: Zeroizing<String>,
    }
    let data: Data = answer.data(Credential::Token)?;
    slots.fill(into, sendable(data.password)?);
    Ok(Reply::Password)
}

/// A certificate counts only if its authority signed it for the role's use and it is on that key; its end is its own,
/// not what the server says about it.
fn issued(
    answer: &Answer,
    role: PkiRole,
    into: Secret,
    slots: &mut dyn Slots,
) -> Result<Certificate, Failure> {
    #[derive(Deserialize)]
    struct Data {
        certificate: String,
        issuing_ca: String,
        private_key: Zeroizing<String>,
    }
    let data: Data = answer.data(Credential::Token)?;
    let (certificate, leaf) = certificate_of(&data.certificate, &data.issuing_ca, role)?;
    let is_pkcs8 = data.private_key.starts_with(PKCS8_BEGINS);
    if !is_pkcs8 || !certificate::is_on_key(&leaf, data.private_key.as_bytes()) {
        return Err(Failure::GARBLED);
    }
    slots.fill(into, bytes(data.private_key));
    Ok(certificate)
}

/// The same on the key of a request.
fn signed(answer: &Answer, role: PkiRole, csr: &Csr) -> Result<Certificate, Failure> {
    #[derive(Deserialize)]
    struct Data {
        certificate: String,
        issuing_ca: String,
    }
    let data: Data = answer.data(Credential::Token)?;
    let (certificate, leaf) = certificate_of(&data.certificate, &data.issuing_ca, role)?;
    if csr::is_answered_by(csr, &leaf) { Ok(certificate) } else { Err(Failure::GARBLED) }
}

fn certificate_of(leaf: &str, ca: &str, role: PkiRole) -> Result<(Certificate, Facts), Failure> {
    let (leaf, ca) = (pem(leaf)?, pem(ca)?);
    let chain = certificate::verify_chain(&leaf, &ca, usage(role)).map_err(|_| Failure::GARBLED)?;
    if chain.outlives_authority() {
        return Err(Failure::GARBLED);
    }
    Ok((Certificate { leaf, ca, not_after: chain.leaf.not_after }, chain.leaf))
}

/// PEM that ends in one line break, so that files made of several stay well-formed; Vault sends none.
fn pem(text: &str) -> Result<Pem, Failure> {
    Pem::parse(&format!("{}\n", text.trim_end())).map_err(|_| Failure::GARBLED)
}

fn signature(answer: &Answer) -> Result<Signature, Failure> {
    #[derive(Deserialize)]
    struct Data {
        signature: String,
    }
    let data: Data = answer.data(Credential::Token)?;
    let base64 = data.signature.strip_prefix(SIGNATURE_PREFIX).ok_or(Failure::GARBLED)?;
    let raw = BASE64.decode(base64.as_bytes()).map_err(|_| Failure::GARBLED)?;
    Signature::try_from(raw).map_err(|_| Failure::GARBLED)
}

/// A secret that can be sent back one day: visible ASCII, and some of it.
fn sendable(secret: Zeroizing<String>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Unknown(Lost::Garbled));
    }
    Ok(bytes(secret))
}

/// The same memory under another type: nothing is copied, all of it is wiped.
fn bytes(mut secret: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(core::mem::take(&mut *secret).into_bytes())
}

#[cfg(test)]
mod tests;
