//! Who a caller is beyond its token, and the templates that policies and PKI roles fill with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Somebody who logged in: found again by the alias at the next login.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Entity {
    /// The accessor of the auth mount through which the entity logs in.
    pub(super) mount_accessor: String,
    pub(super) alias_id: String,
    pub(super) alias_name: String,
    pub(super) metadata: BTreeMap<String, String>,
}

/// All entities by id.
pub(super) type Entities = BTreeMap<String, Entity>;

/// A caller's id and entity.
pub(super) type Known<'a> = Option<(&'a str, &'a Entity)>;

/// Whether a text has a template in it.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// Fills the template. `None` if a value is missing or contains one of `blocked`: the text then does not count.
pub(super) fn fill(text: &str, known: Known<'_>, blocked: &[char]) -> Option<String> {
    let mut filled = String::with_capacity(text.len());
    for part in parts(text).ok()? {
        match part {
            Part::Literal(literal) => filled.push_str(literal),
            Part::Expression(expression) => {
                let value = value_of(&expression, known)?;
                if value.is_empty() || value.contains(blocked) {
                    return None;
                }
                filled.push_str(value);
            }
        }
    }
    Some(filled)
}

/// Whether every template in the text is one that [`fill`] knows; otherwise which is not.
pub(super) fn check(text: &str) -> Result<(), String> {
    parts(text).map(|_| ())
}

enum Part<'a> {
    Literal(&'a str),
    Expression(Expression<'a>),
}

enum Expression<'a> {
    EntityId,
    AliasId { accessor: &'a str },
    AliasName { accessor: &'a str },
    AliasMetadata { accessor: &'a str, key: &'a str },
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once("{{") {
        let (expression, after) =
            after.split_once("}}").ok_or_else(|| format!("unclosed template in {text}"))?;
        parts.push(Part::Literal(literal));
        parts.push(Part::Expression(parse_expression(expression.trim())?));
        rest = after;
    }
    parts.push(Part::Literal(rest));
    Ok(parts)
}

fn parse_expression(expression: &str) -> Result<Expression<'_>, String> {
    let unknown = || format!("the template {{{{{expression}}}}}");
    let of_entity = expression.strip_prefix("identity.entity.").ok_or_else(unknown)?;
    if of_entity == "id" {
        return Ok(Expression::EntityId);
    }
    let of_alias = of_entity.strip_prefix("aliases.").and_then(|alias| alias.split_once('.'));
    let (accessor, field) = of_alias.ok_or_else(unknown)?;
    match (field, field.strip_prefix("metadata.")) {
        ("id", _) => Ok(Expression::AliasId { accessor }),
        ("name", _) => Ok(Expression::AliasName { accessor }),
        (_, Some(key)) => Ok(Expression::AliasMetadata { accessor, key }),
        (_, None) => Err(unknown()),
    }
}

fn value_of<'a>(expression: &Expression<'_>, known: Known<'a>) -> Option<&'a str> {
    let (id, entity) = known?;
    let through = |accessor: &str| Some(entity).filter(|entity| entity.mount_accessor == accessor);
    match *expression {
        Expression::EntityId => Some(id),
        Expression::AliasId { accessor } => through(accessor).map(|entity| entity.alias_id.as_str()),
        Expression::AliasName { accessor } => through(accessor).map(|entity| entity.alias_name.as_str()),
        Expression::AliasMetadata { accessor, key } => {
            through(accessor)?.metadata.get(key).map(String::as_str)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_ACCOUNT: &str =
        "user.{{identity.entity.aliases.acc.metadata.ns}}.{{ identity.entity.aliases.acc.name }}";

    #[test]
    fn a_template_is_filled_with_the_entity() {
        assert_eq!(fill_for("team0", "acc").as_deref(), Some("user.team0.uid-1"));
    }

    #[test]
    fn a_missing_or_blocked_value_drops_the_text() {
        assert_eq!(fill_for("team0", "another-mount"), None);
        assert_eq!(fill_for("", "acc"), None);
        assert_eq!(fill_for("team0/x", "acc"), None);
        assert_eq!(fill(BY_ACCOUNT, None, &[]), None);
    }

    #[test]
    fn an_unknown_template_is_named() {
        assert_eq!(
            check("a/{{identity.groups.ids.x.name}}"),
            Err("the template {{identity.groups.ids.x.name}}".into())
        );
        assert_eq!(
            check("a/{{identity.entity.id"),
            Err("unclosed template in a/{{identity.entity.id".into())
        );
        assert_eq!(check(BY_ACCOUNT), Ok(()));
    }

    fn fill_for(namespace: &str, accessor: &str) -> Option<String> {
        let entity = Entity {
            mount_accessor: accessor.into(),
            alias_id: "id-1".into(),
            alias_name: "uid-1".into(),
            metadata: [("ns".to_owned(), namespace.to_owned())].into(),
        };
        fill(BY_ACCOUNT, Some(("entity-1", &entity)), &['/', '*', '+'])
    }
}
