//! The conversation itself: whom to talk to, and what becomes of each line.

use gaia_names::PersonaId;
use gaia_protocol::chat::{Conversation, PersonaCard};
use tokio::sync::mpsc;

use super::{
    lines::Line,
    screen::Screen,
    session::Session,
    turn::{self, Ended, Interrupts},
};
use crate::{
    failure::{self, Failure},
    output::plain,
};

/// What a player may type besides words.
const HELP: &str = "\
/personas        who can be talked to
/talk <persona>  talk to somebody else
/new             begin a new conversation
/who             who you are, and where
/help            this
/quit            leave (so does Ctrl-D); Ctrl-C stops a reply";

/// A player at the screen.
pub(super) struct Talk {
    pub(super) game: String,
    pub(super) session: Session,
    pub(super) screen: Screen,
    pub(super) interrupts: Interrupts,
    pub(super) lines: mpsc::Receiver<Line>,
    pub(super) personas: Vec<PersonaCard>,
}

/// What to do after a line.
enum Next {
    Go,
    Leave,
    Failed,
}

impl Talk {
    /// The persona that was asked for, that a person chooses, or the first. None if the person leaves.
    pub(super) async fn choose(&mut self, asked: Option<PersonaId>) -> anyhow::Result<Option<PersonaCard>> {
        if let Some(asked) = asked {
            return self.find(asked.as_str()).map(Some);
        }
        let Some(first) = self.personas.first().cloned() else {
            let help = "name personas under `services.chat.personas` in its config.yaml and run `gaia up` again";
            return Err(Failure::new(format!("`{}` has nobody to talk to", self.game))
                .help(help)
                .into());
        };
        if !self.screen.is_live() || self.personas.len() == 1 {
            return Ok(Some(first));
        }
        self.show_personas();
        loop {
            self.screen
                .prompt(&format!("With whom (1 to {}, or a name)? ", self.personas.len()));
            let Some(line) = self.line().await else { return Ok(None) };
            match line {
                Line::Text(line) => match self.find(&line) {
                    Ok(persona) => return Ok(Some(persona)),
                    Err(fault) => self.screen.note(&failure::with_help(&fault)),
                },
                Line::Refused(why) => self.screen.note(why),
            }
        }
    }

    fn find(&self, asked: &str) -> anyhow::Result<PersonaCard> {
        let by_number = asked
            .parse::<usize>()
            .ok()
            .and_then(|number| self.personas.get(number.checked_sub(1)?));
        let by_name = || {
            let is_meant = |p: &&PersonaCard| p.id.as_str() == asked || p.name.eq_ignore_ascii_case(asked);
            self.personas.iter().find(is_meant)
        };
        if let Some(persona) = by_number.or_else(by_name) {
            return Ok(persona.clone());
        }
        let known: Vec<_> = self.personas.iter().map(|persona| persona.id.as_str()).collect();
        let failure = Failure::new(format!("`{}` has no persona `{}`", self.game, plain(asked)));
        Err(failure
            .bad_input()
            .help(format!("choose one of: {}", known.join(", ")))
            .into())
    }

    /// The conversation to go on with, or a new one.
    pub(super) async fn converse(&mut self, persona: &PersonaCard, is_new: bool) -> anyhow::Result<Conversation> {
        let earlier = if is_new {
            None
        } else {
            let all = self
                .session
                .ask(&mut self.screen, async |api, token| api.conversations(token).await)
                .await?;
            all.into_iter().find(|conversation| conversation.persona == persona.id)
        };
        let conversation = match earlier {
            Some(conversation) => conversation,
            None => {
                self.session
                    .ask(&mut self.screen, async |api, token| api.start(token, &persona.id).await)
                    .await?
            }
        };
        self.screen.tell(&format!(
            "{}, {}. /help shows what else you can type.",
            plain(&persona.name),
            plain(&persona.role)
        ));
        if conversation.turns > 0 {
            let turns = if conversation.turns == 1 { "turn" } else { "turns" };
            self.screen.tell(&format!(
                "(You go on after {} {turns}; /new begins anew.)",
                conversation.turns
            ));
        } else if let Some(greeting) = persona.greeting.as_deref().filter(|_| self.screen.is_live()) {
            self.screen.speaker(&persona.name);
            self.screen.words(greeting);
            self.screen.end_line();
        }
        Ok(conversation)
    }

