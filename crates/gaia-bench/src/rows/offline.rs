//! Rows about characters without a key.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use gaia_protocol::bundle::Persona;
use serde_json::json;

use crate::{client::Player, cluster, table::Measured};

/// The persona of each game that the lines were written to.
const SPOKEN_TO: &[(&str, &str)] = &[
    ("zombie-survival", "survivor_guide"),
    ("fantasy-quest", "wise_wizard"),
    ("historical-mystery", "archivist"),
    ("fitness-challenge", "coach"),
];

/// Sentences of about 21 tokens, one at a time and sixteen at a time, none of them seen before.
pub(crate) async fn embeddings() -> Result<Measured> {
    let home = gaia_testkit::scratch_folder();
    let program = std::env::current_exe()?.with_file_name("gaia");
    // Held until the end: the server ends with the last who uses it.
    let _lease = gaia_inference::Lease::hold(&home)?;
    let access = gaia_inference::ensure_running(&gaia_inference::Start::new(&home, cluster::models(), program)).await?;
    let one = per_second(&access, 1).await?;
    let sixteen = per_second(&access, 16).await?;
    Ok(Measured {
        target: "-",
        seen: format!("{one:.0}/s one at a time, {sixteen:.0}/s in batches of 16"),
        reached: None,
    })
}

async fn per_second(access: &gaia_inference::Access, batch: u32) -> Result<f64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let began = Instant::now();
    let mut done = 0_u32;
    while began.elapsed() < Duration::from_secs(5) {
        let texts: Vec<String> = (done..done + batch)
            .map(|n| {
                format!("On day {n} of the walk the scouts found a dry barn with clean straw, and they slept there.")
            })
            .collect();
        let body = json!({ "model": gaia_inference::models::EMBEDDING_MODEL, "input": texts });
        let request = client
            .post(format!("{}/v1/embeddings", access.base_url))
            .bearer_auth(access.key.expose());
        request.json(&body).send().await?.error_for_status()?.bytes().await?;
        done += batch;
    }
    Ok(f64::from(done) / began.elapsed().as_secs_f64())
}

/// Sixty player lines per shipped game, written by somebody who had not read the persona's file, each asked as the first
/// line of a conversation. Which of the persona's intents and facts would be a fitting answer was judged beforehand.
pub(crate) async fn fitting() -> Result<Measured> {
    let mut parts = Vec::new();
    let mut least = f64::MAX;
    for (game, persona) in SPOKEN_TO {
        let share = share_that_fits(game, persona)
            .await
            .with_context(|| format!("in {game}"))?;
        least = least.min(share);
        parts.push(format!("{game} {share:.0} %"));
    }
    Ok(Measured {
        target: "80 % in each game",
        seen: parts.join(", "),
        reached: Some(least >= 80.0),
    })
}

async fn share_that_fits(game: &str, persona_name: &str) -> Result<f64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../../games").join(game);
    let checked = gaia_spec::check_folder(&folder).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let persona = checked
        .game
        .personas
        .into_iter()
        .find(|persona| persona.id.as_str() == persona_name);
    let persona = persona.context("the persona is gone")?;
    let lines = fs::read_to_string(root.join("data").join(format!("{game}.tsv")))?;
    let home = cluster::Home::new();
    let gateway = home.up(&folder, game).await?;
    let (mut asked, mut fitting) = (0_u32, 0_u32);
    // Few players with few lines each: the games' limits hold for a benchmark too.
    for some in lines.lines().collect::<Vec<_>>().chunks(20) {
        let mut player = Player::enter(gateway).await?;
        for row in some {
            asked += 1;
            fitting += u32::from(fits(&mut player, &persona, row).await?);
        }
    }
    Ok(f64::from(fitting) * 100.0 / f64::from(asked))
}

async fn fits(player: &mut Player, persona: &Persona, row: &str) -> Result<bool> {
    let (line, names) = row.split_once('\t').context("a row has a line and names")?;
    let names: BTreeSet<&str> = names.split(',').map(str::trim).collect();
    let conversation = player
        .post("/v1/conversations", &json!({ "persona": persona.id }))
        .await?;
    let id = conversation["id"]
        .as_str()
        .context("a conversation has an id")?
        .to_owned();
    let turn = player
        .post(&format!("/v1/conversations/{id}/turns"), &json!({ "text": line }))
        .await?;
    anyhow::ensure!(turn["reply"]["route"] == "offline", "not the offline route: {turn}");
    let said = turn["reply"]["text"].as_str().unwrap_or_default();
    let chosen = speaker(persona, said).with_context(|| format!("nobody wrote this line: {said}"))?;
    if !names.contains(chosen) {
        crate::table::say(&format!("    does not fit: `{line}` -> {chosen}: {said}"));
    }
    Ok(names.contains(chosen))
}

/// Which intent or fact a line belongs to. A slot may hold anything.
fn speaker<'a>(persona: &'a Persona, said: &str) -> Option<&'a str> {
    let intents = persona.intents.iter().map(|intent| (intent.name.as_str(), &intent.say));
    let facts = persona.facts.iter().map(|fact| (fact.name.as_str(), &fact.say));
    intents
        .chain(facts)
        .find(|(_, lines)| lines.iter().any(|line| is_made_of(said, line)))
        .map(|(name, _)| name)
}

/// Whether the slots of a line can be filled so that it is what was said.
fn is_made_of(said: &str, line: &str) -> bool {
    let Some((before, rest)) = line.split_once('{') else {
        return said == line;
    };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    let Some(rest) = said.strip_prefix(before) else {
        return false;
    };
    let ends = rest.char_indices().map(|(end, _)| end).chain([rest.len()]);
    ends.map(|end| &rest[end..]).any(|rest| is_made_of(rest, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_its_words_around_every_slot() {
        let line = "{player}. Come in, {player}!";
        assert!(is_made_of("Clara. Come in, Clara!", line));
        assert!(!is_made_of("Clara. Come in!", line));
        assert!(is_made_of("Hm.", "Hm.") && !is_made_of("Hm. No.", "Hm."));
    }
}
