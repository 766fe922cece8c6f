//! Reviews of service-account tokens.

use http::Method;
use kubefox_core::kubernetes::Call;
use kubefox_core::secret::{Own, Secret};
use serde_json::{Value, json};

use crate::forge;
use crate::stage::{API_AUDIENCE, PLATFORM, Pod, Stage, TENANT, TOKEN_CACHE_S, identity};

pub(super) const API_JWT: Secret = Secret::Own(Own::ApiJwt);
const JWT: Secret = Secret::Own(Own::CallerJwt);
const AUDIENCE: &str = "kubefox.kubefox";

/// The controller's pod; its token is the one that requests are made with.
pub(super) fn controller(stage: &mut Stage<'_>) -> Pod {
    let pod = stage.pod(&identity(PLATFORM, "kubefox"), "kubefox-0");
    let token = stage.token(&pod, API_AUDIENCE);
    stage.fill(API_JWT, &token);
    pod
}

pub(super) fn of_tokens(stage: &mut Stage<'_>) {
    controller(stage);
    let app = identity(TENANT, "component-a");
    let pod = stage.pod(&app, "app-0");
    let token = stage.token(&pod, AUDIENCE);
    review(stage, "of a component", &token, AUDIENCE);
    review(stage, "for another audience", &token, "kubefox.other");
    review(stage, "for the API server", &token, API_AUDIENCE);
    let api = stage.token(&pod, API_AUDIENCE);
    review(stage, "a token for the API server", &api, AUDIENCE);
    let unbound = stage.token_bound_to(&app, None, AUDIENCE);
    review(stage, "bound to no pod", &unbound, AUDIENCE);

    review(stage, "a signature of other claims", &forge::swapped(&token, &api), AUDIENCE);
    let (unsigned, _) = token.rsplit_once('.').expect("a JWT");
    review(stage, "without a signature", unsigned, AUDIENCE);
    review(stage, "an empty signature", &format!("{unsigned}."), AUDIENCE);
    for algorithm in ["none", "HS256", "RS256"] {
        let headed = forge::headed(&token, &json!({"alg": algorithm}));
        review(stage, &format!("with the algorithm {algorithm}"), &headed, AUDIENCE);
    }
    review(stage, "no JWT", "nothing", AUDIENCE);
    review(stage, "no claims", "e30.e30.c2ln", AUDIENCE);

    let doomed = stage.pod(&app, "app-1");
    let of_doomed = stage.token(&doomed, AUDIENCE);
    let replaced = stage.pod(&app, "app-2");
    let of_replaced = stage.token(&replaced, AUDIENCE);
    let accounts = format!("/api/v1/namespaces/{TENANT}/serviceaccounts");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "brief", "namespace": TENANT}});
    assert_eq!(stage.administrate(Method::POST, &accounts, Some(&account)).0, 201);
    let brief = stage.pod(&identity(TENANT, "brief"), "brief-0");
    let of_brief = stage.token(&brief, AUDIENCE);
    for (title, token) in [("a pod", &of_doomed), ("another pod", &of_replaced), ("an account", &of_brief)] {
        review(stage, &format!("{title} that lives"), token, AUDIENCE);
    }
    for path in [
        format!("/api/v1/namespaces/{TENANT}/pods/app-1"),
        format!("/api/v1/namespaces/{TENANT}/pods/app-2"),
        format!("{accounts}/brief"),
    ] {
        stage.delete(&path);
    }
    stage.pod(&app, "app-2");
    stage.wait(TOKEN_CACHE_S);
    review(stage, "a pod that is deleted", &of_doomed, AUDIENCE);
    review(stage, "a pod that was made again", &of_replaced, AUDIENCE);
    review(stage, "an account that is deleted", &of_brief, AUDIENCE);
}

/// What is answered and never kept is read as strictly as what is kept, where the server is told to be strict; the fake
/// always is.
pub(super) fn with_unknown_members(stage: &mut Stage<'_>) {
    controller(stage);
    let pod = stage.pod(&identity(TENANT, "component-a"), "app-0");
    let token = stage.token(&pod, AUDIENCE);
    let requests = format!("/api/v1/namespaces/{TENANT}/serviceaccounts/component-a/token");
    let request = json!({"spec": {"audiences": [AUDIENCE], "expirationSeconds": 600}});
    let review = json!({"spec": {"token": token, "audiences": [AUDIENCE]}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    for (kind, path, body) in [("TokenReview", reviews, review), ("TokenRequest", &requests, request)] {
        let with = |at: &str, member: &str, value: Value| {
            let mut body = body.clone();
            body["apiVersion"] = "authentication.k8s.io/v1".into();
            body["kind"] = kind.into();
            body.pointer_mut(at).expect("it is there")[member] = value;
            body
        };
        for (title, body) in [
            ("as it should be", with("", "kind", kind.into())),
            ("of another kind", with("", "kind", "Pod".into())),
            ("with its status", with("", "status", json!({}))),
            ("with labels", with("", "metadata", json!({"labels": {"a": "b"}}))),
            ("with something more", with("", "surplus", json!(1))),
            ("with something more in its spec", with("/spec", "surplus", json!(1))),
            ("with something more in its metadata", with("", "metadata", json!({"surplus": 1}))),
        ] {
            let path = format!("{path}?fieldValidation=Strict");
            let (status, answer) = stage.administrate(Method::POST, &path, Some(&body));
            stage.saw(&format!("{kind} {title}"), &json!([status, answer.get("reason")]));
        }
    }
}

/// Every service account may read them, and nobody else.
pub(super) fn signers(stage: &mut Stage<'_>) {
    controller(stage);
    stage.kubernetes("the controller", &Call::ReadSigners);
    let pod = stage.pod(&identity(TENANT, "component-a"), "app-0");
    let token = stage.token(&pod, API_AUDIENCE);
    stage.fill(API_JWT, &token);
    stage.kubernetes("a component", &Call::ReadSigners);
    stage.fill(API_JWT, "nothing");
    stage.kubernetes("with no token of the cluster", &Call::ReadSigners);
}

fn review(stage: &mut Stage<'_>, title: &str, token: &str, audience: &str) {
    stage.fill(JWT, token);
    stage.kubernetes(title, &Call::ReviewToken { token: JWT, audience: audience.to_owned() });
}
