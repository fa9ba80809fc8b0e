//! A conversation in the terminal: sign in as a guest, choose a persona, talk.

mod answer;
mod api;
mod asked;
mod device;
mod fault;
mod lines;
mod screen;
mod session;
mod talk;
mod turn;

use gaia_deploy::Home;
use gaia_names::PersonaId;
use reqwest::Url;

pub(crate) use device::{forget, tidy};
pub(crate) use fault::ApiFault;

use self::{api::Api, screen::Screen, session::Session, talk::Talk, turn::Interrupts};

/// What to play.
pub(crate) struct Play<'a> {
    /// The game's name.
    pub(crate) game: &'a str,
    /// Its gateway.
    pub(crate) gateway: Url,
    /// Whether the gateway was given by its address.
    pub(crate) is_elsewhere: bool,
    /// Where the player's secret is kept.
    pub(crate) home: &'a Home,
    /// With whom; none to choose.
    pub(crate) persona: Option<PersonaId>,
    /// Whether to begin a new conversation.
    pub(crate) is_new: bool,
    /// Whether a pipe shows each line before its reply.
    pub(crate) echoes: bool,
    /// Whether a person sits at the terminal.
    pub(crate) is_live: bool,
}

/// Talks until the player leaves or the lines end. False if a turn failed.
///
/// # Errors
///
/// If the game cannot be reached or refuses to let the player in.
pub(crate) async fn play(play: Play<'_>) -> anyhow::Result<bool> {
    let elsewhere = play.is_elsewhere.then(|| play.gateway.origin().ascii_serialization());
    let device = device::device_id(play.home, play.game, elsewhere.as_deref())?;
    let mut talk = Talk {
        game: play.game.to_owned(),
        session: Session::new(Api::at(play.gateway)?, device),
        screen: Screen::new(play.is_live, play.echoes),
        interrupts: Interrupts::new(play.is_live)?,
        lines: lines::lines()?,
        personas: Vec::new(),
    };
    talk.personas = talk
        .session
        .ask(&mut talk.screen, async |api, token| api.personas(token).await)
        .await?;
    let Some(persona) = talk.choose(play.persona).await? else {
        return Ok(true);
    };
    let conversation = talk.converse(&persona, play.is_new).await?;
    talk.run(persona, conversation).await
}
