//! What a user may publish and subscribe to, and how a scoped key's template becomes that.
//!
//! Source: nats-server `auth.go` (`processUserPermissionsTemplate`), `client.go` (`setPermissions`,
//! `canSubscribe`, `pubAllowed`). Reply permissions (`resp`) and queue names in permissions are not implemented.

use super::claims;
use super::subject::Pattern;

/// What one user may do. A side that is `None` is unrestricted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) publish: Option<Rule>,
    pub(super) subscribe: Option<Rule>,
}

/// Patterns of one side. Without `allow` everything is allowed that is not denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    allow: Option<Vec<Pattern>>,
    deny: Vec<Pattern>,
}

/// A permission this fake cannot evaluate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// `resp` lets a requester name any reply subject; the product must not use it.
    #[error("reply permissions (`resp`) are not implemented by this fake")]
    Respond,
    /// An empty `allow` list means "nothing" on one side and "everything" on the other.
    #[error("an empty `allow` list is not implemented by this fake: leave it out, or deny")]
    EmptyAllow,
    /// Not one of the four placeholders.
    #[error("the template operation {0:?} is not defined here")]
    Placeholder(String),
    /// A pattern with an empty token, white space (so also a queue name), or something after `>`.
    #[error("{0:?} is not a subject")]
    Subject(String),
}

/// What stands for the placeholders of a template.
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    pub(super) key: &'a str,
    pub(super) account_name: &'a str,
    pub(super) account_key: &'a str,
}

impl Permissions {
    /// Evaluates `permissions` for one user; a text without placeholders stands for itself.
    pub(super) fn for_user(
        permissions: &claims::Permissions,
        user: &Subject<'_>,
    ) -> Result<Self, PermissionError> {
        if permissions.respond.is_some() {
            return Err(PermissionError::Respond);
        }

        Ok(Self {
            publish: Rule::for_user(&permissions.publish, user)?,
            subscribe: Rule::for_user(&permissions.subscribe, user)?,
        })
    }

    /// Evaluates an account's default permissions, which are no template.
    pub(super) fn of_account(permissions: &claims::Permissions) -> Result<Self, PermissionError> {
        let sides = [&permissions.publish, &permissions.subscribe];
        let mut subjects = sides.into_iter().flat_map(|side| side.allow.iter().chain(&side.deny).flatten());
        if let Some(template) = subjects.find(|subject| subject.contains("{{")) {
            return Err(PermissionError::Placeholder(template.clone()));
        }
        Self::for_user(permissions, &Subject { name: "", key: "", account_name: "", account_key: "" })
    }

    /// Whether neither side says anything, so that the account's default applies.
    pub(super) fn are_empty(&self) -> bool {
        self.publish.is_none() && self.subscribe.is_none()
    }

    /// Whether a message may be published to `subject`.
    pub(super) fn may_publish(&self, subject: &str) -> bool {
        self.publish.as_ref().is_none_or(|rule| rule.allows(subject))
    }

    /// Whether `subject`, taken token by token, is among what may be subscribed to.
    pub(super) fn may_hear(&self, subject: &str) -> bool {
        self.subscribe.as_ref().is_none_or(|rule| rule.allows(subject))
    }

    /// Whether all of `pattern` lies within what is allowed, and not all of it within what is denied.
    pub(super) fn may_subscribe(&self, pattern: &Pattern) -> bool {
        let Some(rule) = &self.subscribe else { return true };
        let inside = |outer: &Pattern| outer.contains(pattern);
        let allowed = rule.allow.as_ref().is_none_or(|allow| allow.iter().any(inside));
        allowed && !rule.deny.iter().any(inside)
    }

    /// Whether a message that a wider subscription matched is kept from this user.
    pub(super) fn hides(&self, subject: &str) -> bool {
        self.subscribe.as_ref().is_some_and(|rule| rule.denies(subject))
    }
}

impl Rule {
    fn for_user(subjects: &claims::Subjects, user: &Subject<'_>) -> Result<Option<Self>, PermissionError> {
        let mut deny = Vec::new();
        for template in subjects.deny.iter().flatten() {
            let subject = filled(template, user)?;
            deny.push(Pattern::parse(&subject).ok_or(PermissionError::Subject(subject))?);
        }
        let Some(templates) = &subjects.allow else {
            return Ok((!deny.is_empty()).then_some(Self { allow: None, deny }));
        };
        if templates.is_empty() {
            return Err(PermissionError::EmptyAllow);
        }
        let mut allow = Vec::new();
        for template in templates {
            let subject = filled(template, user)?;
            match Pattern::parse(&subject) {
                Some(pattern) => allow.push(pattern),
                None if subject == *template => return Err(PermissionError::Subject(subject)),
                // A name that makes no subject loses this user the permission, nobody else.
                None => {}
            }
        }

        Ok(Some(Self { allow: Some(allow), deny }))
    }

