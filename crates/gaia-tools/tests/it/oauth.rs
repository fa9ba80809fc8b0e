//! Tokens, from an authorization server that keeps the rules.

use std::sync::Arc;

use gaia_names::Secret;
use gaia_protocol::bundle::{ToolOauth, ToolServer, ToolTransport};
use gaia_testkit::{Authority, AuthorityOptions, KNOWN_CLIENT, eventually};
use gaia_tools::{
    CallFault, PinsInMemory, SignInFault, SignInStore, SignInTo, SignInsAsTheyAre, SignInsInMemory, ToolAnswer, sign_in,
};
use serde_json::json;

use crate::support::{House, inside};

fn locked(url: &str, oauth: ToolOauth) -> ToolServer {
    let transport = ToolTransport::Http {
        url: url.to_owned(),
        key: None,
        oauth: Some(oauth),
    };
    ToolServer::new("locked", transport)
}

fn by_itself(url: &str, client_secret: &str) -> ToolServer {
    let oauth = ToolOauth {
        client_id: Some(KNOWN_CLIENT.0.to_owned()),
        client_secret: Some(client_secret.to_owned()),
        client_key: None,
        sign_in: None,
        scopes: vec!["read".to_owned()],
    };
    locked(url, oauth)
}

fn by_sign_in(url: &str) -> ToolServer {
    let oauth = ToolOauth {
        client_id: None,
        client_secret: None,
        client_key: None,
        sign_in: Some("sign_in".to_owned()),
        scopes: Vec::new(),
    };
    locked(url, oauth)
}

fn to(url: &str) -> SignInTo<'_> {
    SignInTo {
        url,
        client_id: None,
        client_secret: None,
        scopes: &[],
        client_name: "Gaia: The Night Train",
    }
}

/// A browser in which somebody agrees to everything.
async fn browser(address: &str) {
    let page = reqwest::get(address).await.unwrap();
    assert_eq!(page.status(), 200);
}

async fn signed_in(authority: &Authority) -> Secret {
    sign_in(to(&authority.url()), browser).await.unwrap()
}

/// One more process of the same game.
async fn process(authority: &Authority, sign_ins: &Arc<impl SignInStore>, sign_in: &Secret) -> House {
    let servers = [by_sign_in(&authority.url())];
    let sign_ins: Arc<dyn SignInStore> = sign_ins.clone();
    House::keeping(&servers, PinsInMemory::default(), sign_ins, Some(sign_in)).await
}

async fn look(house: &House) -> ToolAnswer {
    house.call("locked.look", json!({})).await
}

#[tokio::test]
async fn a_client_gets_a_token_for_this_server_alone() {
    let authority = Authority::start(AuthorityOptions::default()).await;
    let house = House::of(&[by_itself(&authority.url(), "secret")]).await;
    assert_eq!(house.report("locked").reason, None);
    assert_eq!(inside(&look(&house).await), "seen");
    let asked = authority.asked();
    assert_eq!((asked.len(), asked[0]["scope"].as_str()), (1, "read"));
}

#[tokio::test]
async fn a_token_that_is_taken_back_is_had_anew() {
    let authority = Authority::start(AuthorityOptions::default()).await;
    let house = House::of(&[by_itself(&authority.url(), "secret")]).await;
    authority.revoke();
    let is_seen = async || (!look(&house).await.is_error).then_some(());
    eventually("it has a new token", is_seen).await;
    assert!(authority.asked().len() >= 2);
}

#[tokio::test]
async fn a_tool_that_its_token_does_not_allow_says_which_scopes_are_wanted() {
    let options = AuthorityOptions {
        scope_of_calls: Some("write"),
        ..AuthorityOptions::default()
    };
    let authority = Authority::start(options).await;
    let mut server = by_itself(&authority.url(), "secret");
    let house = House::of(&[server.clone()]).await;
    let wanted = vec!["read".to_owned(), "write".to_owned()];
    assert_eq!(look(&house).await.fault, Some(CallFault::WantsScopes(wanted.clone())));
    let notes = house.report("locked").notes;
    assert_eq!(
        notes,
        [
            "tool server `locked` refuses what its token does not allow: write `scopes: [read, write]` under its `oauth` and \
          bring the game up again"
        ]
    );
    if let ToolTransport::Http { oauth: Some(oauth), .. } = &mut server.transport {
        oauth.scopes = wanted;
    }
    let house = House::of(&[server]).await;
    assert_eq!(inside(&look(&house).await), "seen");

    let given = signed_in(&authority).await;
    let house = process(&authority, &Arc::new(SignInsInMemory::default()), &given).await;
    look(&house).await;
    let notes = house.report("locked").notes.join("\n");
    assert!(
        notes.contains("run `gaia tools <folder> sign-in locked` and"),
        "{notes}"
    );
}

