//! A tool server over HTTP and the authorization server that gives tokens for it, in one, by the rules: OAuth 2.1 with
//! PKCE, tokens for this server alone (RFC 8707), clients that it registers itself (RFC 7591), and refresh tokens that are
//! good for one use, after which whoever shows one again loses everything.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// The client that is known without having been registered, and its secret.
pub const KNOWN_CLIENT: (&str, &str) = ("gaia", "hunter2-secret");
/// The client that it registers.
const REGISTERED_CLIENT: &str = "registered";

/// How it departs from the rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthorityOptions {
    /// What it says that it is, where that is not its address.
    pub false_issuer: Option<&'static str>,
    /// What it says that it protects, where that is not its address.
    pub false_resource: Option<&'static str>,
    /// Whoever is asked in the browser says no.
    pub is_denied: bool,
    /// What a token must have been asked for before the tool is called with it.
    pub scope_of_calls: Option<&'static str>,
}

/// A server and what it has seen.
pub struct Authority {
    options: AuthorityOptions,
    address: String,
    state: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    asked: Vec<BTreeMap<String, String>>,
    valid: Vec<String>,
    /// The codes that were given and have not been used, with what they were asked with.
    codes: BTreeMap<String, BTreeMap<String, String>>,
    refresh: Option<String>,
    used: Vec<String>,
    was_shown_again: bool,
    listed: usize,
}

type Shared = State<Arc<Authority>>;

impl Authority {
    /// Serves on a free port.
    pub async fn start(options: AuthorityOptions) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it listens");
        let authority = Arc::new(Self {
            options,
            address: format!("http://{address}"),
            state: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/oauth-protected-resource", get(resource))
            .route("/.well-known/oauth-protected-resource/mcp", get(resource))
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/register", post(register))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/mcp", post(tool))
            .with_state(Arc::clone(&authority));
        crate::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        authority
    }

    /// The tool server's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/mcp", self.address)
    }

    /// What it was asked for tokens with.
    #[must_use]
    pub fn asked(&self) -> Vec<BTreeMap<String, String>> {
        self.known().asked.clone()
    }

    /// How many tokens hold.
    #[must_use]
    pub fn valid(&self) -> usize {
        self.known().valid.len()
    }

    /// How often its tools were listed to somebody with a token.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.known().listed
    }

    /// Whether a refresh token was shown that had been used.
    #[must_use]
    pub fn was_shown_again(&self) -> bool {
        self.known().was_shown_again
    }

    /// Takes every access token back.
    pub fn revoke(&self) {
        self.known().valid.clear();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Whether a token was asked for with a scope.
    fn allows(&self, token: &str, scope: &str) -> bool {
        let number: Option<usize> = token.strip_prefix("token-").and_then(|number| number.parse().ok());
        let asked = number.and_then(|number| self.asked.get(number - 1)?.get("scope"));
        asked.is_some_and(|scopes| scopes.split(' ').any(|known| known == scope))
    }

    /// Whether a token may be given for this; uses up what is good for one use.
    fn grants(&mut self, asked: &BTreeMap<String, String>) -> bool {
        let of = |key: &str| asked.get(key).map(String::as_str).unwrap_or_default();
        match of("grant_type") {
            "client_credentials" => of("client_id") == KNOWN_CLIENT.0,
            "refresh_token" if self.used.iter().any(|used| used == of("refresh_token")) => {
                (self.was_shown_again, self.refresh) = (true, None);
                self.valid.clear();
                false
            }
            "refresh_token" => {
                let is_good = self.refresh.as_deref() == Some(of("refresh_token"));
                self.used.extend(is_good.then(|| self.refresh.take()).flatten());
                is_good
            }
            "authorization_code" => self.codes.remove(of("code")).is_some_and(|begun| {
                let digest = Sha256::digest(of("code_verifier"));
                begun["code_challenge"] == BASE64_URL_SAFE_NO_PAD.encode(digest)
                    && begun["redirect_uri"] == of("redirect_uri")
                    && begun["client_id"] == of("client_id")
            }),
            _ => false,
        }
    }
}

