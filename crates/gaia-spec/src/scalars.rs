//! From the words of a file to values: times, amounts, addresses and the like.

use std::{net::Ipv4Addr, path::PathBuf};

use chrono::NaiveDate;
use gaia_names::PersonaId;
use gaia_protocol::{bundle::slots, money::MILLION};
use url::{Host, Url};

use crate::{
    fault::{nearest, shown},
    fields::Value,
    game::{Reference, Replicas},
    table::{Kind, LONGEST_LINE},
};

/// A thousand million dollars, in millionths.
const MOST_MONEY: u64 = 1_000_000_000 * MILLION;

/// Why a scalar is not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not of the kind; the walk says what the kind is.
    Kind,
    /// It is not one of these.
    Choice(&'static [&'static str]),
    /// This is wrong, and perhaps this helps.
    Because(String, Option<String>),
}

impl Refusal {
    fn because(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Because(what.into(), Some(help.into()))
    }
}

/// Reads a scalar as what the table says it is.
pub(crate) fn read(kind: &Kind, text: &str, is_plain: bool) -> Result<Value, Refusal> {
    let number = |found: Option<u64>, least, most| {
        found
            .filter(|number| (least..=most).contains(number))
            .map(Value::Number)
            .ok_or(Refusal::Kind)
    };
    match kind {
        Kind::Text { longest } => one_line(text, *longest).map(Value::Text),
        Kind::Line => line(text).map(Value::Text),
        Kind::Word => named(text, is_word(text)),
        Kind::PersonaName => named(text, text.parse::<PersonaId>().is_ok()),
        Kind::Tool => named(text, is_tool(text)),
        Kind::OneTool => named(text, is_tool(text) && text.contains('.')),
        Kind::ToolName => named(text, is_tool_name(text)),
        Kind::Variable => named(text, is_variable(text)),
        Kind::Path => path(text).map(Value::Text),
        Kind::TimeOfDay => named(text, is_time_of_day(text)),
        Kind::TimeZone => named(text, text.parse::<chrono_tz::Tz>().is_ok()),
        Kind::Hostname => named(text, is_hostname(text)),
        Kind::ObjectName => named(text, is_object_name(text)),
        Kind::Switch => switch(text, is_plain),
        Kind::Argument => argument(text, is_plain).map(Value::Json),
        Kind::Number { least, most } => number(whole(text), *least, *most),
        Kind::Duration { least_ms, most_ms } => duration(text, *least_ms, *most_ms).map(Value::Number),
        Kind::Percent if whole(text).is_some() => Err(Refusal::because("has no unit", format!("write {text}%"))),
        Kind::Percent => number(text.strip_suffix('%').and_then(|share| whole(share.trim_end())), 1, 100),
        Kind::Memory => number(memory(text), 16 << 20, 1 << 40),
        Kind::Cpu => number(cpu(text), 10, 128_000),
        Kind::Money => money(text).map(Value::Number),
        Kind::Amount => number(exact(text, MILLION), 0, MOST_MONEY),
        Kind::Currency => named(text, text.len() == 3 && text.bytes().all(|c| c.is_ascii_uppercase())),
        Kind::Label => named(text, is_label(text)),
        Kind::Day => named(text, text.parse::<NaiveDate>().is_ok()),
        Kind::Replicas { may_cluster } => replicas(text, *may_cluster).map(Value::Replicas),
        Kind::Address => address(text).map(Value::Text),
        Kind::Reference => reference(text).map(Value::Reference),
        Kind::Choice(words) => match words.contains(&text) {
            true => Ok(Value::Text(text.to_owned())),
            false => Err(Refusal::Choice(words)),
        },
        Kind::List { .. } | Kind::Map(_) | Kind::Named { .. } | Kind::Either(..) => Err(Refusal::Kind),
    }
}

