//! A role of the Kubernetes login: who may take it and what it gives.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::acl::glob;
use super::answer::Refusal;
use super::fields::Fields;

/// Who may log in, and with which token. The default is what an empty write would start from; none such is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Role {
    names: Vec<String>,
    namespaces: Vec<String>,
    audience: String,
    alias_name_source: String,
    token_policies: Vec<String>,
    token_type: String,
    token_no_default_policy: bool,
    token_ttl_s: u64,
    token_max_ttl_s: u64,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            namespaces: Vec::new(),
            audience: String::new(),
            alias_name_source: "serviceaccount_uid".to_owned(),
            token_policies: Vec::new(),
            token_type: "default".to_owned(),
            token_no_default_policy: false,
            token_ttl_s: 0,
            token_max_ttl_s: 0,
        }
    }
}

impl Role {
    /// The role after a write, which leaves alone what it does not name.
    pub(super) fn written(mut self, fields: Fields<'_>) -> Result<Self, Refusal> {
        const UNIMPLEMENTED: [&str; 10] = [
            "bound_service_account_namespace_selector",
            "token_bound_cidrs",
            "token_explicit_max_ttl",
            "token_strictly_bind_ip",
            "policies",
            "bound_cidrs",
            "ttl",
            "max_ttl",
            "period",
            "num_uses",
        ];
        fields.refuse(&UNIMPLEMENTED)?;
        update(&mut self.token_type, fields.text("token_type")?);
        update(&mut self.names, fields.list("bound_service_account_names")?);
        update(&mut self.namespaces, fields.list("bound_service_account_namespaces")?);
        update(&mut self.audience, fields.text("audience")?);
        update(&mut self.alias_name_source, fields.text("alias_name_source")?);
        update(&mut self.token_policies, fields.list("token_policies")?);
        update(&mut self.token_no_default_policy, fields.flag("token_no_default_policy")?);
        update(&mut self.token_ttl_s, fields.seconds("token_ttl")?);
        update(&mut self.token_max_ttl_s, fields.seconds("token_max_ttl")?);
        self.check(fields)?;
        Ok(self)
    }

    fn check(&self, fields: Fields<'_>) -> Result<(), Refusal> {
        let is_batch = match self.token_type.as_str() {
            "batch" | "default-batch" => true,
            "default" | "service" | "default-service" => false,
            other => {
                return Err(Refusal::invalid(format!("invalid 'token_type' value \"{other}\"")));
            }
        };
        let set = |name| Ok::<_, Refusal>(fields.seconds(name)?.unwrap_or(0) > 0);
        let (periodic, limited) = (set("token_period")?, set("token_num_uses")?);
        let mixes_star = |list: &[String]| list.len() > 1 && list.iter().any(|entry| entry == "*");
        let problem = if is_batch && periodic {
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens"
        } else if is_batch && limited {
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count"
        } else if periodic || limited {
            return Err(Refusal::not_implemented("periodic tokens and tokens of limited use"));
        } else if self.token_max_ttl_s > 0 && self.token_ttl_s > self.token_max_ttl_s {
            "'token_ttl' cannot be greater than 'token_max_ttl'"
        } else if self.names.is_empty() {
            "\"bound_service_account_names\" can not be empty"
        } else if self.namespaces.is_empty() {
            "\"bound_service_account_namespaces\" can not be empty if \
             \"bound_service_account_namespace_selector\" is not set"
        } else if mixes_star(&self.names) || mixes_star(&self.namespaces) {
            "can not mix \"*\" with values"
        } else if !matches!(self.alias_name_source.as_str(), "serviceaccount_uid" | "serviceaccount_name") {
            "invalid alias_name_source, must be one of: serviceaccount_uid, serviceaccount_name"
        } else {
            return Ok(());
        };
        Err(Refusal::invalid(problem))
    }

