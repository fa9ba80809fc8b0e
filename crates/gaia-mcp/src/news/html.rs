//! From HTML to plain text on one line.

use std::cell::RefCell;

use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts, states::RawKind,
};

/// How much of somebody's HTML is looked at, in characters.
const LARGEST: usize = 32 * 1024;
/// What is written in these is for browsers.
const HIDDEN: [&str; 5] = ["script", "style", "noscript", "template", "iframe"];

/// The text of some HTML, in at most so many characters, without markup, control characters and superfluous space.
pub(super) fn text(html: &str, most: usize) -> String {
    let sink = Text::default();
    let input = BufferQueue::default();
    let looked_at: String = html.chars().take(LARGEST).collect();
    input.push_back(looked_at.as_str().into());
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    one_line(&tokenizer.sink.text.borrow(), most)
}

/// A text without control characters and with single spaces, cut at a word's end if it is too long.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let visible: String = text
        .chars()
        .map(|letter| if is_seen(letter) { letter } else { ' ' })
        .collect();
    let words: Vec<_> = visible.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let cut: String = line.chars().take(most.saturating_sub(1)).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole);
    format!("{whole}…")
}

/// Not a control character, and none that turns the direction of writing or hides in a text.
fn is_seen(letter: char) -> bool {
    let is_hidden = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || ('\u{e0000}'..='\u{e007f}').contains(&letter);
    !letter.is_control() && !is_hidden
}

/// Gathers what is between the tags.
#[derive(Default)]
struct Text {
    text: RefCell<String>,
    hidden: RefCell<Option<String>>,
}

impl TokenSink for Text {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut hidden = self.hidden.borrow_mut();
        match token {
            Token::CharacterTokens(letters) if hidden.is_none() => self.text.borrow_mut().push_str(&letters),
            Token::TagToken(tag) => {
                // A tag parts words: `<p>one</p><p>two</p>`. Inside a word it is rare.
                let is_inline = matches!(
                    &*tag.name,
                    "a" | "b" | "i" | "em" | "strong" | "span" | "u" | "sup" | "sub"
                );
                if !is_inline {
                    self.text.borrow_mut().push(' ');
                }
                let name = &*tag.name;
                if tag.kind == TagKind::EndTag && hidden.as_deref() == Some(name) {
                    *hidden = None;
                } else if tag.kind == TagKind::StartTag
                    && hidden.is_none()
                    && !tag.self_closing
                    && HIDDEN.contains(&name)
                {
                    *hidden = Some(name.to_owned());
                    return match name {
                        "script" => TokenSinkResult::RawData(RawKind::ScriptData),
                        "template" => TokenSinkResult::Continue,
                        _ => TokenSinkResult::RawData(RawKind::Rawtext),
                    };
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_gone_and_words_stay_apart() {
        for (html, plain) in [
            ("<p>One &amp; <b>t</b>wo</p><p>three</p>", "One & two three"),
            ("plain  text\n\twith space", "plain text with space"),
            ("a<script>alert('</p>')</script>b", "a b"),
            ("a<style>p { color: red }</style><!-- no -->b", "a b"),
            ("1 < 2 &lt;b&gt; &#x48;&#105;", "1 < 2 <b> Hi"),
            ("<img src=x onerror=alert(1)>", ""),
            ("broken <a href='", "broken"),
            ("bell\u{7} and \u{202e}turned", "bell and turned"),
        ] {
            assert_eq!(text(html, 100), plain, "{html}");
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_word() {
        assert_eq!(text("one two three four", 12), "one two…");
        assert_eq!(one_line("ééééé", 5), "ééééé");
    }

    #[test]
    fn a_tower_of_tags_is_no_danger() {
        let tower = "<div>".repeat(100_000);
        assert_eq!(text(&tower, 100), "");
    }
}
