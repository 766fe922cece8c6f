//! Tokens: `auth/token/…`.
//!
//! Service tokens are stored until they are revoked or expire. Batch tokens carry everything themselves on the real
//! server; here a table stands for the server's ability to read them, from which time alone removes them.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use kubefox_core::time::Unix;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, Auth, Handled, Refusal};
use super::fields::Fields;
use super::mint::Mint;
use super::request::{Operation, Request};
use super::storage::Storage;
use crate::canonical::Canonical;
use crate::fake::timestamp::rfc3339;

/// For how long a token lives unless somebody says otherwise, in seconds: 32 days.
pub(super) const DEFAULT_TTL_S: u64 = 2_764_800;

/// The text of a token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct TokenId(pub(super) String);

/// The public name of a service token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Accessor(pub(super) String);

/// All tokens that live.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Tokens {
    service: BTreeMap<TokenId, ServiceToken>,
    batch: BTreeMap<TokenId, BatchToken>,
    /// How many service tokens were ever made, so that no two are equal.
    made: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct ServiceToken {
    accessor: Accessor,
    policies: Vec<String>,
    path: String,
    display_name: String,
    created: Unix,
    /// `None` for a root token that never expires.
    ttl_s: Option<u64>,
    /// Revoked with its parent; `None` for an orphan.
    parent: Option<TokenId>,
}

/// What a batch token says of itself.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct BatchToken {
    pub(super) policies: Vec<String>,
    pub(super) path: String,
    pub(super) display_name: String,
    pub(super) created: Unix,
    pub(super) ttl_s: u64,
    pub(super) entity: String,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Whose request this is.
pub(super) struct Caller {
    id: TokenId,
    pub(super) policies: Vec<String>,
    /// The id of the entity; tokens that were not made by a login have none.
    pub(super) entity: Option<String>,
}

impl Caller {
    pub(super) fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == "root")
    }
}

impl Tokens {
    /// The token of the initialization; may everything and never expires.
    pub(super) fn make_root(&mut self, now: Unix, mint: Mint) -> TokenId {
        let (id, _) = self.insert(now, mint, |accessor| ServiceToken {
            accessor,
            policies: vec!["root".to_owned()],
            path: "auth/token/root".to_owned(),
            display_name: "root".to_owned(),
            created: now,
            ttl_s: None,
            parent: None,
        });
        id
    }

    /// Keeps a batch token until it expires.
    pub(super) fn remember(&mut self, id: TokenId, token: BatchToken) {
        self.batch.insert(id, token);
    }

    /// Removes every batch token.
    pub(super) fn end_batch_tokens(&mut self) {
        self.batch.clear();
    }

    /// Writes the service tokens: who lives, by accessor, and whose child it is.
    pub(super) fn canonical(&self, to: &mut Canonical) {
        to.value(&self.service);
    }

    /// Whether somebody of that token lives.
    pub(super) fn caller(&self, id: &str) -> Option<Caller> {
        let id = TokenId(id.to_owned());
        if let Some(token) = self.service.get(&id) {
            return Some(Caller { id, policies: token.policies.clone(), entity: None });
        }
        let token = self.batch.get(&id)?;
        let (policies, entity) = (token.policies.clone(), Some(token.entity.clone()));
        Some(Caller { id, policies, entity })
    }

    /// Whether anything has expired.
    pub(super) fn is_stale(&self, now: Unix) -> bool {
        self.batch.values().any(|token| token.is_over(now))
            || self.service.values().any(|token| token.is_over(now))
    }

    /// Removes what has expired, and the children of it.
    pub(super) fn expire(&mut self, now: Unix) {
        self.batch.retain(|_, token| !token.is_over(now));
        let over = self.service.iter().filter(|(_, token)| token.is_over(now)).map(|(id, _)| id.clone());
        for id in over.collect::<Vec<_>>() {
            self.revoke(&id);
        }
    }

    /// Accessors of the tokens that may do everything.
    pub(super) fn live_roots(&self, now: Unix) -> impl Iterator<Item = &str> {
        let is_root = move |token: &&ServiceToken| {
            !token.is_over(now) && token.policies.iter().any(|name| name == "root")
        };
        self.service.values().filter(is_root).map(|token| token.accessor.0.as_str())
    }

    /// Service tokens, batch tokens, and the service tokens among them that will expire, hence have a lease.
    pub(super) fn count(&self) -> (usize, usize, usize) {
        let leases = self.service.values().filter(|token| token.ttl_s.is_some()).count();
        (self.service.len(), self.batch.len(), leases)
    }

