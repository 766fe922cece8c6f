//! Who may do what: from a parsed request to the engine that carries it out.

use http::StatusCode;

use super::acl::Acl;
use super::answer::{Answer, Handled, Refusal};
use super::mounts::{AuthMount, Engine, Method, SecretMount};
use super::request::{Operation, Request};
use super::storage::Storage;
use super::token::Caller;
use super::{Host, kubernetes_auth, kv, mounts, password, pki, policies, token, transit};

/// What a request may have changed besides the storage.
pub(super) enum Routed {
    Answered(Handled),
    /// The caller may, and asked for, the sealing of the server.
    Seal,
}

/// Checks the token and its policies, then hands the request to its engine.
pub(super) fn route(
    storage: &mut Storage,
    mut request: Request,
    host: &mut Host<'_>,
    upgrading: u8,
) -> Routed {
    if let Some(mount) = login_mount(storage, &request) {
        return Routed::Answered(kubernetes_auth::log_in(storage, &request, &mount, host));
    }
    if is_public(storage, &request) {
        return Routed::Answered(dispatch(storage, &request, None, host, upgrading));
    }
    let caller = request.token.as_deref().and_then(|token| storage.tokens.caller(token));
    let Some(caller) = caller else {
        return Routed::Answered(Err(Refusal::unknown_caller()));
    };
    if request.operation == Operation::Update {
        match exists(storage, &request) {
            Err(refusal) => return Routed::Answered(Err(refusal)),
            Ok(Some(false)) => request.operation = Operation::Create,
            Ok(Some(true) | None) => {}
        }
    }
    if !is_allowed(storage, &request, &caller) {
        return Routed::Answered(Err(Refusal::denied()));
    }
    if request.path == "sys/seal" && request.operation == Operation::Update {
        return Routed::Seal;
    }
    Routed::Answered(dispatch(storage, &request, Some(&caller), host, upgrading))
}

/// The mount whose login this is; needs no token.
fn login_mount(storage: &Storage, request: &Request) -> Option<String> {
    let mount = request.path.strip_prefix("auth/")?.strip_suffix("login")?;
    let method = &storage.auth.get(mount)?.method;
    matches!(method, Method::Kubernetes(_)).then(|| mount.to_owned())
}

fn is_public(storage: &Storage, request: &Request) -> bool {
    let Some((mount, rest)) = split_mount(storage, &request.path) else {
        return false;
    };
    match &storage.mounts[mount].engine {
        Engine::Pki(_) => pki::is_public(request.operation, rest),
        Engine::Kv(_) | Engine::Transit(_) | Engine::Opaque => false,
    }
}

/// Whether a write would meet something, where the real server looks.
fn exists(storage: &Storage, request: &Request) -> Result<Option<bool>, Refusal> {
    if let Some(rest) = request.path.strip_prefix("auth/") {
        let below = rest
            .split_once('/')
            .and_then(|(mount, rest)| Some((&storage.auth.get(&format!("{mount}/"))?.method, rest)));
        return match below {
            Some((Method::Kubernetes(method), rest)) => Ok(method.exists(rest)),
            Some((Method::Token, _)) | None => Ok(None),
        };
    }
    let Some((mount, rest)) = split_mount(storage, &request.path) else {
        return Ok(None);
    };
    match &storage.mounts[mount].engine {
        Engine::Kv(kv) => kv.exists(request, rest),
        Engine::Pki(_) | Engine::Transit(_) | Engine::Opaque => Ok(None),
    }
}

fn is_allowed(storage: &Storage, request: &Request, caller: &Caller) -> bool {
    if caller.is_root() {
        return true;
    }
    let policies = caller.policies.iter().filter_map(|name| storage.policies.get(name));
    let acl = Acl::new(policies.map(|stored| &stored.policy), storage.known(caller.entity.as_deref()));
    acl.allows(request.operation, &request.path, &request.data, needs_sudo(storage, &request.path))
}

/// The paths that are protected even from those whose policies name them, unless with `sudo`.
fn needs_sudo(storage: &Storage, path: &str) -> bool {
    let rest_of = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    let of_sys = matches!(path, "sys/seal" | "sys/step-down" | "sys/rotate" | "sys/audit" | "sys/remount")
        || ["sys/auth/", "sys/audit/", "sys/raw/", "sys/storage/raft/", "sys/leases/lookup/"]
            .into_iter()
            .any(rest_of);
    let of_tokens = path.starts_with("auth/token/accessors") || path.starts_with("auth/token/revoke-orphan");
    let of_pki = || {
        let is_pki = |mount: &str| matches!(storage.mounts[mount].engine, Engine::Pki(_));
        let split = split_mount(storage, path);
        split.is_some_and(|(mount, rest)| is_pki(mount) && matches!(rest, "root" | "root/sign-self-issued"))
    };
    of_sys || of_tokens || of_pki()
}

fn dispatch(
    storage: &mut Storage,
    request: &Request,
    caller: Option<&Caller>,
    host: &mut Host<'_>,
    upgrading: u8,
) -> Handled {
    if let Some(name) = request.surplus_query() {
        return Err(Refusal::not_implemented(format_args!("the query {name} of {}", request.path)));
    }
    let path = request.path.as_str();
    if let Some(rest) = path.strip_prefix("sys/") {
        return dispatch_sys(storage, request, rest, upgrading);
    }
    if let Some(rest) = path.strip_prefix("auth/") {
        return dispatch_auth(storage, request, rest, caller, host);
    }
    let Some((mount, rest)) = split_mount(storage, path) else {
        let why = format!("no handler for route \"{path}\". route entry not found.");
        return Err(Refusal::new(StatusCode::NOT_FOUND, why));
    };
    let (mount, rest) = (mount.to_owned(), rest.to_owned());
    let entities = storage.entities.clone();
    let known = caller.and_then(|caller| caller.entity.as_deref());
    let known = known.and_then(|id| Some((id, entities.get(id)?)));
    let SecretMount { description, engine } =
        storage.mounts.own().get_mut(&mount).expect("the path was split at it");
    match engine {
        Engine::Kv(kv) => kv::handle(kv, request, &rest),
        Engine::Pki(pki) => pki::handle(pki, description, request, &rest, known),
        Engine::Transit(transit) => transit::handle(transit, request, &rest),
        Engine::Opaque => request.not_implemented(),
    }
}