    fn allows(&self, subject: &str) -> bool {
        let allowed = |allow: &Vec<Pattern>| allow.iter().any(|pattern| pattern.matches(subject));
        self.allow.as_ref().is_none_or(allowed) && !self.denies(subject)
    }

    fn denies(&self, subject: &str) -> bool {
        self.deny.iter().any(|pattern| pattern.matches(subject))
    }
}

/// `template` with every `{{…}}` replaced.
fn filled(template: &str, user: &Subject<'_>) -> Result<String, PermissionError> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((operation, after)) = after.split_once("}}") else {
            break;
        };
        text.push_str(before);
        text.push_str(match operation.trim().to_ascii_lowercase().as_str() {
            "subject()" => user.key,
            "name()" => user.name,
            "account-subject()" => user.account_key,
            "account-name()" => user.account_name,
            _undefined => return Err(PermissionError::Placeholder(operation.to_owned())),
        });
        rest = after;
    }
    text.push_str(rest);

    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_template_gives_each_user_its_own_subjects() {
        let template = json!({
            "pub": {"allow": ["kf.*.in.{{subject()}}.>", "kf.*.in._inbox.>"]},
            "sub": {"allow": ["kf.{{ Subject() }}.>"]},
        });

        let user = evaluated(&template, "UA", "web").expect("a template");

        assert!(user.may_publish("kf.UB.in.UA.hello"));
        assert!(user.may_publish("kf.UB.in._inbox.x"));
        assert!(!user.may_publish("kf.UB.in.UC.hello"));
        assert!(!user.may_publish("kf.UB.out.UA.hello"));
        assert!(user.may_subscribe(&pattern("kf.UA.>")));
        assert!(user.may_subscribe(&pattern("kf.UA.in.*.hello")));
        assert!(!user.may_subscribe(&pattern("kf.*.in.>")));
        assert!(!user.may_subscribe(&pattern("kf.UB.in.>")));
    }

    #[test]
    fn names_and_accounts_fill_templates_too() {
        let template = json!({"pub": {"allow": ["a.{{name()}}.{{account-name()}}.{{account-subject()}}"]}});

        let user = evaluated(&template, "UA", "web").expect("a template");

        assert!(user.may_publish("a.web.platform.AP"));
        assert_eq!(user.subscribe, None);
    }

    #[test]
    fn a_name_that_makes_no_subject_allows_nothing() {
        let template = json!({"pub": {"allow": ["a.{{name()}}"]}});

        let user = evaluated(&template, "UA", "not a token").expect("a template");

        assert!(!user.may_publish("a.not a token"));
        assert!(!user.may_publish("a.x"));
    }

    #[test]
    fn deny_wins_and_hides_what_a_wider_subscription_matches() {
        let template = json!({"sub": {"allow": ["a.>"], "deny": ["a.secret.>"]}, "pub": {"deny": [">"]}});

        let user = evaluated(&template, "UA", "web").expect("a template");

        assert!(!user.may_subscribe(&pattern("a.secret.x")));
        assert!(user.may_subscribe(&pattern("a.>")));
        assert!(user.hides("a.secret.x") && !user.hides("a.open"));
        assert!(!user.may_publish("anything"));
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused() {
        let refused = |template: Value| evaluated(&template, "UA", "web").expect_err("refused");

        assert_eq!(refused(json!({"resp": {"max": 1, "ttl": 0}})), PermissionError::Respond);
        assert_eq!(refused(json!({"pub": {"allow": []}})), PermissionError::EmptyAllow);
        assert_eq!(
            refused(json!({"pub": {"allow": ["a.{{tag(x)}}"]}})),
            PermissionError::Placeholder("tag(x)".into())
        );
        assert_eq!(
            refused(json!({"sub": {"allow": ["a queue"]}})),
            PermissionError::Subject("a queue".into())
        );
    }

    fn evaluated(template: &Value, key: &str, name: &str) -> Result<Permissions, PermissionError> {
        let claims = serde_json::from_value(template.clone()).expect("permissions");
        let user = Subject { name, key, account_name: "platform", account_key: "AP" };
        Permissions::for_user(&claims, &user)
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect("a pattern")
    }
}