    pub(super) fn describe(&self) -> Value {
        let mut data = json!({
            "alias_name_source": self.alias_name_source,
            "bound_service_account_names": self.names, "bound_service_account_namespace_selector": "",
            "bound_service_account_namespaces": self.namespaces, "token_bound_cidrs": [],
            "token_explicit_max_ttl": 0, "token_max_ttl": self.token_max_ttl_s,
            "token_no_default_policy": self.token_no_default_policy, "token_num_uses": 0, "token_period": 0,
            "token_policies": self.token_policies, "token_strictly_bind_ip": false, "token_ttl": self.token_ttl_s,
            "token_type": self.token_type,
        });
        if !self.audience.is_empty() {
            data["audience"] = self.audience.as_str().into();
        }
        data
    }

    pub(super) fn token_type(&self) -> &str {
        &self.token_type
    }

    /// The audience that a token must be meant for; empty for any.
    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    pub(super) fn binds_name(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| glob(pattern, name))
    }

    pub(super) fn binds_namespace(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|pattern| glob(pattern, namespace))
    }

    pub(super) fn alias_name(&self, namespace: &str, name: &str, uid: &str) -> String {
        if self.alias_name_source == "serviceaccount_name" {
            format!("{namespace}/{name}")
        } else {
            uid.to_owned()
        }
    }

    /// The policies of a token, sorted.
    pub(super) fn policies(&self) -> Vec<String> {
        let mut policies: BTreeSet<_> = self.token_policies.iter().map(|name| name.to_lowercase()).collect();
        if !self.token_no_default_policy {
            policies.insert("default".to_owned());
        }
        policies.into_iter().collect()
    }

    /// The life of a token in seconds, given those of the mount.
    pub(super) fn ttl_s(&self, default_s: u64, max_s: u64) -> u64 {
        let wanted_s = if self.token_ttl_s == 0 { default_s } else { self.token_ttl_s };
        let limit_s = if self.token_max_ttl_s == 0 { max_s } else { self.token_max_ttl_s.min(max_s) };
        wanted_s.min(limit_s)
    }
}

fn update<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_leaves_alone_what_it_does_not_name() {
        let first = json!({"bound_service_account_names": "a,b*", "bound_service_account_namespaces": ["x"],
            "token_type": "batch", "token_ttl": 900, "token_max_ttl": "15m", "token_policies": ["P"]});
        let role = write(Role::default(), &first).and_then(|role| write(role, &json!({"token_ttl": 60})));

        let role = role.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((role.ttl_s(5_000, 5_000), role.ttl_s(5_000, 30)), (60, 30));
        assert_eq!(role.policies(), ["default", "p"]);
        assert!(role.binds_name("a") && role.binds_name("bcd") && !role.binds_name("c"));
        assert!(role.binds_namespace("x") && !role.binds_namespace("xy"));
    }

    #[test]
    fn impossible_roles_are_refused_in_the_real_server_s_words() {
        let with = |fields: Value| {
            let mut all = json!({"bound_service_account_names": ["*"], "bound_service_account_namespaces": ["x"], "token_type": "batch"});
            let all_fields = all.as_object_mut().expect("an object");
            all_fields.extend(fields.as_object().expect("an object").clone());
            write(Role::default(), &all).err().unwrap_or_default()
        };
        assert_eq!(
            with(json!({"bound_service_account_names": []})),
            "\"bound_service_account_names\" can not be empty"
        );
        assert_eq!(with(json!({"bound_service_account_names": ["*", "x"]})), "can not mix \"*\" with values");
        assert_eq!(with(json!({"token_type": "x"})), "invalid 'token_type' value \"x\"");
        assert_eq!(
            with(json!({"token_ttl": 2, "token_max_ttl": 1})),
            "'token_ttl' cannot be greater than 'token_max_ttl'"
        );
        assert!(with(json!({"token_period": 5})).ends_with("when set to generate periodic tokens"));
        assert!(with(json!({"token_num_uses": 5})).ends_with("with limited use count"));
        assert!(
            with(json!({"bound_service_account_namespace_selector": "{}"})).contains("does not implement")
        );
    }

    fn write(role: Role, fields: &Value) -> Result<Role, String> {
        let written = role.written(Fields(fields.as_object().expect("an object")));
        written.map_err(|refusal| {
            let body: Value = serde_json::from_slice(refusal.into_response().body()).expect("JSON");
            body["errors"][0].as_str().unwrap_or_default().to_owned()
        })
    }
}