fn dispatch_sys(storage: &mut Storage, request: &Request, rest: &str, upgrading: u8) -> Handled {
    let under = |name: &str| rest.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(rest) = under("mounts") {
        return mounts::handle_secrets(storage, request, rest, upgrading);
    }
    if let Some(rest) = under("auth") {
        return mounts::handle_auth(storage, request, rest);
    }
    if let Some(rest) = under("policies/acl") {
        return policies::handle(storage, request, rest.trim_start_matches('/'));
    }
    if let Some(rest) = under("policies/password") {
        return password::handle(storage, request, rest.trim_start_matches('/'));
    }
    request.not_implemented()
}

fn dispatch_auth(
    storage: &mut Storage,
    request: &Request,
    rest: &str,
    caller: Option<&Caller>,
    host: &Host<'_>,
) -> Handled {
    let (mount, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let is_token = match storage.auth.get(&format!("{mount}/")) {
        Some(AuthMount { method: Method::Token, .. }) => true,
        Some(AuthMount { method: Method::Kubernetes(_), .. }) => false,
        None => {
            let why = format!("no handler for route \"{}\". route entry not found.", request.path);
            return Err(Refusal::new(StatusCode::NOT_FOUND, why));
        }
    };
    if is_token {
        return token::handle(storage, request, rest, caller.expect("no path of tokens is public"));
    }
    let auth = storage.auth.own().get_mut(&format!("{mount}/"));
    match auth.map(|auth| &mut auth.method) {
        Some(Method::Kubernetes(method)) => kubernetes_auth::handle(method, request, rest, host),
        Some(Method::Token) | None => unreachable!("the mount was just looked up"),
    }
}

/// The secrets mount that the path is below, and the rest of the path.
fn split_mount<'a>(storage: &'a Storage, path: &'a str) -> Option<(&'a str, &'a str)> {
    let below = |(mount, _): (&'a String, _)| Some((mount.as_str(), path.strip_prefix(mount.as_str())?));
    storage.mounts.iter().find_map(below)
}

impl Routed {
    /// The answer, after the server was sealed if that was asked for.
    pub(super) fn answer(self, seal: impl FnOnce()) -> Handled {
        match self {
            Self::Answered(answer) => answer,
            Self::Seal => {
                seal();
                Ok(Answer::done())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trial::Trial;

    #[test]
    fn a_dead_token_and_one_that_may_not_are_told_apart() {
        let (mut trial, root) = Trial::unsealed();
        let token = trial.token_with_policy(&root, "#");
        let may_not = (403, "1 error occurred:\n\t* permission denied\n\n".to_owned());

        assert_eq!(trial.refused("GET", "sys/mounts", "dead", &json!({})), (403, "permission denied".into()));
        assert_eq!(trial.refused("GET", "sys/mounts", "", &json!({})), (403, "permission denied".into()));
        assert_eq!(trial.refused("GET", "sys/mounts", &token, &json!({})), may_not);
        assert_eq!(trial.refused("GET", "nope/x", &token, &json!({})), may_not);
        let no_route = "no handler for route \"nope/x\". route entry not found.";
        assert_eq!(trial.refused("GET", "nope/x", &root, &json!({})), (404, no_route.into()));
    }

    #[test]
    fn what_is_not_implemented_is_501_and_names_the_request() {
        let (mut trial, root) = Trial::unsealed();
        for (method, path) in
            [("GET", "sys/leader"), ("POST", "sys/wrapping/wrap"), ("GET", "identity/entity/id")]
        {
            let expected = (501, format!("the fake Vault does not implement {method} {path}"));
            assert_eq!(trial.refused(method, path, &root, &json!({})), expected);
        }
    }

    #[test]
    fn operations_that_a_path_lacks_are_405() {
        let (mut trial, root) = Trial::unsealed();
        let requests =
            [("GET", "sys/policies/acl"), ("DELETE", "auth/token/lookup-self"), ("POST", "sys/mounts")];
        for (method, path) in requests {
            let expected = (405, "1 error occurred:\n\t* unsupported operation\n\n".into());
            assert_eq!(trial.refused(method, path, &root, &json!({})), expected, "{method} {path}");
        }
    }

    #[test]
    fn protected_paths_need_sudo() {
        let (mut trial, root) = Trial::unsealed();
        let mut enable = |capabilities: &str| {
            let policy = format!("path \"sys/auth/*\" {{ capabilities = [{capabilities}] }}");
            let token = trial.token_with_policy(&root, &policy);
            trial.status("POST", "sys/auth/x", &token, &json!({"type": "kubernetes"}))
        };

        assert_eq!((enable("\"create\", \"update\""), enable("\"create\", \"sudo\"")), (403, 403));
        assert_eq!(enable("\"update\", \"sudo\""), 204);
    }

    #[test]
    fn requests_are_counted_by_method_and_path() {
        let (mut trial, root) = Trial::unsealed();
        trial.must("GET", "sys/mounts", &root, &json!({}));
        trial.must("GET", "sys/mounts", &root, &json!({}));

        let count = trial.vault.requests().get(&("GET".to_owned(), "/v1/sys/mounts".to_owned()));
        assert_eq!(count, Some(&2));
    }
}
