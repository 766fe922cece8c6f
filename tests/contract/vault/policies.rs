//! Each policy of the product: what it allows is allowed, everything else is refused. The checks are made from the
//! policies themselves: every path that any of them names × every operation, and every parameter × what may be said.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

use kubefox_core::documents::policy::policy;
use kubefox_core::documents::setting::{AUDIENCE_CONTROLLER, AUDIENCE_SETUP, platform_identity};
use kubefox_core::names::{Accessor, Identity, caller_audience};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::AuthRole;
use kubefox_sim::fake::vault::{Capability, Policy, Rule};
use serde_json::{Map, Value, json};

use super::platform::{Platform, component, log_in, set_up};
use crate::real::Real;
use crate::record::{Record, report};
use crate::stage::{PLATFORM, Stage, caller, namespace};

/// How many checks each role's policy leads to. One more path in any policy is five more for every role.
const CHECKS: [(AuthRole, usize); 7] = [
    (AuthRole::ControllerSetup, 358),
    (AuthRole::Controller, 359),
    (AuthRole::Nats, 368),
    (AuthRole::Opensearch, 368),
    (AuthRole::Collector, 368),
    (AuthRole::Agent, 362),
    (AuthRole::Component, 390),
];

/// Paths that no policy names, and that are near to what one does or worth having.
const FOREIGN: [&str; 25] = [
    "auth/kubernetes/config/x",
    "auth/token/create",
    "auth/token/lookup",
    "auth/token/lookup-self",
    "auth/token/revoke",
    "auth/token/revoke-orphan",
    "auth/token/revoke-self",
    "environments/data/team0",
    "environments/data/team00/x",
    "environments/data/team1/x",
    "environments/metadata/team0/x",
    "identity/entity",
    "nats-jwt/metadata/operator",
    "nats/export/signing-key/operator",
    "nats/keys/operator/config",
    "nats/keys/user.team0.component-b",
    "nats/sign/account.platform",
    "nats/sign/user.team0.component-b",
    "opensearch/metadata/admin",
    "pki/root/sign-intermediate",
    "pki/sign-verbatim/component",
    "sys/audit",
    "sys/policies/acl/root",
    "sys/rotate",
    "systems/data/shop/x",
];

/// What is allowed and the fake does not have: a root on an RSA key, which is what comes of saying nothing.
const NOT_IN_THE_FAKE: [(&str, &str); 1] = [("POST", "pki/root/generate/internal")];

/// The slot of the role under test.
const TOKEN: Secret = caller(20);

/// One request with what the policy says of it.
struct Check {
    method: &'static str,
    path: String,
    body: Map<String, Value>,
    /// Whether the path holds something first, for paths where that makes a difference.
    present: Option<bool>,
    is_allowed: bool,
}

/// What was answered.
struct Answered {
    question: String,
    status: u16,
}

#[test]
fn policies_are_kept_by_the_fake_vault() {
    let mut record = Record::default();
    check("the fake Vault", &mut Stage::fake(&mut record));
}

/// What is allowed comes to the same on both: done, refused for what it says, or nothing there.
#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_openbao_keeps_the_policies_and_answers_what_is_allowed_as_the_fake() {
    let mut record = Record::default();
    let fakes = check("the fake Vault", &mut Stage::fake(&mut record));
    for bao in ["bao", "bao-before"] {
        let mut real = Real::start(bao);
        let who = real.versions()[0].1.clone();
        let reals = check(&who, &mut Stage::real(&mut real, &mut record));
        let mut unlike = String::new();
        for (fake, real) in fakes.iter().zip(&reals) {
            assert_eq!(fake.question, real.question, "both are asked the same");
            if fake.status != real.status && fake.status != 501 {
                let _ =
                    writeln!(unlike, "{}: the fake {}, {who} {}", fake.question, fake.status, real.status);
            }
        }
        assert!(unlike.is_empty(), "{unlike}");
    }
}