/// A number, `true` or `false` where it is written without quotes, else a text.
fn argument(text: &str, is_plain: bool) -> Result<serde_json::Value, Refusal> {
    let plain = serde_json::from_str(text).ok().filter(|_| is_plain);
    match plain {
        Some(plain @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => Ok(plain),
        _ => one_line(text, LONGEST_LINE).map(serde_json::Value::String),
    }
}

fn is_time_of_day(text: &str) -> bool {
    // Chrono also reads a time without the leading zero.
    text.len() == 5 && chrono::NaiveTime::parse_from_str(text, "%H:%M").is_ok()
}

/// A name as RFC 1123 has it, with at least one dot: an address would be taken for one without.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label) && !is_number(last)
}

/// A DNS subdomain, which is what most objects of Kubernetes are called by.
fn is_object_name(text: &str) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(is_end) && bytes.last().is_some_and(is_end);
    ends && bytes.len() <= 253 && bytes.iter().all(|byte| is_end(byte) || matches!(byte, b'-' | b'.'))
}

/// A text on one line: line ends of a block become spaces.
fn one_line(text: &str, longest: usize) -> Result<String, Refusal> {
    let text = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if text.is_empty() {
        return Err(Refusal::because("is empty", "write something or leave it out"));
    }
    if let Some(odd) = text.chars().find(|c| c.is_control()) {
        return Err(Refusal::Because(
            format!("holds a control character: {}", odd.escape_default()),
            None,
        ));
    }
    let length = text.chars().count();
    if length > longest {
        return Err(Refusal::Because(
            format!("has {length} characters; {longest} is the most"),
            None,
        ));
    }
    Ok(text)
}

fn line(text: &str) -> Result<String, Refusal> {
    let line = one_line(text, LONGEST_LINE)?;
    let mut rest = line.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        rest = &rest[at..];
        let end = rest.find('}').map_or(rest.len(), |end| end + 1);
        let slot = &rest[..end];
        let known = [slots::PLAYER, slots::EARLIER, slots::ANSWER];
        if !known.contains(&slot) && slots::answer_path(slot).is_none() {
            let nearest = nearest(slot, known).map_or(String::new(), |slot| format!("did you mean `{slot}`? "));
            let help = format!(
                "{nearest}{{player}}, {{earlier}} in `recall`, and {{answer}} beside `tool` are known; other braces cannot \
                 stand in a line"
            );
            return Err(Refusal::because(
                format!("holds an unknown slot: `{}`", shown(slot)),
                help,
            ));
        }
        rest = &rest[end..];
    }
    Ok(line)
}

/// Whether it is a name as intents, facts, tool servers and routes have it.
pub(crate) fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_tool_name(tool: &str) -> bool {
    (1..=64).contains(&tool.len())
        && tool
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Whether it may stand as a label wherever games run.
fn is_label(text: &str) -> bool {
    let ends = [text.chars().next(), text.chars().next_back()];
    text.len() <= 63
        && ends.iter().all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric()))
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_variable(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn path(text: &str) -> Result<String, Refusal> {
    let path = one_line(text, 1000)?;
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(Refusal::Kind)
    }
}

fn is_tool(text: &str) -> bool {
    match text.split_once('.') {
        None => is_word(text),
        Some((server, tool)) => is_word(server) && is_tool_name(tool),
    }
}

fn named(text: &str, is_good: bool) -> Result<Value, Refusal> {
    if is_good {
        Ok(Value::Text(text.to_owned()))
    } else {
        Err(Refusal::Kind)
    }
}

fn switch(text: &str, is_plain: bool) -> Result<Value, Refusal> {
    match (text, is_plain) {
        ("true" | "True" | "TRUE", true) => Ok(Value::Switch(true)),
        ("false" | "False" | "FALSE", true) => Ok(Value::Switch(false)),
        ("true" | "false", false) => Err(Refusal::because("must be true or false", "write it without quotes")),
        ("yes" | "on", true) => Err(Refusal::because("must be true or false", "write true")),
        ("no" | "off", true) => Err(Refusal::because("must be true or false", "write false")),
        _ => Err(Refusal::Kind),
    }
}