    fn insert(
        &mut self,
        now: Unix,
        mint: Mint,
        make: impl FnOnce(Accessor) -> ServiceToken,
    ) -> (TokenId, &ServiceToken) {
        self.made += 1;
        let details = [&self.made.to_be_bytes()[..], &now.0.to_be_bytes()];
        let id = TokenId(mint.service_token(&details));
        let token = make(Accessor(mint.accessor(&details)));
        let token = self.service.entry(id.clone()).or_insert(token);
        (id, token)
    }

    fn find(&self, accessor: &str) -> Option<&TokenId> {
        let is_it = |(_, token): &(&TokenId, &ServiceToken)| token.accessor.0 == accessor;
        self.service.iter().find(is_it).map(|(id, _)| id)
    }

    /// Removes a token and everything that was made with it.
    fn revoke(&mut self, id: &TokenId) {
        self.service.remove(id);
        let children = self.service.iter().filter(|(_, token)| token.parent.as_ref() == Some(id));
        for child in children.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.revoke(&child);
        }
    }
}

impl ServiceToken {
    fn is_over(&self, now: Unix) -> bool {
        self.ttl_s.is_some_and(|ttl_s| now.0 >= self.created.0.saturating_add(ttl_s))
    }

    /// What a look-up says; an accessor does not lead back to the `id`.
    fn describe(&self, now: Unix, id: &str) -> Value {
        let ttl_s = self.ttl_s.unwrap_or(0);
        let ends = Unix(self.created.0.saturating_add(ttl_s));
        let mut data = json!({
            "accessor": self.accessor.0, "creation_time": self.created.0, "creation_ttl": ttl_s,
            "display_name": self.display_name, "entity_id": "", "expire_time": self.ttl_s.map(|_| rfc3339(ends)),
            "explicit_max_ttl": 0, "id": id, "meta": null, "num_uses": 0, "orphan": self.parent.is_none(),
            "path": self.path, "policies": self.policies, "type": "service",
            "ttl": if self.ttl_s.is_some() { ends.0.saturating_sub(now.0) } else { 0 },
        });
        if self.path != "auth/token/root" {
            data["issue_time"] = rfc3339(self.created).into();
            data["renewable"] = self.ttl_s.is_some().into();
        }
        data
    }
}

impl BatchToken {
    const fn is_over(&self, now: Unix) -> bool {
        now.0 >= self.created.0.saturating_add(self.ttl_s)
    }

    fn describe(&self, now: Unix, id: &str) -> Value {
        let ends = Unix(self.created.0.saturating_add(self.ttl_s));
        json!({
            "accessor": "", "creation_time": self.created.0, "creation_ttl": self.ttl_s,
            "display_name": self.display_name, "entity_id": self.entity, "expire_time": rfc3339(ends),
            "explicit_max_ttl": 0, "id": id, "issue_time": rfc3339(self.created), "meta": self.metadata,
            "num_uses": 0, "orphan": true, "path": self.path, "policies": self.policies, "renewable": false,
            "ttl": ends.0.saturating_sub(now.0), "type": "batch",
        })
    }
}

/// `auth/token/<rest>`.
pub(super) fn handle(storage: &mut Storage, request: &Request, rest: &str, caller: &Caller) -> Handled {
    let writes = request.operation == Operation::Update;
    match rest {
        "lookup-self" if writes || request.operation == Operation::Read => {
            Ok(look_up_self(storage, request, caller))
        }
        "revoke-self" if writes => revoke_self(storage, caller),
        "renew-self" if writes && storage.tokens.batch.contains_key(&caller.id) => {
            Err(Refusal::invalid("batch tokens cannot be renewed"))
        }
        "accessors/" if request.operation == Operation::List => list_accessors(storage),
        "lookup-accessor" if writes => look_up_accessor(storage, request),
        "revoke-accessor" if writes => revoke_accessor(storage, request),
        "create" if writes => create(storage, request, caller, false),
        "create-orphan" if writes => create(storage, request, caller, true),
        "lookup-self" | "revoke-self" | "accessors" | "lookup-accessor" | "revoke-accessor" | "create"
        | "create-orphan" => request.unsupported(),
        _ => request.not_implemented(),
    }
}

fn look_up_self(storage: &Storage, request: &Request, caller: &Caller) -> Answer {
    let id = caller.id.0.as_str();
    let service = storage.tokens.service.get(&caller.id).map(|token| token.describe(request.now, id));
    let batch = || storage.tokens.batch.get(&caller.id).map(|token| token.describe(request.now, id));
    Answer::data(service.or_else(batch).expect("the caller's token lives"))
}

fn revoke_self(storage: &mut Storage, caller: &Caller) -> Handled {
    if storage.tokens.batch.contains_key(&caller.id) {
        return Err(Refusal::invalid("batch tokens cannot be revoked"));
    }
    storage.tokens.own().revoke(&caller.id);
    Ok(Answer::done())
}