fn check(who: &str, stage: &mut Stage<'_>) -> Vec<Answered> {
    let platform = set_up(stage);
    let paths = universe(&platform.accessor);
    let mut answers = Vec::new();
    let mut failures = Vec::new();
    let mut counts = Vec::new();
    for (role, _) in CHECKS {
        role_logs_in(stage, &platform, role);
        let rules = rules(role, &platform.accessor);
        let checks = checks(&rules, &paths);
        counts.push((role, checks.len()));
        for check in &checks {
            let answered = run(stage, role, check);
            let is_absent = NOT_IN_THE_FAKE.contains(&(check.method, check.path.as_str()));
            let is_answer = answered.status < 500 || (answered.status == 501 && is_absent);
            if (answered.status == 403) == check.is_allowed || !is_answer {
                let expected = if check.is_allowed { "allowed" } else { "refused" };
                failures.push(format!("{}: {}, should be {expected}", answered.question, answered.status));
            }
            answers.push(answered);
        }
    }
    let of = |statuses: Range<u16>| answers.iter().filter(|one| statuses.contains(&one.status)).count();
    let (all, refused, done) = (answers.len(), of(403..404), of(200..300));
    report(&format!("{who}: {all} checks of 7 policies, {refused} refused by one, {done} done"));
    assert!(
        failures.is_empty(),
        "{who}: {} answers are unlike the policies:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(counts, CHECKS, "{who}: checks by role");
    answers
}

fn run(stage: &mut Stage<'_>, role: AuthRole, check: &Check) -> Answered {
    let Check { method, path, present, .. } = check;
    if let Some(present) = *present {
        prepare(stage, path, present);
    }
    let body = if *method == "POST" { Value::Object(check.body.clone()) } else { Value::Null };
    let question = format!("{role:?} {method} {path} {body}, present {present:?}");
    let (status, answer) = stage.send(method, path, TOKEN, &body);
    if status == 403 {
        let says_policy = answer["errors"][0] == "1 error occurred:\n\t* permission denied\n\n";
        assert!(says_policy, "{question}: {answer}");
    }
    Answered { question, status }
}

/// Whether a value is there decides between `create` and `update`.
fn prepare(stage: &mut Stage<'_>, path: &str, present: bool) {
    let (mount, rest) = path.split_once("/data/").expect("a path of a K/V engine");
    stage.as_root("DELETE", &format!("{mount}/metadata/{rest}"), &Value::Null);
    if present {
        stage.as_root("POST", path, &json!({"data": {"jwt": "a.b.c"}}));
    }
}

fn checks(rules: &[Rule], paths: &BTreeSet<String>) -> Vec<Check> {
    let mut checks = Vec::new();
    for path in paths {
        let rule = deciding(rules, path);
        let may = |capability| rule.is_some_and(|rule| rule.capabilities.contains(&capability));
        let body = rule.map(minimal).unwrap_or_default();
        let reads_nothing = rule.is_none_or(|rule| rule.required.is_empty());
        let mut add = |method, present, is_allowed, body: &Map<String, Value>| {
            checks.push(Check { method, path: path.clone(), body: body.clone(), present, is_allowed });
        };
        // A PKI engine tells everybody who its issuers are.
        let is_public = path == "pki/issuers";
        add("GET", None, may(Capability::Read) && reads_nothing, &body);
        let may_list = may(Capability::List) && (!is_protected(path) || may(Capability::Sudo));
        add("LIST", None, may_list || is_public, &body);
        add("DELETE", None, may(Capability::Delete), &body);
        if is_value(path) {
            add("POST", Some(false), may(Capability::Create), &body);
            add("POST", Some(true), may(Capability::Update), &body);
            continue;
        }
        let writes = if is_absent_role(path) { Capability::Create } else { Capability::Update };
        add("POST", None, may(writes), &body);
        let Some(rule) = rule.filter(|_| may(writes)) else { continue };
        for (body, is_allowed) in bodies(rule) {
            add("POST", None, is_allowed, &body);
        }
    }
    checks
}

/// Everything that a rule says of parameters: with each that may be, without each that must be, with one more, and with
/// another value where values are named.
fn bodies(rule: &Rule) -> Vec<(Map<String, Value>, bool)> {
    let minimal = minimal(rule);
    let with = |name: &str, value: Value| {
        let mut body = minimal.clone();
        body.insert(name.to_owned(), value);
        body
    };
    let mut bodies = Vec::new();
    for (name, values) in &rule.allowed {
        for value in values {
            bodies.push((with(name, value.clone()), true));
        }
        let other = with(name, "something-else".into());
        bodies.push((other, values.is_empty()));
    }
    for name in &rule.required {
        let mut body = minimal.clone();
        body.remove(name);
        bodies.push((body, false));
    }
    if !rule.allowed.is_empty() {
        bodies.push((with("surplus", true.into()), false));
    }
    bodies
}

/// The parameters that must be there, with values that may be.
fn minimal(rule: &Rule) -> Map<String, Value> {
    let value = |name: &String| rule.allowed.get(name).and_then(|values| values.first().cloned());
    rule.required.iter().map(|name| (name.clone(), value(name).unwrap_or_else(|| "x".into()))).collect()
}

/// The rule that decides: the exact one, else the one whose wildcard fits. No two wildcards of one policy of the product
/// fit one path.
fn deciding<'a>(rules: &'a [Rule], path: &str) -> Option<&'a Rule> {
    if let Some(exact) = rules.iter().find(|rule| rule.path == path) {
        return Some(exact);
    }
    let fitting: Vec<_> = rules.iter().filter(|rule| fits(&rule.path, path)).collect();
    assert!(fitting.len() < 2, "{path} is ambiguous");
    fitting.first().copied()
}

