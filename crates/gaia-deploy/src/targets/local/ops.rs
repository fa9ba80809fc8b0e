//! The services' own HTTP ports, asked over loopback: whether one is ready.

use crate::admin_api::{PATIENCE, client, unreached};

/// How much of an answer is shown, in bytes.
const MOST_SHOWN: usize = 4 << 10;

/// Asks a service whether it has all that it needs; the error is what it says is missing.
pub(crate) async fn is_ready(ops_port: u16) -> Result<(), String> {
    let url = format!("http://127.0.0.1:{ops_port}/health/ready");
    let asked = client()?.get(url).timeout(PATIENCE).send().await;
    let mut answer = asked.map_err(|fault| unreached(&fault))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_SHOWN {
            bytes.truncate(MOST_SHOWN);
            break;
        }
    }
    Err(format!("{status}: {}", String::from_utf8_lossy(&bytes).trim()))
}
