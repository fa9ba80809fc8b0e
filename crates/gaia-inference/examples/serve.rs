//! The shared process by itself: `serve inference --home HOME --models FOLDER [--patience-ms N]`, as the `gaia` binary
//! runs it. The tests start it.

use std::time::Duration;

use gaia_inference::{RunSettings, run};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        words
            .iter()
            .position(|word| word == name)
            .and_then(|at| words.get(at + 1))
            .cloned()
    };
    let (Some(home), Some(models)) = (value("--home"), value("--models")) else {
        return Err("usage: serve inference --home HOME --models FOLDER [--patience-ms N]".into());
    };
    let mut settings = RunSettings::new(home, models);
    if let Some(patience) = value("--patience-ms") {
        settings.patience = Some(Duration::from_millis(patience.parse()?));
    }
    run(settings).await?;
    Ok(())
}
