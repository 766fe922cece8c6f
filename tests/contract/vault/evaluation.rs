//! How policies are evaluated: random policies, random requests, and the decision of the fake beside the real one's.
//!
//! The caller has two policies and an entity, so that rules add up and templates are filled. Both are overwritten for
//! each round; what a request changes in the K/V engine stays, so that creating and updating differ.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use kubefox_core::names::caller_audience;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{AuthRole, Setting};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::platform::{component, log_in, set_up};
use crate::real::Real;
use crate::record::{Record, report};
use crate::stage::{Stage, caller};

/// Pairs of policies, and requests of each.
const ROUNDS: usize = 150;
const REQUESTS: usize = 12;
/// What both servers are asked unless `KUBEFOX_CONTRACT_SEED` says otherwise.
const SEED: u64 = 20_261_124;
/// How many of the requests of [`SEED`] are allowed, and the digest of all decisions.
const ALLOWED: usize = 576;
const DECISIONS: &str = "c8f5d8d03fc82dba";

const TOKEN: Secret = caller(30);
const SEGMENTS: [&str; 6] = ["a", "b", "ab", "team0", "component-a", "x"];
const PREFIXES: [&str; 6] = ["a", "b", "systems/data", "systems/data", "systems/metadata", "nowhere"];
/// Real paths of the server, some of which need `sudo`; asking changes nothing.
const SERVER: [(&str, &str); 7] = [
    ("GET", "sys/mounts"),
    ("GET", "sys/auth"),
    ("GET", "sys/audit"),
    ("LIST", "sys/policies/acl"),
    ("LIST", "auth/token/accessors"),
    ("POST", "sys/auth/x"),
    ("POST", "auth/token/lookup-accessor"),
];
const CAPABILITIES: [&str; 7] = ["create", "read", "update", "delete", "list", "sudo", "patch"];
const PARAMETERS: [&str; 4] = ["type", "ttl", "data", "options"];

