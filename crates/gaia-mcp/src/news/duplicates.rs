//! One story once, although several feeds tell it.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use url::Url;

use super::article::Article;
use crate::places::fold;

/// How many articles are compared. The rest is older.
const MOST_COMPARED: usize = 1_000;
/// How many of their words two titles must share, of all that they have.
const ALIKE_PERCENT: usize = 75;
/// Titles of fewer words are only compared as a whole: `Live updates` is alike too often.
const LEAST_WORDS: usize = 4;
/// Stories further apart are different stories.
const APART: TimeDelta = TimeDelta::hours(72);

/// A story: its newest article, and who else tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Story {
    pub(super) article: Article,
    pub(super) also_in: Vec<String>,
}

/// Each story once, the newest first. Articles without a date come last.
pub(super) fn stories(mut articles: Vec<Article>) -> Vec<Story> {
    articles.sort_by(|one, other| other.published.cmp(&one.published).then_with(|| one.id.cmp(&other.id)));
    articles.truncate(MOST_COMPARED);
    let mut stories: Vec<(Story, HashSet<String>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for article in articles {
        let keys = keys(&article);
        let title = words(&article.title);
        let same = keys.iter().find_map(|key| known.get(key).copied());
        let same = same.or_else(|| {
            stories
                .iter()
                .position(|(story, words)| is_near(&story.article, &article) && is_alike(words, &title))
        });
        let number = match same {
            Some(number) => {
                let story = &mut stories[number].0;
                if story.article.source != article.source && !story.also_in.contains(&article.source) {
                    story.also_in.push(article.source);
                }
                number
            }
            None => {
                let also_in = Vec::new();
                stories.push((Story { article, also_in }, title));
                stories.len() - 1
            }
        };
        known.extend(keys.into_iter().map(|key| (key, number)));
    }
    stories.into_iter().map(|(story, _)| story).collect()
}

/// What makes two articles surely the same.
fn keys(article: &Article) -> Vec<String> {
    let link = article
        .link
        .as_deref()
        .and_then(plain_link)
        .map(|link| format!("link {link}"));
    let id = (!article.id.is_empty()).then(|| format!("id {} {}", article.source, article.id));
    let title = fold(&article.title);
    let is_telling = title.split(' ').count() >= LEAST_WORDS;
    // A short title comes again: `Weather today`. Long ones are compared word by word.
    let day = article.published.filter(|_| !is_telling).map(|at| at.date_naive());
    let title = day.map(|day| format!("title {title} {day}"));
    [link, id, title].into_iter().flatten().collect()
}

/// A link without what differs between readers: scheme, `www.`, campaign, fragment.
fn plain_link(link: &str) -> Option<String> {
    let url = Url::parse(link).ok()?;
    let host = url.host_str()?;
    let tracks = |key: &str| key.starts_with("utm_") || matches!(key, "fbclid" | "gclid" | "ref" | "source" | "cmpid");
    let pairs = url.query_pairs().filter(|(key, _)| !tracks(key));
    let query: Vec<_> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
    let host = host.strip_prefix("www.").unwrap_or(host);
    let path = url.path().trim_end_matches('/');
    // A link to the front page says nothing about the story.
    if path.is_empty() && query.is_empty() {
        return None;
    }
    Some(format!("{host}{path}?{}", query.join("&")))
}

fn words(title: &str) -> HashSet<String> {
    fold(title)
        .split(' ')
        .filter(|word| word.chars().count() > 1)
        .map(str::to_owned)
        .collect()
}

fn is_near(one: &Article, other: &Article) -> bool {
    match (one.published, other.published) {
        (Some(one), Some(other)) => (one - other).abs() <= APART,
        _ => true,
    }
}

fn is_alike(one: &HashSet<String>, other: &HashSet<String>) -> bool {
    let (small, large) = (one.len().min(other.len()), one.len().max(other.len()));
    if small < LEAST_WORDS || small * 100 < large * ALIKE_PERCENT {
        return false;
    }
    let shared = one.intersection(other).count();
    shared * 100 >= (one.len() + other.len() - shared) * ALIKE_PERCENT
}