#[tokio::test]
async fn a_key_that_cannot_sign_asks_for_nothing() {
    let authority = Authority::start(AuthorityOptions::default()).await;
    let oauth = ToolOauth {
        client_id: Some(KNOWN_CLIENT.0.to_owned()),
        client_secret: None,
        client_key: Some("secret".to_owned()),
        sign_in: None,
        scopes: Vec::new(),
    };
    let house = House::of(&[locked(&authority.url(), oauth)]).await;
    let reason = house.report("locked").reason.unwrap();
    assert!(reason.contains("the secret `secret` is no private key"), "{reason}");
    assert!(!reason.contains(KNOWN_CLIENT.1), "{reason}");
    assert!(authority.asked().is_empty());
}

#[tokio::test]
async fn a_wrong_secret_a_false_issuer_and_a_false_resource_get_nothing_and_show_nothing() {
    let right = AuthorityOptions::default();
    let false_issuer = AuthorityOptions {
        false_issuer: Some("https://accounts.example.com"),
        ..right
    };
    let false_resource = AuthorityOptions {
        false_resource: Some("https://bank.example.com/mcp"),
        ..right
    };
    for (options, secret) in [(right, "key"), (false_issuer, "secret"), (false_resource, "secret")] {
        let authority = Authority::start(options).await;
        let house = House::of(&[by_itself(&authority.url(), secret)]).await;
        let report = house.report("locked");
        assert_eq!(report.state, "failed", "{report:?}");
        let reason = report.reason.unwrap();
        assert!(!reason.contains("hunter2"), "{reason}");
        assert_eq!(authority.valid(), 0, "{reason}");
        if secret == "secret" {
            assert!(authority.asked().is_empty(), "the secret was shown: {reason}");
            let refused = sign_in(to(&authority.url()), browser).await.unwrap_err();
            assert!(matches!(refused, SignInFault::Refused(_)), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_sign_in_is_renewed_by_one_process_for_all_and_no_refresh_token_is_shown_twice() {
    let authority = Authority::start(AuthorityOptions::default()).await;
    let given = signed_in(&authority).await;
    let sign_ins = Arc::new(SignInsInMemory::default());
    let (one, other) = (
        process(&authority, &sign_ins, &given).await,
        process(&authority, &sign_ins, &given).await,
    );
    assert_eq!(one.report("locked").reason, None);
    for _ in 0..3 {
        authority.revoke();
        let both = async || {
            let (one, other) = tokio::join!(look(&one), look(&other));
            (!one.is_error && !other.is_error).then_some(())
        };
        eventually("both have a token again", both).await;
    }
    let later = process(&authority, &sign_ins, &given).await;
    assert_eq!(inside(&look(&later).await), "seen");
    assert!(!authority.was_shown_again());
    assert_eq!(authority.asked()[0]["client_id"], "registered");
}

#[tokio::test]
async fn a_sign_in_that_was_taken_back_says_what_to_do_and_a_new_one_goes_before_what_was_kept() {
    let authority = Authority::start(AuthorityOptions::default()).await;
    let given = signed_in(&authority).await;
    let sign_ins = Arc::new(SignInsInMemory::default());
    drop(process(&authority, &sign_ins, &given).await);
    let anew = signed_in(&authority).await;
    authority.revoke();
    let house = process(&authority, &sign_ins, &given).await;
    let has_failed = async || Some(house.report("locked")).filter(|report| report.state == "failed");
    let report = eventually("the first sign-in has ended", has_failed).await;
    let reason = report.reason.unwrap();
    assert!(!reason.contains("refresh-") && !reason.contains("token-"), "{reason}");
    let house = process(&authority, &sign_ins, &anew).await;
    assert_eq!(inside(&look(&house).await), "seen");
}

#[tokio::test]
async fn a_look_from_elsewhere_uses_a_sign_in_and_never_renews_it() {
    let authority = Authority::start(AuthorityOptions::default()).await;
    let given = signed_in(&authority).await;
    let house = process(&authority, &Arc::new(SignInsAsTheyAre), &given).await;
    assert_eq!(inside(&look(&house).await), "seen");
    let before = authority.asked().len();
    authority.revoke();
    assert!(look(&house).await.is_error);
    assert_eq!(authority.asked().len(), before, "the game's refresh token was used up");
}

#[tokio::test]
async fn whoever_says_no_or_brings_another_state_signs_nobody_in() {
    let denies = AuthorityOptions {
        is_denied: true,
        ..AuthorityOptions::default()
    };
    let authority = Authority::start(denies).await;
    let denied = sign_in(to(&authority.url()), browser).await.unwrap_err();
    assert_eq!(
        denied.to_string(),
        "the sign-in was refused in the browser: access_denied"
    );

    let authority = Authority::start(AuthorityOptions::default()).await;
    let visit = async |address: &str| {
        let parsed: url::Url = address.parse().unwrap();
        let back = parsed.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1;
        let forged = reqwest::get(format!("{back}?code=code-0&state=forged")).await.unwrap();
        assert_eq!(forged.status(), 400);
        browser(address).await;
    };
    sign_in(to(&authority.url()), visit).await.unwrap();
    assert_eq!(authority.asked().len(), 1);
}
