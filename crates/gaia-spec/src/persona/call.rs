//! The tool that an intent asks before one of its lines is said.

use gaia_protocol::bundle::{IntentCall, slots};

use super::check_tool;
use crate::{
    fault::Findings,
    fields::{Field, Item, Value},
    game::ToolServer,
};

/// What an intent may call: the config's servers, where it can be read, and what the persona's `tools` name.
#[derive(Clone, Copy)]
pub(super) struct Callable<'c> {
    pub(super) servers: Option<&'c [ToolServer]>,
    pub(super) allowed: &'c [Item],
}

/// Checks the call of an intent, and the slots that its answer fills.
pub(super) fn call(field: &Field, say: &[Item], callable: Callable<'_>, findings: &mut Findings) -> Option<IntentCall> {
    let (name, fields) = (field.name.as_str(), field.item.fields());
    let Some(asked) = fields.get("tool") else {
        if let Some(with) = fields.get("with") {
            let message = format!("`{name}` has `with`, but no `tool` that could be handed it");
            findings
                .error(with.place, message)
                .helping("name the tool, or leave it out");
        }
        let why = format!("`{name}` asks no tool that could fill it");
        refuse_answers(
            say,
            &why,
            "name a `tool` beside `say`, or write it without {answer}",
            findings,
        );
        return None;
    };
    let tool = asked.text()?;
    check_callable(asked, tool, callable, findings);
    let (telling, plain): (Vec<_>, Vec<_>) = say.iter().partition(|item| holds_answer(item));
    if telling.is_empty() && !say.is_empty() {
        let message = format!("`{name}` asks `{tool}`, but no line of it says what that answers");
        findings
            .warning(field.place, message)
            .helping("put {answer}, or a part of it such as {answer.condition}, where it belongs");
    } else if plain.is_empty() && !say.is_empty() {
        let lines = format!("every line of `{name}` holds {{answer}}");
        let message = format!("{lines}, so none can be said when `{tool}` does not answer");
        findings
            .warning(field.place, message)
            .helping("add a line without it, that says so in character");
    }
    let argument = |field: &Field| match &field.item.value {
        Value::Json(value) => Some((field.name.clone(), value.clone())),
        _ => None,
    };
    Some(IntentCall {
        tool: tool.to_owned(),
        arguments: fields.map("with").0.iter().filter_map(argument).collect(),
    })
}

/// Where nothing fills {answer}, no line can hold it.
pub(super) fn refuse_answers(lines: &[Item], why: &str, help: &str, findings: &mut Findings) {
    for item in lines.iter().filter(|item| holds_answer(item)) {
        let fault = findings.error(item.place, format!("{{answer}} stands in a line, but {why}"));
        fault.helping(help);
    }
}

fn check_callable(at: &Item, tool: &str, callable: Callable<'_>, findings: &mut Findings) {
    if let Some(servers) = callable.servers {
        check_tool(tool, at.place, servers, findings);
    }
    let server = tool.split('.').next();
    let allows = |item: &Item| {
        item.text()
            .is_some_and(|allowed| allowed == tool || Some(allowed) == server)
    };
    if !callable.allowed.iter().any(allows) {
        findings
            .error(at.place, format!("the character may not use `{tool}`"))
            .helping(format!("add `{tool}` to its `tools`"));
    }
}

fn holds_answer(item: &Item) -> bool {
    let is_answer = |slot: &str| slots::answer_path(slot).is_some();
    item.text().is_some_and(|line| slots::in_line(line).any(is_answer))
}