#[test]
fn policies_are_evaluated_by_the_fake_vault_as_committed() {
    let mut record = Record::default();
    let decisions = decide(&mut Stage::fake(&mut record), SEED);
    let allowed = decisions.iter().filter(|decision| decision.is_allowed).count();
    report(&format!("the fake Vault: {} decisions on random policies, {allowed} to allow", decisions.len()));
    let text: String = decisions.iter().map(|decision| if decision.is_allowed { 'y' } else { 'n' }).collect();
    let digest = HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..8]);
    assert_eq!((decisions.len(), allowed, digest.as_str()), (ROUNDS * REQUESTS, ALLOWED, DECISIONS));
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_openbao_evaluates_policies_as_the_fake() {
    let seed = std::env::var("KUBEFOX_CONTRACT_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    let mut record = Record::default();
    let fakes = decide(&mut Stage::fake(&mut record), seed);
    for bao in ["bao", "bao-before"] {
        let mut real = Real::start(bao);
        let who = real.versions()[0].1.clone();
        let reals = decide(&mut Stage::real(&mut real, &mut record), seed);
        let mut unlike = String::new();
        for (fake, real) in fakes.iter().zip(&reals) {
            assert_eq!(fake.question, real.question, "a seed asks both the same");
            if fake.is_allowed != real.is_allowed {
                let _ = writeln!(
                    unlike,
                    "{}\n  the fake allows: {}, {who}: {}",
                    fake.question, fake.is_allowed, real.is_allowed
                );
            }
        }
        report(&format!("{who}: {} decisions on random policies compared", reals.len()));
        assert!(
            unlike.is_empty(),
            "{unlike}again: KUBEFOX_CONTRACT_SEED={seed} cargo test -p kubefox-tests --test contract evaluates -- --include-ignored"
        );
    }
}

struct Decision {
    question: String,
    is_allowed: bool,
}

fn decide(stage: &mut Stage<'_>, seed: u64) -> Vec<Decision> {
    let accessor = evaluated_logs_in(stage);
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let mut decisions = Vec::new();
    for _ in 0..ROUNDS {
        let rules: [Vec<String>; 2] =
            [(); 2].map(|()| (0..=dice.below(3)).map(|_| dice.path(true)).collect());
        let texts =
            rules.each_ref().map(|paths| paths.iter().map(|path| dice.rule(path)).collect::<String>());
        for (name, text) in ["p", "q"].into_iter().zip(&texts) {
            let text = text.replace("ACCESSOR", &accessor);
            stage.as_root("POST", &format!("sys/policies/acl/{name}"), &json!({"policy": text}));
        }
        let rules = rules.concat();
        for _ in 0..REQUESTS {
            let (method, path, body) = dice.request(&rules);
            let (status, answer) = stage.send(method, &path, TOKEN, &body);
            assert!(status != 403 || answer["errors"][0] != "permission denied", "the token is dead");
            let question = format!("{texts:#?}\n  {method} {path} {body}").replace(&accessor, "ACCESSOR");
            decisions.push(Decision { question, is_allowed: status != 403 });
        }
    }
    decisions
}

/// The component's login with the policies under test, for as long as the comparison may take. Answers the accessor.
fn evaluated_logs_in(stage: &mut Stage<'_>) -> String {
    let platform = set_up(stage);
    let mut role = platform.body(&Setting::AuthRole(AuthRole::Component));
    for (member, value) in
        [("token_policies", json!(["p", "q"])), ("token_ttl", json!(3_600)), ("token_max_ttl", json!(3_600))]
    {
        role[member] = value;
    }
    stage.as_root("POST", "auth/kubernetes/role/component", &role);
    let pod = stage.pod(&component(), "evaluated");
    let token = stage.token(&pod, &caller_audience(&platform.plan.installation));
    stage.fill(Secret::Own(Own::CallerJwt), &token);
    log_in(stage, AuthRole::Component, Own::CallerJwt, TOKEN);
    platform.accessor.as_str().to_owned()
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides).expect("a small number");
        usize::try_from(self.0.next_u64() % sides).expect("below a small number")
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A path of a rule, perhaps with wildcards and templates, or of a request.
    fn path(&mut self, is_pattern: bool) -> String {
        if is_pattern && self.one_in(8) {
            return self.pick(&SERVER).1.to_owned();
        }
        let mut path =
            if is_pattern && self.one_in(8) { "+".to_owned() } else { self.pick(&PREFIXES).to_owned() };
        for _ in 0..=self.below(3) {
            let segment = match self.below(if is_pattern { 6 } else { 4 }) {
                5 => "+",
                4 => self.pick(&[
                    "{{identity.entity.aliases.ACCESSOR.metadata.service_account_namespace}}",
                    "{{identity.entity.aliases.ACCESSOR.metadata.service_account_name}}",
                ]),
                _ => self.pick(&SEGMENTS),
            };
            path = format!("{path}/{segment}");
        }
        if is_pattern && self.one_in(4) && !path.ends_with('+') {
            path.push_str(self.pick(&["*", "/*"]));
        }
        path
    }

    fn rule(&mut self, path: &str) -> String {
        let mut capabilities: Vec<_> = CAPABILITIES.into_iter().filter(|_| self.one_in(2)).collect();
        if self.one_in(12) {
            capabilities.push("deny");
        }
        let mut rule = format!("path \"{path}\" {{\n  capabilities = {}\n", json!(capabilities));
        for kind in ["allowed", "denied"] {
            if self.one_in(5) {
                let mut lines = String::new();
                let names: Vec<_> = ["*"].into_iter().chain(PARAMETERS).filter(|_| self.one_in(3)).collect();
                for name in names {
                    let values: Vec<_> = [json!("x"), json!("x*"), json!("*y"), json!(true), json!(1)]
                        .into_iter()
                        .filter(|_| self.one_in(4))
                        .collect();
                    let _ = writeln!(lines, "    \"{name}\" = {}", json!(values));
                }
                let _ = writeln!(rule, "  {kind}_parameters = {{\n{lines}  }}");
            }
        }
        if self.one_in(6) {
            let _ = writeln!(rule, "  required_parameters = {}", json!([self.pick(&PARAMETERS)]));
        }
        rule + "}\n"
    }

    /// Mostly a path that one of the rules could mean.
    fn request(&mut self, rules: &[String]) -> (&'static str, String, Value) {
        let path = match self.below(4) {
            0 => self.path(false),
            _ => {
                let rule = &rules[self.below(rules.len())];
                self.instance(rule)
            }
        };
        let method = match SERVER.iter().find(|(_, server)| path.starts_with(server)) {
            Some((method, _)) => method,
            None => self.pick(&["GET", "LIST", "POST", "POST", "DELETE"]),
        };
        let body = if method == "POST" { self.body() } else { Value::Null };
        let query = if method == "GET" && self.one_in(6) { "?type=x" } else { "" };
        (method, format!("{path}{query}"), body)
    }

    fn instance(&mut self, rule: &str) -> String {
        let mut path = rule
            .replace("{{identity.entity.aliases.ACCESSOR.metadata.service_account_namespace}}", "team0")
            .replace("{{identity.entity.aliases.ACCESSOR.metadata.service_account_name}}", "component-a");
        while let Some(at) = path.find('+') {
            path.replace_range(at..=at, self.pick(&SEGMENTS));
        }
        if let Some(prefix) = path.strip_suffix('*') {
            path = format!("{prefix}{}", self.pick(&["x", "a/b", "ab"]));
        }
        if self.one_in(10) {
            path = format!("{path}/{}", self.pick(&SEGMENTS));
        }
        path
    }

    fn body(&mut self) -> Value {
        let mut body = json!({});
        for name in PARAMETERS {
            if self.one_in(3) {
                body[name] = match (name, self.below(2)) {
                    ("data", 0) => json!({"k": "v"}),
                    (_, _) => self.pick_value(),
                };
            }
        }
        body
    }

    fn pick_value(&mut self) -> Value {
        match self.below(5) {
            0 => json!("x"),
            1 => json!("xy"),
            2 => json!("z"),
            3 => json!(true),
            _ => json!(1),
        }
    }
}
