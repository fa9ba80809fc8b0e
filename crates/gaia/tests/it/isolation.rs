//! Two games side by side on one machine: nothing that one holds opens anything of the other.

pub(crate) mod rotation;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use gaia_testkit::Visitor;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::{NoTls, error::SqlState};

use crate::journey::Journey;

/// How long a store may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const PLAYER: &str = "/v1/players/me";

/// One running game, with all that its cluster's own files and its player hold.
struct Side {
    game: &'static str,
    folder: PathBuf,
    gateway: String,
    admin: String,
    /// What `secrets.json` says.
    secrets: Value,
    /// What each service is told.
    settings: BTreeMap<String, Value>,
    /// Somebody who has signed up.
    player: Visitor,
}

impl Side {
    async fn bring_up(journey: &Journey, game: &'static str) -> Self {
        let config = format!("name: {game}\nlimits: {{requests_per_minute: 1000000, sign_ins_per_minute: 1000000}}\n");
        journey.gaia.write(&format!("games/{game}/config.yaml"), &config);
        journey.gaia.run(&["up", &format!("games/{game}")]).exits(0);
        let folder = journey.gaia.home().join("clusters").join(game);
        let settings = settings_in(&folder);
        let gateway = &settings["gateway-1"];
        let address = |value: &Value| format!("http://{}", value.as_str().unwrap());
        let gateway_url = address(&gateway["games"][0]["listen"]);
        let mut player = Visitor::new(&gateway_url);
        let signed_up = player.post("/v1/players", sign_in(game)).await.ok();
        player.take_tokens(&signed_up);
        Self {
            game,
            gateway: gateway_url,
            admin: address(&gateway["ops_listen"]),
            secrets: json_of(&folder.join("secrets.json")),
            folder,
            settings,
            player,
        }
    }

    /// The same with what its files hold by now.
    fn as_it_is_now(&self) -> Self {
        Self {
            secrets: json_of(&self.folder.join("secrets.json")),
            settings: settings_in(&self.folder),
            folder: self.folder.clone(),
            gateway: self.gateway.clone(),
            admin: self.admin.clone(),
            player: self.player.clone(),
            game: self.game,
        }
    }

    /// Every text that might open something: whatever stands in the cluster's secrets and settings and in the stores'
    /// own files, and what its player holds.
    fn credentials(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        leaves(&self.secrets, &mut found);
        assert!(found.len() >= 11, "{} secrets", found.len());
        self.settings.values().for_each(|settings| leaves(settings, &mut found));
        for file in [
            "nats/accounts.conf",
            "nats/nats.conf",
            "redis/users.acl",
            "redis/redis.conf",
        ] {
            let text = fs::read_to_string(self.folder.join(file)).unwrap();
            let is_part = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
            found.extend(
                text.split(|c| !is_part(c))
                    .filter(|word| word.len() >= 32)
                    .map(str::to_owned),
            );
        }
        found.extend([
            self.player.access_token.clone().unwrap(),
            self.player.refresh_token.clone().unwrap(),
        ]);
        found.extend(["", "postgres", "gaia"].map(str::to_owned));
        found
    }

    /// The users of a store, each with its own password.
    fn users(&self, store: &str) -> BTreeMap<String, String> {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let accesses = self.settings.values().map(|settings| &settings["games"][0][store]);
        let mut users: BTreeMap<_, _> = accesses
            .filter(|access| access.is_object())
            .map(|access| (word(&access["user"]), word(&access["password"])))
            .collect();
        let (superuser, apply) = (
            word(&self.secrets["postgres_superuser"]),
            word(&self.secrets["postgres_apply"]),
        );
        match store {
            "postgres" => users.extend([
                ("gaia_superuser".to_owned(), superuser),
                ("gaia_apply".to_owned(), apply),
            ]),
            "redis" => users.extend([("gaia_apply".to_owned(), word(&self.secrets["redis_apply"]))]),
            _ => users.extend([("gaia_system".to_owned(), word(&self.secrets["nats_system"]))]),
        }
        assert!(users.len() >= 2, "{users:?}");
        users
    }

    /// Why Postgres does not let somebody in; none if it does.
    async fn postgres(&self, user: &str, password: &str) -> Option<SqlState> {
        let host = self.folder.join("postgres");
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(host)
            .port(5432)
            .dbname("gaia")
            .user(user)
            .password(password);
        let refused = config.connect(NoTls).await.err()?;
        Some(
            refused
                .code()
                .unwrap_or_else(|| panic!("Postgres did not answer: {refused:?}"))
                .clone(),
        )
    }

