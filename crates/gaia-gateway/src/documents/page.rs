//! The documents as one page that asks nothing of anybody else's server and runs no script.

use std::fmt::Write;

use gaia_protocol::ErrorCode;
use serde_json::Value;

const STYLE: &str = include_str!("page.css");

/// The page.
pub(super) fn of(openapi: &Value, asyncapi: &Value) -> String {
    let mut page = String::with_capacity(96 * 1024);
    let title = text(&openapi["info"]["title"]);
    let introduction = marked(&openapi["info"]["description"]);
    put(
        &mut page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\n\
             <body><h1>{title}</h1><p>{introduction}</p>"
        ),
    );
    navigation(&mut page, openapi);
    for tag in list(&openapi["tags"]) {
        section(&mut page, openapi, tag);
    }
    socket(&mut page, asyncapi);
    codes(&mut page);
    types(&mut page, openapi, asyncapi);
    page.push_str("</body></html>\n");
    page
}

fn navigation(page: &mut String, openapi: &Value) {
    page.push_str("<nav>");
    for tag in list(&openapi["tags"]) {
        let name = text(&tag["name"]);
        put(page, format_args!("<a href=\"#tag-{name}\">{name}</a>"));
    }
    page.push_str(
        "<a href=\"#socket\">socket</a><a href=\"#codes\">codes</a><a href=\"#types\">types</a>\
         <a href=\"/openapi.json\">openapi.json</a><a href=\"/asyncapi.json\">asyncapi.json</a></nav>",
    );
}

fn section(page: &mut String, openapi: &Value, tag: &Value) {
    let (name, description) = (text(&tag["name"]), text(&tag["description"]));
    put(
        page,
        format_args!("<h2 id=\"tag-{name}\">{name}</h2><p>{description}</p>"),
    );
    for (path, item) in entries(&openapi["paths"]) {
        for (method, operation) in entries(item) {
            if operation["tags"][0] == tag["name"] {
                article(page, method, path, operation);
            }
        }
    }
}

fn article(page: &mut String, method: &str, path: &str, operation: &Value) {
    let (id, method) = (text(&operation["operationId"]), method.to_uppercase());
    put(
        page,
        format_args!(
            "<article id=\"{id}\"><h3><span class=\"method\">{method}</span> <code>{}</code></h3><p>{}.</p><p>{}</p>",
            escaped(path),
            text(&operation["summary"]),
            marked(&operation["description"]),
        ),
    );
    if !list(&operation["parameters"]).is_empty() {
        page.push_str("<h4>Parameters</h4>");
        table(
            page,
            list(&operation["parameters"]).iter().map(|parameter| {
                let place = text(&parameter["in"]);
                (
                    text(&parameter["name"]),
                    format!("{place}, {}", kind(&parameter["schema"])),
                    marked(&parameter["description"]),
                )
            }),
        );
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        put(page, format_args!("<h4>Body: {}</h4>", kind(body)));
    }
    page.push_str("<h4>Answers</h4>");
    table(
        page,
        entries(&operation["responses"]).map(|(status, response)| {
            let contents: Vec<_> = entries(&response["content"])
                .map(|(form, content)| match kind(&content["schema"]) {
                    what if what.is_empty() => format!("<code>{}</code>", escaped(form)),
                    what => format!("<code>{}</code> {what}", escaped(form)),
                })
                .collect();
            (escaped(status), contents.join(" or "), marked(&response["description"]))
        }),
    );
    page.push_str("</article>");
}

fn socket(page: &mut String, asyncapi: &Value) {
    put(
        page,
        format_args!(
            "<h2 id=\"socket\">socket</h2><article><h3><span class=\"method\">WS</span> <code>/v1/realtime</code></h3>\
             <p>{}</p><p>The client sends {}, the gateway sends {}.</p></article>",
            marked(&asyncapi["info"]["description"]),
            kind(&asyncapi["components"]["messages"]["fromClient"]["payload"]),
            kind(&asyncapi["components"]["messages"]["fromServer"]["payload"]),
        ),
    );
}

fn codes(page: &mut String) {
    page.push_str("<h2 id=\"codes\">codes</h2><p>The stable codes of refusals.</p><div class=\"wide\"><table>");
    for code in ErrorCode::ALL {
        let (status, title) = (code.status(), escaped(code.title()));
        put(
            page,
            format_args!(
                "<tr id=\"{code}\"><th><code>{code}</code></th><td class=\"kind\">{status}</td><td>{title}</td></tr>"
            ),
        );
    }
    page.push_str("</table></div>");
}

