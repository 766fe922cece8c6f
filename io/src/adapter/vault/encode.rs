//! Calls become requests.

use data_encoding::BASE64;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Uri};
use kubefox_core::names::Csr;
use kubefox_core::secret::Secret;
use kubefox_core::vault::{Account, Call, CertificateRequest, Mount, NatsKey, Setting, StoredJwt};
use rustify::endpoint::{Endpoint, MiddleWare};
use serde_json::{Value, json};
use vaultrs::api::EndpointMiddleware;
use vaultrs::api::auth::kubernetes::requests::{
    LoginWithKubernetesRequest, ReadKubernetesAuthConfigRequest, ReadKubernetesRoleRequest,
};
use vaultrs::api::kv2::requests::{ReadSecretRequest, SetSecretRequest, SetSecretRequestOptions};
use vaultrs::api::pki::requests::{
    GenerateCertificateRequest, ListIssuersRequest, ReadRoleRequest, SignCertificateRequest,
};
use vaultrs::api::sys::requests::{
    ListAuthsRequest, ListMountsRequest, ReadHealthRequest, StartInitializationRequest, UnsealRequest,
};
use vaultrs::api::token::requests::{
    ListAccessorRequest, LookupTokenAccessorRequest, LookupTokenSelfRequest, RevokeTokenAccessorRequest,
    RevokeTokenSelfRequest,
};
use vaultrs::api::transit::requests::{ReadKeyRequest, SignDataRequest};
use zeroize::Zeroize;

use super::endpoints::{
    GeneratePassword, InitStatus, ReadPasswordPolicy, ReadPolicy, SealStatus, WriteSetting,
};
use super::path;
use crate::adapter::{Slots, Unencodable, text};

/// What the libraries need to build a URI; only its path and query go out.
const BASE: &str = "http://vault";
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-vault-token");
const NO_TOKEN: &str = "";

/// The request of a call.
///
/// # Errors
/// [`Unencodable`] if a secret is not there or cannot be sent.
pub fn encode(call: &Call, slots: &dyn Slots) -> Result<Request<Vec<u8>>, Unencodable> {
    match call {
        Call::SealStatus => request(&SealStatus {}, NO_TOKEN),
        Call::InitStatus => request(&InitStatus {}, NO_TOKEN),
        Call::Health => request(&ReadHealthRequest::default(), NO_TOKEN),
        Call::Initialize => request(&initialize(), NO_TOKEN),
        Call::Unseal { key } => unseal(*key, slots),
        Call::LookupSelf { token } => request(&LookupTokenSelfRequest {}, &text(*token, slots)?),
        Call::RevokeSelf { token } => request(&RevokeTokenSelfRequest {}, &text(*token, slots)?),
        Call::ListAccessors { token } => request(&ListAccessorRequest {}, &text(*token, slots)?),
        Call::LookupAccessor { token, accessor } => {
            let accessor = accessor.as_str().to_owned();
            request(&LookupTokenAccessorRequest { accessor }, &text(*token, slots)?)
        }
        Call::RevokeAccessor { token, accessor } => {
            let accessor = accessor.as_str().to_owned();
            request(&RevokeTokenAccessorRequest { accessor }, &text(*token, slots)?)
        }
        Call::Login { role, jwt, into: _ } => login(role.as_str(), *jwt, slots),
        Call::Read { token, setting } => read(setting, &text(*token, slots)?),
        Call::Write { token, setting, body } => {
            let body =
                serde_json::to_vec(body).map_err(|_| Unencodable::Unbuildable("the setting is no JSON"))?;
            request(&WriteSetting { path: path::of_setting(setting), body }, &text(*token, slots)?)
        }
        Call::ReadJwt { token, jwt } => request(&read_jwt(*jwt), &text(*token, slots)?),
        Call::WriteJwt { token, jwt, text: jwt_text } => {
            let create = write(Mount::NatsJwt, path::of_jwt(*jwt), json!({ "jwt": jwt_text }), 0);
            request(&create, &text(*token, slots)?)
        }
        Call::ReadAccount { token, account } => request(&read_account(*account), &text(*token, slots)?),
        Call::GeneratePassword { token, into: _ } => {
            request(&GeneratePassword { name: path::PASSWORD_POLICY.to_owned() }, &text(*token, slots)?)
        }
        Call::WriteAccount { token, account, password } => {
            write_account(*account, &text(*password, slots)?, &text(*token, slots)?)
        }
        Call::ReadGeneration { token } => {
            request(&kv_read(Mount::Systems, path::GENERATION), &text(*token, slots)?)
        }
        Call::WriteGeneration { token, cas, generation } => {
            let cas = u32::try_from(*cas)
                .map_err(|_| Unencodable::Unbuildable("the K/V version exceeds 32 bits"))?;
            let replace = write(Mount::Systems, path::GENERATION, json!({ "generation": generation }), cas);
            request(&replace, &text(*token, slots)?)
        }
        Call::Issue { token, request: asked, into: _ } => request(&issue(asked), &text(*token, slots)?),
        Call::SignCertificate { token, request: asked, csr } => {
            request(&sign_certificate(asked, csr), &text(*token, slots)?)
        }
        Call::Sign { token, key, input } => request(&sign(key, input), &text(*token, slots)?),
    }
}