fn fits(pattern: &str, path: &str) -> bool {
    if let Some(prefix) = pattern.strip_suffix('*') {
        return path.starts_with(prefix);
    }
    let last = |text: &str| text.rsplit_once('/').map(|(folder, name)| (folder.to_owned(), name.to_owned()));
    match (last(pattern), last(path)) {
        (Some((folder, name)), Some((of, _))) => name == "+" && folder == of,
        (_, _) => false,
    }
}

/// Every path that any policy names, with something in place of its wildcard, and the foreign ones.
fn universe(accessor: &Accessor) -> BTreeSet<String> {
    let named = AuthRole::ALL.into_iter().flat_map(|role| rules(role, accessor)).map(|rule| rule.path);
    let concrete = named.map(|path| match path.strip_suffix('*') {
        Some(prefix) => format!("{prefix}x"),
        None => path.replace("/+", "/fresh"),
    });
    concrete.chain(FOREIGN.map(str::to_owned)).collect()
}

/// A role's rules, as Vault fills them for who logs in as that.
fn rules(role: AuthRole, accessor: &Accessor) -> Vec<Rule> {
    let mut rules =
        Policy::parse(&policy(role, accessor, &namespace(PLATFORM))).expect("it is a policy").rules;
    let Identity { namespace, service_account } = who(role);
    let of = |member: &str| {
        format!("{{{{identity.entity.aliases.{accessor}.metadata.service_account_{member}}}}}")
    };
    for rule in &mut rules {
        rule.path = rule.path.replace(&of("namespace"), namespace.as_str());
        rule.path = rule.path.replace(&of("name"), service_account.as_str());
    }
    rules
}

fn is_value(path: &str) -> bool {
    path.contains("/data/")
}

fn is_absent_role(path: &str) -> bool {
    path == "auth/kubernetes/role/fresh"
}

/// The lists that need `sudo` as well.
fn is_protected(path: &str) -> bool {
    path == "auth/token/accessors"
}

fn who(role: AuthRole) -> Identity {
    platform_identity(role, &namespace(PLATFORM)).unwrap_or_else(component)
}

fn role_logs_in(stage: &mut Stage<'_>, platform: &Platform, role: AuthRole) {
    let audience = match role {
        AuthRole::ControllerSetup => AUDIENCE_SETUP.to_owned(),
        AuthRole::Controller => AUDIENCE_CONTROLLER.to_owned(),
        AuthRole::Nats
        | AuthRole::Opensearch
        | AuthRole::Collector
        | AuthRole::Agent
        | AuthRole::Component => caller_audience(&platform.plan.installation),
    };
    let pod = stage.pod(&who(role), &format!("policy-of-{}", role.as_str()));
    let token = stage.token(&pod, &audience);
    stage.fill(Secret::Own(Own::CallerJwt), &token);
    log_in(stage, role, Own::CallerJwt, TOKEN);
}