async fn resource(State(authority): Shared) -> Json<Value> {
    let own = authority.url();
    let resource = authority.options.false_resource.unwrap_or(&own);
    Json(json!({"resource": resource, "authorization_servers": [authority.address], "scopes_supported": ["read"]}))
}

async fn metadata(State(authority): Shared) -> Json<Value> {
    let address = &authority.address;
    Json(json!({
        "issuer": authority.options.false_issuer.unwrap_or(address),
        "authorization_endpoint": format!("{address}/authorize"),
        "token_endpoint": format!("{address}/token"),
        "registration_endpoint": format!("{address}/register"),
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn register(Json(wanted): Json<Value>) -> Response {
    let registered = json!({
        "client_id": REGISTERED_CLIENT, "redirect_uris": wanted["redirect_uris"], "client_name": wanted["client_name"],
        "token_endpoint_auth_method": "none",
    });
    (StatusCode::CREATED, Json(registered)).into_response()
}

async fn authorize(State(authority): Shared, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let of = |key: &str| asked.get(key).map(String::as_str).unwrap_or_default();
    let is_known = [KNOWN_CLIENT.0, REGISTERED_CLIENT].contains(&of("client_id"));
    let is_right = of("response_type") == "code"
        && of("code_challenge_method") == "S256"
        && of("resource") == authority.url()
        && of("redirect_uri").starts_with("http://127.0.0.1:")
        && !of("state").is_empty();
    if !is_known || !is_right {
        return (StatusCode::BAD_REQUEST, "invalid_request").into_response();
    }
    let (back, state, iss) = (of("redirect_uri"), of("state"), &authority.address);
    if authority.options.is_denied {
        return Redirect::to(&format!("{back}?error=access_denied&state={state}&iss={iss}")).into_response();
    }
    let mut known = authority.known();
    let code = format!("code-{}", known.codes.len());
    let address = format!("{back}?code={code}&state={state}&iss={iss}");
    known.codes.insert(code, asked);
    Redirect::to(&address).into_response()
}

async fn token(State(authority): Shared, headers: HeaderMap, form: Bytes) -> Response {
    let asked: BTreeMap<_, _> = url::form_urlencoded::parse(&form).into_owned().collect();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let mut known = authority.known();
    known.asked.push(asked.clone());
    let is = |key: &str, value: &str| asked.get(key).is_some_and(|found| found == value);
    let is_known = is("client_id", KNOWN_CLIENT.0) && is("client_secret", KNOWN_CLIENT.1);
    if headers.contains_key("authorization") || !is_known && !is("client_id", REGISTERED_CLIENT) {
        return refused("invalid_client");
    }
    if !is("resource", &authority.url()) {
        return refused("invalid_target");
    }
    if !known.grants(&asked) {
        return refused("invalid_grant");
    }
    let number = known.asked.len();
    known.valid.push(format!("token-{number}"));
    let mut given = json!({"access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": 3600});
    if !is("grant_type", "client_credentials") {
        known.refresh = Some(format!("refresh-{number}"));
        given["refresh_token"] = json!(known.refresh);
    }
    Json(given).into_response()
}

async fn tool(State(authority): Shared, headers: HeaderMap, Json(message): Json<Value>) -> Response {
    let shown = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let mut known = authority.known();
    let Some(token) = shown.filter(|token| known.valid.iter().any(|valid| valid == token)) else {
        let address = &authority.address;
        let challenge = format!("Bearer resource_metadata=\"{address}/.well-known/oauth-protected-resource\"");
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    };
    if let Some(scope) = authority.options.scope_of_calls
        && message["method"] == "tools/call"
        && !known.allows(token, scope)
    {
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        return (StatusCode::FORBIDDEN, [("www-authenticate", challenge)]).into_response();
    }
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete",
            "serverInfo": {"name": "locked", "version": "1"}, "ttlMs": 0, "cacheScope": "private",
        }),
        "tools/list" => {
            known.listed += 1;
            json!({
                "tools": [{"name": "look", "inputSchema": {"type": "object"}}], "resultType": "complete",
                "ttlMs": 0, "cacheScope": "private",
            })
        }
        _ => json!({"content": [{"type": "text", "text": "seen"}], "resultType": "complete"}),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}