/// A whole number without sign, spaces or more digits than any number here needs.
fn whole(text: &str) -> Option<u64> {
    let is_whole = (1..=15).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    is_whole.then(|| text.parse().ok()).flatten()
}

/// A decimal number times a factor, rounded down: `1.5` times 1000 is 1500.
fn decimal(text: &str, factor: u64) -> Option<u64> {
    let (before, after) = text.split_once('.').unwrap_or((text, "0"));
    let scale = 10_u64.checked_pow(u32::try_from(after.len()).ok()?)?;
    let before = whole(before)?.checked_mul(factor)?;
    before.checked_add(whole(after)?.checked_mul(factor)? / scale)
}

/// A decimal number times a factor, if that is a whole number: `0.075` times a million is 75000.
pub(crate) fn exact(text: &str, factor: u64) -> Option<u64> {
    let (before, after) = text.split_once('.').unwrap_or((text, "0"));
    let scale = 10_u64.checked_pow(u32::try_from(after.len()).ok()?)?;
    let parts = whole(after)?.checked_mul(factor)?;
    let whole_part = whole(before)?.checked_mul(factor)?;
    if parts % scale == 0 {
        whole_part.checked_add(parts / scale)
    } else {
        None
    }
}

/// An amount of US dollars, in millionths: `$5`, `5 USD`, `0.50`.
fn money(text: &str) -> Result<u64, Refusal> {
    let amount = match text.strip_prefix('$') {
        Some(amount) => amount,
        None => text.strip_suffix("USD").unwrap_or(text),
    };
    let amount = amount.trim();
    let is_number = amount.bytes().all(|c| c.is_ascii_digit() || c == b'.') && !amount.is_empty();
    if !is_number {
        let has_currency =
            text.contains(['€', '£', '¥']) || ["EUR", "GBP", "JPY", "CNY"].iter().any(|c| text.contains(c));
        return Err(match has_currency {
            true => Refusal::because("must be US dollars", "providers bill in US dollars: write $5 or 5 USD"),
            false => Refusal::Kind,
        });
    }
    if amount.split_once('.').is_some_and(|(_, after)| after.len() > 6) {
        return Err(Refusal::because(
            "has more than six decimals",
            "a millionth of a dollar is the smallest amount",
        ));
    }
    exact(amount, MILLION)
        .filter(|micros| *micros <= MOST_MONEY)
        .ok_or(Refusal::Kind)
}

fn duration(text: &str, least_ms: u64, most_ms: u64) -> Result<u64, Refusal> {
    let digits = text
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "" if decimal(number, 1).is_some() => {
            let help = format!("write {number}ms, or {number}s");
            return Err(Refusal::because("has no unit", help));
        }
        _ => return Err(Refusal::Kind),
    };
    decimal(number, factor)
        .filter(|ms| (least_ms..=most_ms).contains(ms))
        .ok_or(Refusal::Kind)
}

fn memory(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    decimal(number, factor)
}

fn cpu(text: &str) -> Option<u64> {
    text.strip_suffix('m').map_or_else(|| decimal(text, 1000), whole)
}