/// Builds what an endpoint asks for; `token` must be visible ASCII, since the library panics otherwise.
fn request<E: Endpoint>(endpoint: &E, token: &str) -> Result<Request<Vec<u8>>, Unencodable> {
    const REFUSED: Unencodable = Unencodable::Unbuildable("Vault's request types refused the call");
    let mut request = endpoint.request(BASE).map_err(|_| REFUSED)?;
    let mut middleware =
        EndpointMiddleware { token: token.to_owned(), version: "v1".to_owned(), wrap: None, namespace: None };
    let done = middleware.request(endpoint, &mut request);
    middleware.token.zeroize();
    done.map_err(|_| REFUSED)?;
    if let Some(value) = request.headers_mut().get_mut(&TOKEN_HEADER) {
        value.set_sensitive(true);
    }
    if !request.body().is_empty() {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let uri = match request.uri().query() {
        Some(query) if !query.is_empty() => format!("{}?{query}", request.uri().path()),
        Some(_) | None => request.uri().path().to_owned(),
    };
    *request.uri_mut() = uri.parse::<Uri>().map_err(|_| REFUSED)?;
    Ok(request)
}

fn initialize() -> StartInitializationRequest {
    StartInitializationRequest::builder()
        .secret_shares(1_u64)
        .secret_threshold(1_u64)
        .build()
        .expect("every member of the builder has a default")
}

fn unseal(key: Secret, slots: &dyn Slots) -> Result<Request<Vec<u8>>, Unencodable> {
    let mut endpoint =
        UnsealRequest { key: Some(String::clone(&*text(key, slots)?)), reset: None, migrate: None };
    let built = request(&endpoint, NO_TOKEN);
    endpoint.key.zeroize();
    built
}

fn login(role: &str, jwt: Secret, slots: &dyn Slots) -> Result<Request<Vec<u8>>, Unencodable> {
    let mut endpoint = LoginWithKubernetesRequest {
        mount: path::KUBERNETES.to_owned(),
        role: role.to_owned(),
        jwt: String::clone(&*text(jwt, slots)?),
    };
    let built = request(&endpoint, NO_TOKEN);
    endpoint.jwt.zeroize();
    built
}

fn read(setting: &Setting, token: &str) -> Result<Request<Vec<u8>>, Unencodable> {
    let pki = || Mount::Pki.as_str().to_owned();
    match setting {
        // One auth method or mount alone is not readable with the controller's policies: the list is.
        Setting::KubernetesAuth => request(&ListAuthsRequest {}, token),
        Setting::Mount(_) => request(&ListMountsRequest {}, token),
        Setting::KubernetesAuthConfig => {
            request(&ReadKubernetesAuthConfigRequest { mount: path::KUBERNETES.to_owned() }, token)
        }
        Setting::Policy(role) => request(&ReadPolicy { name: role.as_str().to_owned() }, token),
        Setting::AuthRole(role) => {
            let (mount, name) = (path::KUBERNETES.to_owned(), role.as_str().to_owned());
            request(&ReadKubernetesRoleRequest { mount, name }, token)
        }
        Setting::RootCertificate => request(&ListIssuersRequest { mount: pki() }, token),
        Setting::PkiRole(role) => {
            request(&ReadRoleRequest { mount: pki(), name: role.as_str().to_owned() }, token)
        }
        Setting::NatsKey(key) => request(
            &ReadKeyRequest { mount: Mount::Nats.as_str().to_owned(), name: path::of_key(key) },
            token,
        ),
        Setting::PasswordPolicy => {
            request(&ReadPasswordPolicy { name: path::PASSWORD_POLICY.to_owned() }, token)
        }
    }
}

fn kv_read(mount: Mount, path: &str) -> ReadSecretRequest {
    ReadSecretRequest { mount: mount.as_str().to_owned(), path: path.to_owned(), version: None }
}

fn read_jwt(jwt: StoredJwt) -> ReadSecretRequest {
    kv_read(Mount::NatsJwt, path::of_jwt(jwt))
}

fn read_account(account: Account) -> ReadSecretRequest {
    kv_read(Mount::Opensearch, account.as_str())
}

fn write(mount: Mount, path: &str, data: Value, cas: u32) -> SetSecretRequest {
    SetSecretRequest {
        mount: mount.as_str().to_owned(),
        path: path.to_owned(),
        data,
        options: Some(SetSecretRequestOptions { cas }),
    }
}

fn write_account(account: Account, password: &str, token: &str) -> Result<Request<Vec<u8>>, Unencodable> {
    let data = json!({ "username": account.as_str(), "password": password });
    let mut endpoint = write(Mount::Opensearch, account.as_str(), data, 0);
    let built = request(&endpoint, token);
    if let Some(Value::String(password)) = endpoint.data.get_mut("password") {
        password.zeroize();
    }
    built
}

fn issue(asked: &CertificateRequest) -> GenerateCertificateRequest {
    GenerateCertificateRequest {
        mount: Mount::Pki.as_str().to_owned(),
        role: asked.role.as_str().to_owned(),
        common_name: asked.common_name.clone(),
        // Absent rather than empty: policies list the parameters that may be there.
        alt_names: (!asked.dns_names.is_empty()).then(|| asked.dns_names.join(",")),
        uri_sans: Some(asked.uri.clone()),
        ttl: Some(format!("{}s", asked.ttl_s)),
        format: Some("pem".to_owned()),
        private_key_format: Some("pkcs8".to_owned()),
        ..GenerateCertificateRequest::default()
    }
}

fn sign_certificate(asked: &CertificateRequest, csr: &Csr) -> SignCertificateRequest {
    SignCertificateRequest {
        mount: Mount::Pki.as_str().to_owned(),
        role: asked.role.as_str().to_owned(),
        csr: Some(csr.as_str().to_owned()),
        common_name: asked.common_name.clone(),
        // Absent rather than empty, as above.
        alt_names: (!asked.dns_names.is_empty()).then(|| asked.dns_names.join(",")),
        uri_sans: Some(asked.uri.clone()),
        ttl: Some(format!("{}s", asked.ttl_s)),
        format: Some("pem".to_owned()),
        ..SignCertificateRequest::default()
    }
}

fn sign(key: &NatsKey, input: &[u8]) -> SignDataRequest {
    SignDataRequest {
        mount: Mount::Nats.as_str().to_owned(),
        name: path::of_key(key),
        input: BASE64.encode(input),
        ..SignDataRequest::default()
    }
}

#[cfg(test)]
mod tests;
