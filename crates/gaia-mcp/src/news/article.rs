//! One article, as it is kept: short, plain and bounded.

use chrono::{DateTime, Utc};
use feed_rs::model::{Entry, Link};
use url::Url;

use super::html;
use crate::places::fold;

const LONGEST_TITLE: usize = 200;
const LONGEST_SUMMARY: usize = 400;
const LONGEST_LINK: usize = 1_000;
const MOST_CATEGORIES: usize = 10;

/// An article of a feed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Article {
    /// What the feed calls it, which stays when the title changes.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) summary: String,
    pub(super) link: Option<String>,
    pub(super) published: Option<DateTime<Utc>>,
    pub(super) source: String,
    /// All its words, folded, with spaces around: for searches.
    words: String,
}

impl Article {
    /// An article, unless it says nothing.
    pub(super) fn of(entry: Entry, source: &str, base: &Url) -> Option<Self> {
        let text = |text: &str, most| html::text(text, most);
        let title = entry
            .title
            .map_or(String::new(), |title| text(&title.content, LONGEST_TITLE));
        let body = entry.content.and_then(|content| content.body);
        let summary = entry.summary.map(|summary| summary.content).or(body);
        let summary = summary.map_or(String::new(), |summary| text(&summary, LONGEST_SUMMARY));
        if title.is_empty() && summary.is_empty() {
            return None;
        }
        let link = chosen(&entry.links).and_then(|link| base.join(link).ok());
        let link = link
            .filter(|link| matches!(link.scheme(), "http" | "https"))
            .map(String::from);
        let categories = entry.categories.iter().take(MOST_CATEGORIES);
        let categories: Vec<_> = categories.map(|category| html::one_line(&category.term, 60)).collect();
        let words = format!(" {} ", fold(&format!("{title} {summary} {}", categories.join(" "))));
        Some(Self {
            id: entry.id.chars().take(LONGEST_LINK).collect(),
            title: if title.is_empty() {
                html::one_line(&summary, 80)
            } else {
                title
            },
            summary,
            link: link.filter(|link| link.len() <= LONGEST_LINK),
            // Nothing was published tomorrow: such a date would keep an article on top for ever.
            published: entry.published.or(entry.updated).map(|at| at.min(Utc::now())),
            source: source.to_owned(),
            words,
        })
    }

    /// Whether it has a word that begins so, or these words in a row.
    pub(super) fn mentions(&self, folded: &str) -> bool {
        !folded.is_empty() && self.words.contains(&format!(" {folded}"))
    }

    /// Whether it has these very words in a row.
    pub(super) fn names(&self, folded: &str) -> bool {
        !folded.is_empty() && self.words.contains(&format!(" {folded} "))
    }
}

/// The link to the article itself.
fn chosen(links: &[Link]) -> Option<&str> {
    let is_itself = |link: &&Link| link.rel.as_deref().is_none_or(|rel| rel == "alternate");
    links
        .iter()
        .find(is_itself)
        .or(links.first())
        .map(|link| link.href.as_str())
}