/// `2`, `10+`, `1 (single instance)`, `5+ (cluster mode)`.
fn replicas(text: &str, may_cluster: bool) -> Result<Replicas, Refusal> {
    let (number, note) = match text.split_once('(') {
        None => (text.trim(), None),
        Some((number, note)) => (number.trim(), Some(note.strip_suffix(')').ok_or(Refusal::Kind)?.trim())),
    };
    let or_more = number.ends_with('+');
    let count = whole(number.trim_end_matches('+')).and_then(|count| u32::try_from(count).ok());
    let count = count
        .filter(|count| (1..=1000).contains(count) && number.matches('+').count() <= 1)
        .ok_or(Refusal::Kind)?;
    let is_clustered = may_cluster && count >= 3;
    match note {
        Some("cluster mode") if !may_cluster => {
            return Err(Refusal::because("has no cluster mode", format!("write {number}")));
        }
        Some("cluster mode") if !is_clustered => {
            return Err(Refusal::because(
                "cannot be a cluster of fewer than three",
                "write 3 (cluster mode) or 1 (single instance)",
            ));
        }
        Some("single instance") if count != 1 || or_more => {
            return Err(Refusal::because(
                "cannot be a single instance and more than one",
                "write 1 (single instance)",
            ));
        }
        None | Some("cluster mode" | "single instance") => {}
        Some(_) => {
            return Err(Refusal::because(
                "has an unknown note in brackets",
                "known: (cluster mode), (single instance)",
            ));
        }
    }
    if may_cluster && count == 2 {
        return Err(Refusal::because(
            "cannot run as two",
            "write 3 (cluster mode) or 1 (single instance)",
        ));
    }
    Ok(Replicas {
        count,
        or_more,
        is_clustered,
    })
}

/// An address, without the `/` at its end. Nothing of a refused one is shown: it may hold a password.
fn address(text: &str) -> Result<String, Refusal> {
    let url = Url::parse(text)
        .ok()
        .filter(|_| text.len() <= 500 && text.is_ascii())
        .ok_or(Refusal::Kind)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::because(
            "holds a user or password",
            "leave it out of the address; keys go into `api_key`",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Refusal::because(
            "holds a `?` or `#`",
            "write only scheme, host, port and path",
        ));
    }
    match url.scheme() {
        "https" if url.host().is_some() => {}
        "http" if url.host().is_some_and(|host| is_near(&host)) => {}
        "http" => {
            let what = "would send keys and players' words unencrypted to another network";
            return Err(Refusal::because(
                what,
                "use https://, or an address of this machine or a private network",
            ));
        }
        _ => return Err(Refusal::Kind),
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether an address that was read before is on this machine or in a private network.
pub(crate) fn is_near_address(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| url.host().is_some_and(|host| is_near(&host)))
}

/// Whether a host is this machine or in a private network, as far as its name tells.
fn is_near(host: &Host<&str>) -> bool {
    let is_near_v4 = |ip: &Ipv4Addr| ip.is_loopback() || ip.is_private();
    match host {
        Host::Ipv4(ip) => is_near_v4(ip),
        Host::Ipv6(ip) => {
            ip.is_loopback() || ip.is_unique_local() || ip.to_ipv4_mapped().is_some_and(|ip| is_near_v4(&ip))
        }
        Host::Domain(name) => {
            let private = ["localhost", "internal", "local"];
            let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
            // A name without a dot is found only by a private resolver: Compose and Kubernetes name services so.
            !name.contains('.') || private.contains(&last)
        }
    }
}

/// Where a secret is found. What was written is never repeated: it may be the secret.
pub(crate) fn reference(text: &str) -> Result<Reference, Refusal> {
    let is_name = |name: &str| {
        (1..=128).contains(&name.len())
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
    };
    let what = "must say where the key is found, not the key itself (what stands there is not repeated here)";
    let refused = |help: &str| Err(Refusal::because(what, help));
    match text.split_once(':') {
        Some(("env", name)) if is_name(name) => Ok(Reference::Env(name.to_owned())),
        Some(("env", _)) => {
            refused("write env: and the name of an environment variable, such as env:ANTHROPIC_API_KEY")
        }
        Some(("file", path)) if path.starts_with('/') && path.len() <= 1000 && !path.chars().any(char::is_control) => {
            Ok(Reference::File(PathBuf::from(path)))
        }
        Some(("file", _)) => refused("write file: and an absolute path, such as file:/etc/gaia/anthropic.key"),
        _ => refused("write env:NAME or file:/path; if this was a real key, replace it: it stood in a file"),
    }
}
