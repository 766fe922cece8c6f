//! Transit: who signs with which key, and that no key leaves.

use data_encoding::BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use kubefox_core::machine::Outcome;
use kubefox_core::names::Identity;
use kubefox_core::secret::Secret;
use kubefox_core::vault::{Call, NatsKey, Reply, Setting};
use serde_json::{Value, json};

use super::platform::{COMPONENT, CONTROLLER, NATS, Platform, SETUP, component, set_up};
use crate::stage::{PLATFORM, ROOT, Stage, TENANT, identity};

pub(super) fn who_signs(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    stage.vault("a component's key before it is made", &sign(COMPONENT, NatsKey::User(component())));
    stage.vault("a component reads its key before it is made", &read(COMPONENT, NatsKey::User(component())));
    stage.vault("a component makes its key", &make(&platform, COMPONENT, component()));
    stage.vault("a component makes it again", &make(&platform, COMPONENT, component()));
    stage.vault("a component reads its key", &read(COMPONENT, NatsKey::User(component())));
    let keys = [
        NatsKey::Operator,
        NatsKey::SystemAccount,
        NatsKey::PlatformAccount,
        NatsKey::PlatformSigner,
        NatsKey::User(component()),
    ];
    for (who, token) in [
        ("setup", SETUP),
        ("controller", CONTROLLER),
        ("component", COMPONENT),
        ("NATS", NATS),
        ("root", ROOT),
    ] {
        for key in &keys {
            let outcome = stage.vault(&format!("{who}, {key:?}"), &sign(token, key.clone()));
            if let Outcome::Ok(Reply::Signature(signature)) = outcome {
                let valid = is_valid(stage, key, &signature.0);
                stage.saw("it is valid", &json!(valid));
            }
            stage.vault(&format!("{who} reads {key:?}"), &read(token, key.clone()));
        }
    }
}

/// A name that begins with the component's, its namespace's, or is somebody else's.
pub(super) fn names_alike(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    for who in [
        identity(TENANT, "component-b"),
        identity(TENANT, "component-a.x"),
        identity("team0-x", "component-a"),
        identity("team1", "component-a"),
        identity(PLATFORM, "nats"),
    ] {
        stage.vault(&format!("makes the key of {who}"), &make(&platform, COMPONENT, who.clone()));
        assert_eq!(stage.ask_vault(&make(&platform, ROOT, who.clone())), Outcome::Ok(Reply::Written));
        stage.vault(&format!("reads the key of {who}"), &read(COMPONENT, NatsKey::User(who.clone())));
        stage.vault(&format!("signs as {who}"), &sign(COMPONENT, NatsKey::User(who)));
    }
}

/// What no adapter asks for.
pub(super) fn by_hand(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    assert_eq!(stage.ask_vault(&make(&platform, COMPONENT, component())), Outcome::Ok(Reply::Written));
    let key = "user.team0.component-a";
    let input = json!({"input": "eA=="});
    for (who, token) in [("component", COMPONENT), ("root", ROOT)] {
        stage.other(
            &format!("{who}, export"),
            "GET",
            &format!("nats/export/signing-key/{key}"),
            token,
            &Value::Null,
        );
        stage.other(&format!("{who}, delete"), "DELETE", &format!("nats/keys/{key}"), token, &Value::Null);
        stage.other(&format!("{who}, no input"), "POST", &format!("nats/sign/{key}"), token, &json!({}));
        stage.other(
            &format!("{who}, no base64"),
            "POST",
            &format!("nats/sign/{key}"),
            token,
            &json!({"input": "?"}),
        );
        stage.other(&format!("{who}, no type"), "POST", &format!("nats/keys/{key}"), token, &json!({}));
        stage.other(
            &format!("{who}, another type"),
            "POST",
            &format!("nats/keys/{key}"),
            token,
            &json!({"type": "aes256-gcm96"}),
        );
        stage.other(&format!("{who}, no such key"), "POST", "nats/sign/nobody", token, &input);
        stage.other(
            &format!("{who}, unknown type"),
            "POST",
            "nats/keys/fresh",
            token,
            &json!({"type": "dsa"}),
        );
    }
    stage.other(
        "component, exportable",
        "POST",
        &format!("nats/keys/{key}"),
        COMPONENT,
        &json!({"type": "ed25519", "exportable": true}),
    );
    stage.other(
        "component, config",
        "POST",
        &format!("nats/keys/{key}/config"),
        COMPONENT,
        &json!({"exportable": true}),
    );
    stage.other("component, rotate", "POST", &format!("nats/keys/{key}/rotate"), COMPONENT, &json!({}));
    stage.other("component, list", "LIST", "nats/keys", COMPONENT, &Value::Null);
}

fn is_valid(stage: &mut Stage<'_>, key: &NatsKey, signature: &[u8]) -> bool {
    let Outcome::Ok(Reply::Setting(Some(read))) = stage.ask_vault(&read(ROOT, key.clone())) else {
        panic!("the key that signed is there")
    };
    let public =
        BASE64.decode(read["public_key"].as_str().expect("a public key").as_bytes()).expect("base64");
    let public = VerifyingKey::from_bytes(&public.try_into().expect("32 bytes")).expect("a key");
    let signature = Signature::from_slice(signature).expect("64 bytes");
    public.verify_strict(INPUT, &signature).is_ok()
}

const INPUT: &[u8] = b"a nonce";

fn sign(token: Secret, key: NatsKey) -> Call {
    Call::Sign { token, key, input: INPUT.to_vec() }
}

const fn read(token: Secret, key: NatsKey) -> Call {
    Call::Read { token, setting: Setting::NatsKey(key) }
}

fn make(platform: &Platform, token: Secret, who: Identity) -> Call {
    platform.write(token, Setting::NatsKey(NatsKey::User(who)))
}
