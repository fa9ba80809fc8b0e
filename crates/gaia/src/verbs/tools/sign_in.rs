//! `gaia tools <folder> sign-in`: somebody's yes in a browser, kept in the file that the config names.

use std::io::{self, Write};

use anyhow::Context;
use gaia_spec::{Checked, OAuth, Reference, ToolServer, Transport};
use gaia_tools::{SignInTo, sign_in};
use serde_json::json;

use crate::{
    failure::{Failure, Outcome},
    game_folders,
    output::Output,
    private_files,
};

pub(super) async fn run(checked: &Checked, server: &str, output: Output) -> anyhow::Result<Outcome> {
    let (url, oauth) = server_of(checked, server)?;
    let Some(Reference::File(path)) = &oauth.sign_in else {
        return Err(no_file(server).into());
    };
    let mut warnings = Vec::new();
    let secrets = match &oauth.client_secret {
        Some(_) => game_folders::tool_secrets(&checked.tool_secret_references(), &mut warnings),
        None => Default::default(),
    };
    let secret = secrets.get(&format!("{server}.client_secret"));
    let name = format!("Gaia: {}", checked.game.name);
    let to = SignInTo {
        url,
        client_id: oauth.client_id.as_deref(),
        client_secret: secret,
        scopes: &oauth.scopes,
        client_name: &name,
    };
    // Whoever reads the document may still have to open the page.
    let visit = async |address: &str| {
        let _ = writeln!(
            io::stderr(),
            "Open this page in a browser on this machine:\n\n  {address}\n"
        );
    };
    let signed_in = sign_in(to, visit).await.map_err(|fault| {
        let failure = Failure::new(format!("nobody is signed in to `{server}`")).because(fault);
        failure.help("see what the page said, then run this again")
    })?;
    private_files::write(path, signed_in.expose().as_bytes())
        .with_context(|| format!("failed to write {}", path.display()))?;
    output.say(format_args!("Signed in to {server}; {} keeps it", path.display()));
    output.say("Next: `gaia up` takes it to the game, which renews it from then on");
    output.document(&json!({ "server": server, "file": path }));
    Ok(Outcome::Done)
}

fn server_of<'a>(checked: &'a Checked, server: &str) -> Result<(&'a str, &'a OAuth), Failure> {
    let named = |known: &&ToolServer| known.name == server;
    let Some(known) = checked.game.tool_servers.iter().find(named) else {
        return Err(Failure::new(format!("there is no tool server `{server}`"))
            .bad_input()
            .help("give a server's name; `gaia tools <folder>` lists them"));
    };
    match &known.transport {
        Transport::Url {
            url,
            oauth: Some(oauth),
            ..
        } => Ok((url, oauth)),
        _ => Err(no_file(server)),
    }
}

fn no_file(server: &str) -> Failure {
    Failure::new(format!("the config names no file for a sign-in to `{server}`"))
        .bad_input()
        .help("write `oauth: {sign_in: \"file:/path\"}` beside its `url`")
}
