//! What each tool was when it was first seen.

use std::collections::BTreeMap;

use futures::{FutureExt, future::BoxFuture};
use gaia_service::Postgres;
use gaia_tools::{Pin, PinFault, PinStore};

/// The pins of one game.
pub(crate) struct Pins(pub(crate) Postgres);

impl PinStore for Pins {
    fn of_server<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, Pin>, PinFault>> {
        const PINS: &str = "SELECT tool, accepted, waiting FROM chat.tool_pins WHERE server = $1";
        let pins = async move {
            let client = self.0.client().await.map_err(PinFault::new)?;
            let statement = client.prepare_cached(PINS).await.map_err(PinFault::new)?;
            let rows = client.query(&statement, &[&server]).await.map_err(PinFault::new)?;
            let pin = |row: tokio_postgres::Row| {
                let pin = Pin {
                    accepted: row.get(1),
                    waiting: row.get(2),
                };
                (row.get(0), pin)
            };
            Ok(rows.into_iter().map(pin).collect())
        };
        pins.boxed()
    }

    fn trust<'a>(
        &'a self,
        server: &'a str,
        tools: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), PinFault>> {
        const TRUST: &str = "
            INSERT INTO chat.tool_pins (server, tool, accepted)
            SELECT $1, * FROM unnest($2::text[], $3::text[])
            ON CONFLICT (game_id, server, tool) DO NOTHING";
        self.write(TRUST, server, tools).boxed()
    }

    fn note_changed<'a>(
        &'a self,
        server: &'a str,
        tools: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), PinFault>> {
        const NOTE: &str = "
            UPDATE chat.tool_pins pins SET waiting = seen.fingerprint, changed_at = now()
            FROM unnest($2::text[], $3::text[]) AS seen (tool, fingerprint)
            WHERE pins.server = $1 AND pins.tool = seen.tool";
        self.write(NOTE, server, tools).boxed()
    }

    fn accept<'a>(&'a self, server: &'a str, tool: &'a str) -> BoxFuture<'a, Result<bool, PinFault>> {
        const ACCEPT: &str = "
            UPDATE chat.tool_pins SET accepted = waiting, waiting = NULL
            WHERE server = $1 AND tool = $2 AND waiting IS NOT NULL";
        let accepted = async move {
            let client = self.0.client().await.map_err(PinFault::new)?;
            let statement = client.prepare_cached(ACCEPT).await.map_err(PinFault::new)?;
            let count = client
                .execute(&statement, &[&server, &tool])
                .await
                .map_err(PinFault::new)?;
            Ok(count == 1)
        };
        accepted.boxed()
    }
}

impl Pins {
    async fn write(&self, statement: &str, server: &str, tools: &BTreeMap<String, String>) -> Result<(), PinFault> {
        let (names, prints): (Vec<_>, Vec<_>) = tools
            .iter()
            .map(|(name, print)| (name.as_str(), print.as_str()))
            .unzip();
        let client = self.0.client().await.map_err(PinFault::new)?;
        let statement = client.prepare_cached(statement).await.map_err(PinFault::new)?;
        client
            .execute(&statement, &[&server, &names, &prints])
            .await
            .map_err(PinFault::new)?;
        Ok(())
    }
}