/// Sorted, which the real server does not promise. Batch tokens have no accessor.
fn list_accessors(storage: &Storage) -> Handled {
    let accessors: BTreeSet<_> = storage.tokens.service.values().map(|token| &token.accessor).collect();
    Answer::keys(&accessors.into_iter().collect::<Vec<_>>())
}

fn look_up_accessor(storage: &Storage, request: &Request) -> Handled {
    let accessor = named_accessor(request)?;
    let warnings = Fields(&request.data).warn_unknown(&["accessor"], &[])?;
    let token = storage.tokens.find(&accessor).and_then(|id| storage.tokens.service.get(id));
    let Some(token) = token else {
        return Err(Refusal::listed(StatusCode::BAD_REQUEST, "invalid accessor"));
    };
    Ok(Answer::Data { data: token.describe(request.now, ""), warnings })
}

fn revoke_accessor(storage: &mut Storage, request: &Request) -> Handled {
    let accessor = named_accessor(request)?;
    let Some(id) = storage.tokens.find(&accessor).cloned() else {
        let mut warnings = vec!["No token found with this accessor".to_owned()];
        warnings.extend(Fields(&request.data).warn_unknown(&["accessor"], &[])?);
        return Ok(Answer::Done { warnings });
    };
    storage.tokens.own().revoke(&id);
    Ok(Answer::done())
}

fn named_accessor(request: &Request) -> Result<String, Refusal> {
    let accessor = Fields(&request.data).text("accessor")?.filter(|accessor| !accessor.is_empty());
    accessor.ok_or_else(|| Refusal::listed(StatusCode::BAD_REQUEST, "missing accessor"))
}

fn create(storage: &mut Storage, request: &Request, caller: &Caller, orphan: bool) -> Handled {
    const KNOWN: [&str; 4] = ["policies", "ttl", "no_default_policy", "display_name"];
    const UNIMPLEMENTED: [&str; 10] = [
        "id",
        "lease",
        "period",
        "explicit_max_ttl",
        "num_uses",
        "type",
        "meta",
        "no_parent",
        "renewable",
        "entity_alias",
    ];
    let fields = Fields(&request.data);
    let mut warnings = fields.warn_unknown(&KNOWN, &UNIMPLEMENTED)?;
    if storage.tokens.batch.contains_key(&caller.id) {
        return Err(Refusal::invalid("batch tokens cannot create more tokens"));
    }
    let policies = child_policies(fields, caller)?;
    let missing = policies.iter().filter(|name| *name != "root" && !storage.policies.contains_key(*name));
    warnings.extend(missing.map(|name| format!("Policy \"{name}\" does not exist")));

    let is_root = policies == ["root"];
    let ttl_s = match fields.seconds("ttl")? {
        None | Some(0) => Some(DEFAULT_TTL_S).filter(|_| !is_root),
        Some(ttl_s) => Some(ttl_s.min(DEFAULT_TTL_S)),
    };
    let display_name = match fields.text("display_name")? {
        Some(name) => format!("token-{name}"),
        None => "token".to_owned(),
    };
    let path = format!("auth/{}", request.path.trim_start_matches("auth/"));
    let parent = Some(caller.id.clone()).filter(|_| !orphan);
    let (id, token) = storage.tokens.own().insert(request.now, request.mint, |accessor| ServiceToken {
        accessor,
        policies,
        path,
        display_name,
        created: request.now,
        ttl_s,
        parent,
    });
    let auth = Auth {
        client_token: id.0,
        accessor: token.accessor.0.clone(),
        policies: token.policies.clone(),
        token_policies: token.policies.clone(),
        metadata: Value::Null,
        lease_duration: ttl_s.unwrap_or(0),
        renewable: ttl_s.is_some(),
        entity_id: String::new(),
        token_type: "service",
        orphan,
        mfa_requirement: None,
        num_uses: 0,
    };
    Ok(Answer::Token { auth: Box::new(auth), warnings })
}

