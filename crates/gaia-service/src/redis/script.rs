//! What Redis does in one step.

use redis::Cmd;

/// What a script finds in front of it, for marks: keys that say that something is complete, or being made so. In cluster
/// mode they name the node that set them. A replica that takes over may lack what its master was told last, so what
/// another node has marked is not marked.
const MARKS: &str = "
local function here(word) return word end
local function marked(key) return redis.call('GET', key) end
";
const MARKS_OF_A_NODE: &str = "
local function here(word) return word .. '@' .. redis.call('CLUSTER', 'MYID') end
local function marked(key)
    local word = redis.call('GET', key)
    return word and string.sub(word, -41) == here('') and word
end
";

/// What Redis does in one step. It is sent by its name and, where Redis does not know it, as a whole.
///
/// In Lua, with two functions of ours: `marked(key)` gives what a mark holds, or false where there is none, and
/// `here(word)` is what a mark is to hold.
pub struct Script {
    for_one: Form,
    for_cluster: Form,
}

/// A script as it is sent.
pub(super) struct Form {
    text: String,
    hash: String,
}

impl Script {
    /// Prepares a script in Lua.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let form = |functions: &str| {
            let text = format!("{functions}{text}");
            let hash = redis::Script::new(&text).get_hash().to_owned();
            Form { text, hash }
        };
        Self {
            for_one: form(MARKS),
            for_cluster: form(MARKS_OF_A_NODE),
        }
    }

    pub(super) fn form(&self, is_cluster: bool) -> &Form {
        if is_cluster { &self.for_cluster } else { &self.for_one }
    }
}

impl Form {
    pub(super) fn command(&self, is_known: bool, keys: &[String], arguments: &[String]) -> Cmd {
        let (name, script) = if is_known {
            ("EVALSHA", &self.hash)
        } else {
            ("EVAL", &self.text)
        };
        let mut command = redis::cmd(name);
        command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
        command
    }
}