fn types(page: &mut String, openapi: &Value, asyncapi: &Value) {
    page.push_str("<h2 id=\"types\">types</h2>");
    let of_api = &openapi["components"]["schemas"];
    let of_socket = entries(&asyncapi["components"]["schemas"]).filter(|(name, _)| of_api.get(name).is_none());
    for (name, schema) in entries(of_api).chain(of_socket) {
        let name = escaped(name);
        put(
            page,
            format_args!(
                "<article id=\"type-{name}\"><h3>{name}</h3><p>{}</p>",
                marked(&schema["description"])
            ),
        );
        let variants = list(&schema["oneOf"]);
        let shapes = if variants.is_empty() {
            std::slice::from_ref(schema)
        } else {
            variants
        };
        for shape in shapes {
            if !variants.is_empty() {
                put(page, format_args!("<h4>{}</h4>", marked(&shape["description"])));
            }
            fields(page, shape);
        }
        page.push_str("</article>");
    }
}

fn fields(page: &mut String, shape: &Value) {
    if shape["properties"].is_object() {
        let required = list(&shape["required"]);
        table(
            page,
            entries(&shape["properties"]).map(|(name, schema)| {
                let optional = if required.iter().any(|field| field == name) {
                    ""
                } else {
                    ", optional"
                };
                (
                    escaped(name),
                    format!("{}{optional}", kind(schema)),
                    marked(&schema["description"]),
                )
            }),
        );
    } else {
        let kind = kind(shape);
        if !kind.is_empty() {
            put(page, format_args!("<p>{kind}</p>"));
        }
    }
}

fn table(page: &mut String, rows: impl Iterator<Item = (String, String, String)>) {
    page.push_str("<div class=\"wide\"><table>");
    for (name, kind, meaning) in rows {
        put(
            page,
            format_args!("<tr><th><code>{name}</code></th><td class=\"kind\">{kind}</td><td>{meaning}</td></tr>"),
        );
    }
    page.push_str("</table></div>");
}

/// A schema in a few words, with a link where it has a name.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
    {
        let name = escaped(name);
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values
            .iter()
            .map(|value| format!("<code>{}</code>", text(value)))
            .collect();
        return values.join(", ");
    }
    let choices = list(&schema["oneOf"]);
    if !choices.is_empty() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let named = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        other => text(other),
    };
    if schema["items"].is_object() {
        return format!("list of {}", kind(&schema["items"]));
    }
    let bounds = [
        ("minLength", "at least"),
        ("maxLength", "at most"),
        ("minimum", "from"),
        ("maximum", "to"),
    ];
    let bounds = bounds
        .iter()
        .filter_map(|(key, word)| Some(format!("{word} {}", schema[key].as_i64()?)));
    let format = schema["format"].as_str().map(escaped);
    let parts: Vec<_> = std::iter::once(named)
        .chain(format)
        .chain(bounds)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(", ")
}

fn put(page: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = page.write_fmt(piece);
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

/// A text whose `words in backticks` are code.
fn marked(value: &Value) -> String {
    let parts = value.as_str().unwrap_or_default().split('`').map(escaped);
    let is_code = |index: usize| index % 2 == 1;
    let shown = parts.enumerate().map(|(index, part)| {
        if is_code(index) {
            format!("<code>{part}</code>")
        } else {
            part.replace("\n\n", "<br><br>")
        }
    });
    shown.collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_shows_every_path_and_asks_nothing_of_other_servers() {
        let openapi = crate::openapi();
        let page = of(&openapi, &crate::asyncapi());
        for path in openapi["paths"].as_object().unwrap().keys() {
            assert!(page.contains(path.as_str()), "{path}");
        }
        for outward in ["http://", "https://", "src=", "@import", "<script", "url("] {
            assert!(!page.contains(outward), "{outward}");
        }
    }

    #[test]
    fn texts_cannot_break_out_of_the_page() {
        let text = marked(&json!("a `<b>` <script>alert(\"1\")</script> & c"));
        assert_eq!(
            text,
            "a <code>&lt;b&gt;</code> &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; c"
        );
    }
}