    /// What Redis says to a log-in, and then to a question.
    fn redis(&self, log_in: Option<(&str, &str)>) -> Vec<String> {
        let stream = UnixStream::connect(self.folder.join("redis/redis.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        let auth = log_in.map(|(user, password)| vec!["AUTH", user, password]);
        let mut ask = |words: &[&str]| {
            let mut text = format!("*{}\r\n", words.len());
            words
                .iter()
                .for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
            stream.get_mut().write_all(text.as_bytes()).unwrap();
            line(&mut stream)
        };
        auth.into_iter()
            .chain([vec!["PING"]])
            .map(|words| ask(&words))
            .collect()
    }

    /// What NATS says to a log-in that is followed by a question.
    fn nats(&self, log_in: Option<(&str, &str)>) -> String {
        let address = self.settings["chat-1"]["games"][0]["nats"]["address"].as_str().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        assert!(line(&mut stream).starts_with("INFO "));
        let hello = log_in.map_or(json!({}), |(user, password)| json!({ "user": user, "pass": password }));
        stream
            .get_mut()
            .write_all(format!("CONNECT {hello}\r\nPING\r\n").as_bytes())
            .unwrap();
        loop {
            let said = line(&mut stream);
            if said != "+OK" {
                return said;
            }
        }
    }

    /// The code of a refusal at the gateway or the admin API, with somebody's bearer token.
    async fn refusal(&self, (base, method, path): (&str, Method, &str), token: Option<&str>) -> (u16, String) {
        let mut visitor = Visitor::new(base);
        visitor.access_token = token.map(str::to_owned);
        let answer = visitor.send(visitor.request(method, path).json(&json!({}))).await;
        (answer.status.as_u16(), answer.code().to_owned())
    }

    fn admin_path(&self) -> String {
        format!("/admin/v1/bundles/{}", self.game)
    }

    fn admin_token(&self) -> &str {
        self.settings["gateway-1"]["games"][0]["admin_token"].as_str().unwrap()
    }
}

/// What each service of a cluster is told.
fn settings_in(folder: &Path) -> BTreeMap<String, Value> {
    let services = fs::read_dir(folder.join("services"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let settings: BTreeMap<_, _> = services
        .map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), json_of(&file)))
        .collect();
    assert_eq!(settings.keys().collect::<Vec<_>>(), ["auth-1", "chat-1", "gateway-1"]);
    settings
}

fn sign_in(game: &str) -> Value {
    json!({ "email": format!("ada@{game}.example"), "password": format!("the lamp of {game}") })
}

fn json_of(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn line(stream: &mut BufReader<impl std::io::Read>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// All texts in a document.
fn leaves(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(all) => all.iter().for_each(|value| leaves(value, found)),
        Value::Object(all) => all.values().for_each(|value| leaves(value, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_one_game_holds_opens_anything_of_another() {
    let journey = Journey::begin();
    let (ours, theirs) = (
        Side::bring_up(&journey, "night-train").await,
        Side::bring_up(&journey, "day-train").await,
    );
    each_opens_its_own(&ours).await;
    each_opens_its_own(&theirs).await;
    let held = ours.credentials();
    stores_refuse(&theirs, &ours, &held).await;
    interfaces_refuse(&theirs, &held).await;
    players_are_strangers(&theirs, &ours).await;
    forged_tokens_are_refused(&theirs, &ours).await;
    nobody_in_particular_is_refused(&theirs).await;
    others_may_not_look(&ours);
    for game in [ours.game, theirs.game] {
        journey.gaia.run(&["destroy", game, "--yes"]).exits(0);
    }
}

/// The refusals below mean something only if the same tries succeed where they should.
async fn each_opens_its_own(side: &Side) {
    for (user, password) in side.users("postgres") {
        assert_eq!(side.postgres(&user, &password).await, None, "{user}");
    }
    for (user, password) in side.users("redis") {
        assert_eq!(side.redis(Some((&user, &password))), ["+OK", "+PONG"], "{user}");
    }
    for (user, password) in side.users("nats") {
        assert_eq!(side.nats(Some((&user, &password))), "PONG", "{user}");
    }
    assert_eq!(side.player.get(PLAYER).await.status, 200);
    let admin = (side.admin.as_str(), Method::GET, &*side.admin_path());
    assert_eq!(side.refusal(admin, Some(side.admin_token())).await.0, 200);
}

async fn stores_refuse(theirs: &Side, ours: &Side, held: &BTreeSet<String>) {
    let with = |store| {
        theirs
            .users(store)
            .into_keys()
            .chain(ours.users(store).into_keys())
            .collect::<BTreeSet<_>>()
    };
    for password in held {
        for user in with("postgres") {
            let refused = theirs.postgres(&user, password).await;
            assert_eq!(refused, Some(SqlState::INVALID_PASSWORD), "postgres as {user}");
        }
        for user in with("redis") {
            let said = theirs.redis(Some((&user, password)));
            assert!(
                said[0].starts_with("-WRONGPASS ") && said[1].starts_with("-NOAUTH "),
                "redis as {user}: {said:?}"
            );
        }
        for user in with("nats") {
            assert_eq!(
                theirs.nats(Some((&user, password))),
                "-ERR 'Authorization Violation'",
                "nats as {user}"
            );
        }
    }
}

async fn interfaces_refuse(theirs: &Side, held: &BTreeSet<String>) {
    let invalid = || (401, "token_invalid".to_owned());
    let path = theirs.admin_path();
    // What no header can carry is a token for nobody.
    for token in held.iter().filter(|text| !text.is_empty() && !text.contains('\n')) {
        for at in [
            (theirs.gateway.as_str(), Method::GET, PLAYER),
            (&theirs.gateway, Method::GET, "/v1/conversations"),
            (&theirs.admin, Method::GET, &path),
            (&theirs.admin, Method::PUT, &path),
        ] {
            assert_eq!(theirs.refusal(at.clone(), Some(token)).await, invalid(), "{at:?}");
        }
        let refresh = Visitor::new(&theirs.gateway)
            .post("/v1/sessions/refresh", json!({ "refresh_token": token }))
            .await;
        assert_eq!(
            (refresh.status.as_u16(), refresh.code()),
            (401, "token_invalid"),
            "{refresh:?}"
        );
    }
}

/// Whoever has an account in one game has none in the other, and nobody's conversation is found from there.
async fn players_are_strangers(theirs: &Side, ours: &Side) {
    let elsewhere = Visitor::new(&theirs.gateway);
    let refused = elsewhere.post("/v1/sessions", sign_in(ours.game)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (401, "wrong_credentials"),
        "{refused:?}"
    );
    let persona = theirs.player.get("/v1/personas").await.ok()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let conversation = theirs.player.start_conversation(&persona).await;
    let path = format!("/v1/conversations/{conversation}");
    assert_eq!(theirs.player.get(&path).await.status, 200);
    assert_eq!(ours.player.get(&path).await.code(), "not_found");
}

/// A key that signs tokens of one game, with all that is known of the other and its players.
async fn forged_tokens_are_refused(theirs: &Side, ours: &Side) {
    let key = ours.settings["auth-1"]["games"][0]["signing_key"].as_str().unwrap();
    let key = EncodingKey::from_ed_pem(key.as_bytes()).unwrap();
    let read = |side: &Side| {
        let token = side.player.access_token.clone().unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        (
            header.kid,
            jsonwebtoken::dangerous::insecure_decode::<Value>(&token)
                .unwrap()
                .claims,
        )
    };
    let sign = |kid: &Option<String>, claims: &Value| {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid.clone_from(kid);
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    };
    let ((our_kid, our_claims), (their_kid, their_claims)) = (read(ours), read(theirs));
    let mut for_them = our_claims.clone();
    for_them["aud"] = their_claims["aud"].clone();
    let at = (theirs.gateway.as_str(), Method::GET, PLAYER);
    for kid in [&our_kid, &their_kid, &None] {
        for claims in [&our_claims, &for_them, &their_claims] {
            let token = sign(kid, claims);
            assert_eq!(
                theirs.refusal(at.clone(), Some(&token)).await,
                (401, "token_invalid".to_owned()),
                "{claims}"
            );
        }
    }
    let at_home = (ours.gateway.as_str(), Method::GET, PLAYER);
    assert_eq!(ours.refusal(at_home, Some(&sign(&our_kid, &our_claims))).await.0, 200);
}

async fn nobody_in_particular_is_refused(side: &Side) {
    assert_eq!(side.redis(None)[0].split(' ').next(), Some("-NOAUTH"));
    assert_eq!(side.nats(None), "-ERR 'Authorization Violation'");
    assert_eq!(side.postgres("nobody", "").await, Some(SqlState::INVALID_PASSWORD));
    let first = || (401, "sign_in_first".to_owned());
    assert_eq!(side.refusal((&side.gateway, Method::GET, PLAYER), None).await, first());
    assert_eq!(
        side.refusal((&side.admin, Method::PUT, &side.admin_path()), None).await,
        first()
    );
}

/// No other user of the machine can read a file of a cluster, list a folder or reach a socket; and what the stores have
/// is theirs alone.
fn others_may_not_look(side: &Side) {
    let (ours, stores) = (
        fs::metadata(side.folder.join("secrets.json")).unwrap().uid(),
        ["postgres", "redis", "nats"],
    );
    let stores_user = fs::metadata(side.folder.join("postgres")).unwrap().uid();
    assert!(ours != 0 || stores_user != 0, "the stores run as root");
    let mut seen = 0;
    let mut left = vec![side.folder.clone()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            // Postgres makes and removes files as it works.
            let Ok(found) = fs::symlink_metadata(&path) else {
                continue;
            };
            let name = path.strip_prefix(&side.folder).unwrap();
            let is_stores = stores.iter().any(|store| name.starts_with(store));
            let wanted = if found.is_dir() || (found.file_type().is_socket() && is_stores) {
                0o700
            } else {
                0o600
            };
            assert_eq!(found.mode() & 0o777, wanted, "{}", name.display());
            assert_eq!(
                found.uid(),
                if is_stores { stores_user } else { ours },
                "{}",
                name.display()
            );
            seen += 1;
            if found.is_dir() {
                left.push(path);
            }
        }
    }
    assert!(seen > 100, "{seen}");
    // The stores' user passes through and sees nothing.
    let itself = fs::metadata(&side.folder).unwrap().mode() & 0o777;
    assert_eq!(itself, if ours == stores_user { 0o700 } else { 0o711 });
}