    pub(super) async fn run(
        mut self,
        mut persona: PersonaCard,
        mut conversation: Conversation,
    ) -> anyhow::Result<bool> {
        let mut has_failed = false;
        loop {
            self.screen.prompt("> ");
            let Some(line) = self.line().await else { break };
            let next = match line {
                Line::Text(line) => self.hear(&line, &mut persona, &mut conversation).await,
                Line::Refused(why) => self.failed(why),
            };
            match next {
                Next::Go => {}
                Next::Leave => break,
                Next::Failed => has_failed = true,
            }
        }
        self.screen.end_line();
        self.screen.tell(&format!(
            "Until next time. `gaia play {}` goes on from here.",
            self.game
        ));
        // A person has seen what failed; whoever reads a pipe's exit code has not.
        Ok(!has_failed || self.screen.is_live())
    }

    async fn hear(&mut self, line: &str, persona: &mut PersonaCard, conversation: &mut Conversation) -> Next {
        match line
            .split_once(' ')
            .map_or((line, ""), |(word, rest)| (word, rest.trim()))
        {
            ("", _) => Next::Go,
            ("/quit" | "/exit", _) => Next::Leave,
            ("/new", _) => self.switch(persona, conversation, None).await,
            ("/talk", name) => self.switch(persona, conversation, Some(name)).await,
            (word, _) if word.starts_with('/') => self.command(word).await,
            _ => self.say(persona, conversation, line).await,
        }
    }

    /// The player's next line; none if there is none or the player leaves.
    async fn line(&mut self) -> Option<Line> {
        tokio::select! {
            line = self.lines.recv() => line,
            () = self.interrupts.next() => {
                self.screen.tell("");
                None
            }
        }
    }

    async fn say(&mut self, persona: &PersonaCard, conversation: &Conversation, text: &str) -> Next {
        self.screen.said(text);
        self.screen.speaker(&persona.name);
        match turn::take(
            &mut self.session,
            &mut self.screen,
            (&mut self.interrupts, &mut self.lines),
            conversation.id,
            text,
        )
        .await
        {
            Ok(Ended::Over(turn)) if turn.reply.is_some() => Next::Go,
            Ok(Ended::Over(_)) => self.failed("the turn ended without a reply"),
            Ok(Ended::Left) => Next::Leave,
            Err(fault) if fault.is_not_found() => self.failed("the conversation is gone; /new begins another"),
            Err(fault) => self.failed(&failure::chain(&fault)),
        }
    }

    fn failed(&mut self, why: &str) -> Next {
        self.screen.note(&format!("error: {why}"));
        Next::Failed
    }

    async fn switch(&mut self, persona: &mut PersonaCard, conversation: &mut Conversation, to: Option<&str>) -> Next {
        let other = match to.map_or_else(|| Ok(persona.clone()), |name| self.find(name)) {
            Ok(other) => other,
            Err(fault) => return self.failed(&failure::with_help(&fault)),
        };
        match self.converse(&other, to.is_none()).await {
            Ok(fresh) => (*persona, *conversation) = (other, fresh),
            Err(fault) => return self.failed(&failure::with_help(&fault)),
        }
        Next::Go
    }

    async fn command(&mut self, word: &str) -> Next {
        match word {
            "/help" => self.screen.tell(HELP),
            "/personas" => self.show_personas(),
            "/who" => return self.who().await,
            _ => return self.failed(&format!("there is no {}; /help shows what there is", plain(word))),
        }
        Next::Go
    }

    async fn who(&mut self) -> Next {
        match self
            .session
            .ask(&mut self.screen, async |api, token| api.who(token).await)
            .await
        {
            Ok(player) => {
                let guest = if player.is_guest { ", a guest" } else { "" };
                let text = format!(
                    "{}{guest}, at {}",
                    plain(&player.display_name),
                    self.session.api().base()
                );
                self.screen.tell(&text);
                Next::Go
            }
            Err(fault) => self.failed(&failure::chain(&fault)),
        }
    }

    fn show_personas(&mut self) {
        for (index, persona) in self.personas.iter().enumerate() {
            let text = format!(
                "{:>3}  {}, {} ({})",
                index + 1,
                plain(&persona.name),
                plain(&persona.role),
                persona.id
            );
            self.screen.tell(&text);
        }
    }
}
