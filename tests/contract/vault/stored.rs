//! What is kept in K/V engines: documents of NATS, accounts, the generation, systems and environments.

use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{Account, AuthRole, Call, StoredJwt};
use serde_json::{Value, json};

use super::platform::{COMPONENT, CONTROLLER, NATS, SETUP, bootstrapped, caller_logs_in, set_up};
use crate::stage::{ROOT, Stage, TENANT, caller, identity};

const PASSWORD: Secret = Secret::Own(Own::Password);

pub(super) fn documents_of_nats(stage: &mut Stage<'_>) {
    set_up(stage);
    for jwt in StoredJwt::ALL {
        let write = |text: &str| Call::WriteJwt { token: SETUP, jwt, text: text.to_owned() };
        stage.vault(&format!("{jwt:?}, absent"), &Call::ReadJwt { token: CONTROLLER, jwt });
        stage.vault(&format!("{jwt:?}, first"), &write("a.b.c"));
        stage.vault(&format!("{jwt:?}, second"), &write("d.e.f"));
        stage.vault(
            &format!("{jwt:?}, second by root"),
            &Call::WriteJwt { token: ROOT, jwt, text: "g.h.i".to_owned() },
        );
        for (who, token) in
            [("setup", SETUP), ("controller", CONTROLLER), ("NATS", NATS), ("component", COMPONENT)]
        {
            stage.vault(&format!("{jwt:?}, {who}"), &Call::ReadJwt { token, jwt });
        }
        stage.vault(
            &format!("{jwt:?}, by the controller"),
            &Call::WriteJwt { token: CONTROLLER, jwt, text: "j".to_owned() },
        );
    }
}

pub(super) fn accounts(stage: &mut Stage<'_>) {
    set_up(stage);
    for account in Account::ALL {
        stage.vault(&format!("{account:?}, absent"), &Call::ReadAccount { token: SETUP, account });
        stage.vault("setup", &Call::GeneratePassword { token: SETUP, into: PASSWORD });
        let write = |token| Call::WriteAccount { token, account, password: PASSWORD };
        stage.vault(&format!("{account:?}, first"), &write(SETUP));
        stage.vault(&format!("{account:?}, second"), &write(SETUP));
        stage.vault(&format!("{account:?}, second by root"), &write(ROOT));
        stage.vault(&format!("{account:?}, made"), &Call::ReadAccount { token: SETUP, account });
        stage.vault(&format!("{account:?}, controller"), &Call::ReadAccount { token: CONTROLLER, account });
    }
    stage.vault("controller", &Call::GeneratePassword { token: CONTROLLER, into: PASSWORD });
}

pub(super) fn generation(stage: &mut Stage<'_>) {
    bootstrapped(stage);
    stage.vault("the engine is not mounted", &Call::ReadGeneration { token: CONTROLLER });
    let write = |cas, generation| Call::WriteGeneration { token: CONTROLLER, cas, generation };
    stage.vault("the engine is not mounted", &write(0, 1));

    stage.as_root("POST", "sys/mounts/systems", &json!({"type": "kv", "options": {"version": "2"}}));
    stage.await_engine("systems");
    stage.vault("never written", &Call::ReadGeneration { token: CONTROLLER });
    stage.vault("update of nothing", &write(1, 1));
    stage.vault("first", &write(0, 1));
    stage.vault("first again", &write(0, 1));
    stage.vault("second", &write(1, 2));
    stage.vault("late", &write(1, 7));
    stage.vault("from the future", &write(5, 7));
    stage.vault("written", &Call::ReadGeneration { token: CONTROLLER });
    stage.vault("setup", &Call::ReadGeneration { token: SETUP });
    stage.as_root("DELETE", "systems/data/kubefox/boot", &Value::Null);
    stage.vault("somebody deleted it", &Call::ReadGeneration { token: CONTROLLER });
    stage.vault("create after the deletion", &write(0, 3));
    stage.vault("update after the deletion", &write(2, 3));
    stage.vault("written again", &Call::ReadGeneration { token: CONTROLLER });
    stage.as_root("DELETE", "systems/metadata/kubefox/boot", &Value::Null);
    stage.vault("somebody destroyed it", &Call::ReadGeneration { token: CONTROLLER });
    stage.vault("first after the destruction", &write(0, 1));
}

/// Values of systems and environments are put in by an administrator; a component reads what is its namespace's.
pub(super) fn systems_and_environments(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    const OTHER: Secret = caller(3);
    caller_logs_in(stage, &platform, AuthRole::Component, &identity(TENANT, "component-b"), "app-b", OTHER);
    let value = |text: &str| json!({"data": {"greeting": text}});
    let paths = [
        "environments/data/team0/dev",
        "environments/data/team0/dev/deep",
        "environments/data/team0",
        "environments/data/team00/dev",
        "environments/data/team1/dev",
        "systems/data/kubefox/boot",
        "systems/data/shop/checkout",
    ];
    let callers = [
        ("component", COMPONENT),
        ("another of its namespace", OTHER),
        ("NATS", NATS),
        ("controller", CONTROLLER),
        ("setup", SETUP),
    ];
    for path in paths {
        for (who, token) in callers {
            stage.other(&format!("{who} reads {path}, absent"), "GET", path, token, &Value::Null);
        }
        let (_, put) = stage.other(&format!("root puts {path}"), "POST", path, ROOT, &value("hello"));
        stage.saw("its version", &put["data"]["version"]);
        for (who, token) in callers {
            let (_, read) = stage.other(&format!("{who} reads {path}"), "GET", path, token, &Value::Null);
            stage.saw("it reads", &read["data"]["data"]);
        }
        for (who, token) in callers.into_iter().filter(|(who, _)| *who != "controller") {
            stage.other(&format!("{who} writes {path}"), "POST", path, token, &value("mine"));
            stage.other(&format!("{who} deletes {path}"), "DELETE", path, token, &Value::Null);
        }
    }
    for (who, token) in callers {
        for path in ["environments/metadata/team0", "environments/metadata", "systems/metadata"] {
            stage.other(&format!("{who} lists {path}"), "LIST", path, token, &Value::Null);
        }
    }
    let (_, listed) = stage.other("root lists", "LIST", "environments/metadata/team0", ROOT, &Value::Null);
    stage.saw("it sees", &listed["data"]["keys"]);
    let (_, old) = stage.other(
        "an earlier version",
        "GET",
        "environments/data/team0/dev?version=1",
        COMPONENT,
        &Value::Null,
    );
    stage.saw("it reads", &old["data"]["data"]);
    stage.other(
        "a version that is none",
        "GET",
        "environments/data/team0/dev?version=9",
        COMPONENT,
        &Value::Null,
    );
    stage.other("root writes no data", "POST", "environments/data/team0/dev", ROOT, &json!({"options": {}}));
}
