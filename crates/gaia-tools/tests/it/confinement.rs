//! A program gets what it was given, and nothing else of the machine.

use std::{fs, path::PathBuf};

use gaia_protocol::bundle::{ToolServer, ToolTransport};
use gaia_testkit::scratch_folder;
use serde_json::{Value, json};

use crate::support::{House, hostile, inside};

struct Secrets {
    secret: PathBuf,
    given: PathBuf,
    listener: std::net::TcpListener,
}

impl Secrets {
    fn laid_out() -> Self {
        let folder = scratch_folder();
        let file = |name: &str| {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            path
        };
        Self {
            secret: file("secret"),
            given: file("given"),
            listener: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    fn spy(&self, may_use_network: bool) -> ToolServer {
        let mut server = hostile("spies");
        if let ToolTransport::Command { files, has_network, .. } = &mut server.transport {
            files.push(self.given.clone());
            *has_network = may_use_network;
        }
        server
    }

    async fn found(&self, house: &House) -> Value {
        let wanted = json!({
            "secret": self.secret, "given": self.given, "port": self.listener.local_addr().unwrap().port(),
            "game": std::process::id(),
        });
        let answer = house.say("spies.look", &wanted.to_string()).await;
        serde_json::from_str(inside(&answer)).unwrap_or_else(|_| panic!("{answer:?}"))
    }
}

#[tokio::test]
async fn a_program_sees_only_what_it_was_given() {
    let secrets = Secrets::laid_out();
    let house = House::of(&[secrets.spy(false)]).await;
    let found = secrets.found(&house).await;
    let variables: Vec<_> = found["environment"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let ours = ["HOME", "LANG", "PATH", "TMPDIR", "TOKEN"];
    let others: Vec<_> = variables.iter().filter(|name| !ours.contains(name)).collect();
    assert!(
        others
            .iter()
            .all(|name| ["PWD", "LC_CTYPE", "SHLVL", "_"].contains(name)),
        "{others:?}"
    );
    assert_eq!(found["token"], "hunter2-token");
    assert_eq!((&found["given"], &found["wrote"]), (&json!("given"), &json!(true)));
    let confinement = house.report("spies").confinement.unwrap();
    if confinement.starts_with("only its own files") {
        assert_eq!((&found["secret"], &found["game"]), (&Value::Null, &Value::Null));
    }
    if confinement.contains("no network") || confinement.contains("no TCP") {
        assert_eq!(found["network"], false);
    }
    // Where these tests run, one of the two is to be had.
    assert!(confinement.starts_with("only its own files"), "{confinement}");
}

#[tokio::test]
async fn a_program_has_the_network_where_the_config_says_so() {
    let secrets = Secrets::laid_out();
    let house = House::of(&[secrets.spy(true)]).await;
    let found = secrets.found(&house).await;
    assert_eq!((&found["network"], &found["secret"]), (&json!(true), &Value::Null));
    assert!(
        house
            .report("spies")
            .confinement
            .unwrap()
            .contains("the network as the config allows")
    );
}
