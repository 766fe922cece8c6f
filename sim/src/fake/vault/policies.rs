//! Policies as stored things: `sys/policies/acl/…`.

use serde_json::json;

use super::answer::{Answer, Handled, Refusal};
use super::fields::Fields;
use super::policy_parse::Policy;
use super::request::{Operation, Request};
use super::storage::{Storage, StoredPolicy};
use crate::fake::timestamp::rfc3339;

/// `sys/policies/acl/<rest>`.
pub(super) fn handle(storage: &mut Storage, request: &Request, rest: &str) -> Handled {
    if rest.is_empty() {
        return match request.operation {
            Operation::List => {
                let mut names: Vec<_> = storage.policies.keys().map(String::as_str).collect();
                names.push("root");
                names.sort_unstable();
                Answer::keys(&names)
            }
            Operation::Read | Operation::Create | Operation::Update | Operation::Delete => {
                request.unsupported()
            }
        };
    }
    let name = rest.to_lowercase();
    match request.operation {
        Operation::Read => read(storage, &name),
        Operation::Update => write(storage, request, name),
        Operation::Delete if matches!(name.as_str(), "root" | "default") => {
            Err(Refusal::invalid(format!("cannot delete \"{name}\" policy")))
        }
        Operation::Delete => {
            storage.policies.own().remove(&name);
            Ok(Answer::done())
        }
        Operation::List | Operation::Create => request.unsupported(),
    }
}

fn read(storage: &Storage, name: &str) -> Handled {
    let mut data = json!({
        "allow_slashes_in_identity_templates": false, "allow_wildcards_in_identity_templates": false,
        "cas_required": false, "name": name, "policy": "", "version": 0,
    });
    if name != "root" {
        let stored = storage.policies.get(name).ok_or_else(Refusal::not_found)?;
        data["modified"] = rfc3339(stored.modified).into();
        data["policy"] = stored.policy.text.as_str().into();
        data["version"] = stored.version.into();
    }
    Ok(Answer::data(data))
}

fn write(storage: &mut Storage, request: &Request, name: String) -> Handled {
    const UNIMPLEMENTED: [&str; 6] = [
        "cas",
        "cas_required",
        "ttl",
        "expiration",
        "allow_wildcards_in_identity_templates",
        "allow_slashes_in_identity_templates",
    ];
    let fields = Fields(&request.data);
    fields.refuse(&UNIMPLEMENTED)?;
    let text = fields.text("policy")?.filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Refusal::invalid("'policy' parameter not supplied or empty"))?;
    if name == "root" {
        return Err(Refusal::invalid("cannot update \"root\" policy"));
    }
    let policy = Policy::parse(&text)?;
    let version = storage.policies.get(&name).map_or(0, |stored| stored.version) + 1;
    storage.policies.own().insert(name, StoredPolicy { policy, version, modified: request.now });
    Ok(Answer::done())
}

#[cfg(test)]
mod tests {
    use super::super::trial::Trial;
    use super::*;

    #[test]
    fn a_policy_reads_back_as_its_text() {
        let (mut trial, root) = Trial::unsealed();
        let policy = "# why\npath \"a\" { capabilities=[\"read\"] }\n";
        trial.must("POST", "sys/policies/acl/X", &root, &json!({"policy": "#"}));
        trial.must("PUT", "sys/policies/acl/x", &root, &json!({"policy": policy}));

        let read = trial.must("GET", "sys/policies/acl/x", &root, &json!({}));
        let listed = trial.must("LIST", "sys/policies/acl", &root, &json!({}));

        assert_eq!((&read["data"]["policy"], &read["data"]["version"]), (&json!(policy), &json!(2)));
        assert_eq!(listed["data"]["keys"], json!(["default", "root", "x"]));
        assert_eq!(trial.status("GET", "sys/policies/acl/nope", &root, &json!({})), 404);
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let (mut trial, root) = Trial::unsealed();
        let mut refusal = |name: &str, policy: &str| {
            trial.refused("POST", &format!("sys/policies/acl/{name}"), &root, &json!({"policy": policy}))
        };

        assert_eq!(refusal("x", ""), (400, "'policy' parameter not supplied or empty".into()));
        assert_eq!(refusal("x", "path"), (400, "failed to parse policy: At 1:1: illegal char".into()));
        assert_eq!(refusal("root", "#"), (400, "cannot update \"root\" policy".into()));
        assert_eq!(refusal("x", "path \"a\" { policy = \"read\" }").0, 501);
    }

    #[test]
    fn a_changed_policy_counts_at_once() {
        let (mut trial, root) = Trial::unsealed();
        let token = trial.token_with_policy(&root, "path \"sys/mounts\" { capabilities = [\"read\"] }");
        assert_eq!(trial.status("GET", "sys/mounts", &token, &json!({})), 200);

        trial.must("POST", "sys/policies/acl/p", &root, &json!({"policy": "#"}));

        assert_eq!(trial.status("GET", "sys/mounts", &token, &json!({})), 403);
    }
}