/// The policies of a child: the parent's unless named, and never more than the parent's.
fn child_policies(fields: Fields<'_>, caller: &Caller) -> Result<Vec<String>, Refusal> {
    let named = fields.list("policies")?.filter(|names| !names.is_empty());
    let Some(named) = named else {
        return Ok(caller.policies.clone());
    };
    let mut policies: BTreeSet<_> = named.iter().map(|name| name.to_lowercase()).collect();
    if !caller.is_root() && !policies.iter().all(|name| caller.policies.contains(name)) {
        return Err(Refusal::invalid("child policies must be subset of parent"));
    }
    if policies.contains("root") {
        return Ok(vec!["root".to_owned()]);
    }
    if !fields.flag("no_default_policy")?.unwrap_or(false) {
        policies.insert("default".to_owned());
    }
    Ok(policies.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, text};
    use super::*;

    #[test]
    fn a_child_may_no_more_than_its_parent() {
        let (mut trial, root) = Trial::unsealed();
        let create = "path \"auth/token/create\" { capabilities = [\"update\"] }";
        let token = trial.token_with_policy(&root, create);
        let mut refusal = |policies: Value| {
            trial.refused("POST", "auth/token/create", &token, &json!({"policies": policies})).1
        };

        assert_eq!(refusal(json!(["root"])), "child policies must be subset of parent");
        assert_eq!(refusal(json!(["another"])), "child policies must be subset of parent");
        assert_eq!(refusal(json!([])), "");
        assert_eq!(trial.status("POST", "auth/token/create-orphan", &token, &json!({})), 403);
    }

    #[test]
    fn a_created_token_expires_and_says_when() {
        let (mut trial, root) = Trial::unsealed();
        let made = trial.must("POST", "auth/token/create", &root, &json!({"policies": ["x"], "ttl": "1h"}));
        let token = text(&made["auth"]["client_token"]);

        assert_eq!(made["warnings"], json!(["Policy \"x\" does not exist"]));
        assert_eq!(
            (&made["auth"]["policies"], &made["auth"]["lease_duration"]),
            (&json!(["default", "x"]), &json!(3_600))
        );
        let facts = trial.must("GET", "auth/token/lookup-self", &token, &json!({}))["data"].clone();
        assert_eq!((&facts["expire_time"], &facts["ttl"]), (&json!("2026-11-23T21:46:53Z"), &json!(3_600)));
        assert_eq!(trial.vault.counts().leases, 1);
        trial.now = Unix(trial.now.0 + 3_600);
        assert_eq!(trial.status("GET", "auth/token/lookup-self", &token, &json!({})), 403);
        assert_eq!(trial.vault.counts(), super::super::Counts { service_tokens: 1, ..Default::default() });
    }

    #[test]
    fn accessors_are_named_and_known() {
        let (mut trial, root) = Trial::unsealed();
        let mut refusal = |path: &str, body: Value| trial.refused("POST", path, &root, &body);
        let listed = |why: &str| (400, format!("1 error occurred:\n\t* {why}\n\n"));

        assert_eq!(
            refusal("auth/token/lookup-accessor", json!({"accessor": "x"})),
            listed("invalid accessor")
        );
        assert_eq!(refusal("auth/token/lookup-accessor", json!({})), listed("missing accessor"));
        assert_eq!(refusal("auth/token/revoke-accessor", json!({})), listed("missing accessor"));
        assert_eq!(refusal("auth/token/create", json!({"period": "1h"})).0, 501);
    }

    #[test]
    fn batch_tokens_end_with_time_alone() {
        let mut tokens = Tokens::default();
        tokens.remember(TokenId("b.x".into()), batch_token(100, 60));

        assert!(tokens.caller("b.x").is_some() && !tokens.is_stale(Unix(159)));
        assert!(tokens.is_stale(Unix(160)));
        tokens.expire(Unix(160));
        assert!(tokens.caller("b.x").is_none());
    }

    #[test]
    fn children_die_with_their_parent_and_orphans_do_not() {
        let mut tokens = Tokens::default();
        let mint = Mint::new(1);
        let root = tokens.make_root(Unix(0), mint);
        let child = |parent: Option<TokenId>| {
            move |accessor| ServiceToken {
                accessor,
                policies: vec!["x".into()],
                path: "auth/token/create".into(),
                display_name: "token".into(),
                created: Unix(0),
                ttl_s: None,
                parent,
            }
        };
        let (kept, _) = tokens.insert(Unix(0), mint, child(None));
        let (lost, _) = tokens.insert(Unix(0), mint, child(Some(root.clone())));
        let (lost_too, _) = tokens.insert(Unix(0), mint, child(Some(lost.clone())));

        tokens.revoke(&root);

        let lives = [kept, root, lost, lost_too].map(|id| tokens.caller(&id.0).is_some());
        assert_eq!(lives, [true, false, false, false]);
    }

    #[test]
    fn live_roots_are_named_by_accessor() {
        let mut tokens = Tokens::default();
        let root = tokens.make_root(Unix(0), Mint::new(1));
        let accessor = tokens.service[&root].accessor.0.clone();

        assert_eq!(tokens.live_roots(Unix(9)).collect::<Vec<_>>(), [accessor.as_str()]);
        tokens.revoke(&root);
        assert_eq!(tokens.live_roots(Unix(9)).count(), 0);
    }

    fn batch_token(created: u64, ttl_s: u64) -> BatchToken {
        BatchToken {
            policies: vec!["x".into()],
            path: "auth/kubernetes/login".into(),
            display_name: "kubernetes-a-b".into(),
            created: Unix(created),
            ttl_s,
            entity: "e".into(),
            metadata: BTreeMap::new(),
        }
    }
}
