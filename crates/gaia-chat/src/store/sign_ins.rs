//! What has become of the sign-ins of tool servers.

use std::time::{Duration, Instant};

use futures::{FutureExt, future::BoxFuture};
use gaia_names::Secret;
use gaia_service::{Postgres, Tasks};
use gaia_tools::{Alone, SignInStore, SignInStoreFault};
use uuid::Uuid;

/// How long one process waits for another to renew a sign-in. After as long, the other is taken for lost.
const RENEWING: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);

/// The sign-ins of one game.
#[derive(Clone)]
pub(crate) struct SignIns {
    postgres: Postgres,
    tasks: Tasks,
}

impl SignIns {
    pub(crate) fn new(postgres: &Postgres, tasks: &Tasks) -> Self {
        Self {
            postgres: postgres.clone(),
            tasks: tasks.clone(),
        }
    }

    /// Carries out a statement; says how many rows it changed.
    async fn write(
        &self,
        statement: &str,
        parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<u64, SignInStoreFault> {
        let client = self.postgres.client().await.map_err(SignInStoreFault::new)?;
        let statement = client.prepare_cached(statement).await.map_err(SignInStoreFault::new)?;
        client
            .execute(&statement, parameters)
            .await
            .map_err(SignInStoreFault::new)
    }

    async fn renew_alone(&self, server: &str) -> Result<Alone, SignInStoreFault> {
        const BEGIN: &str = "
            INSERT INTO chat.tool_sign_ins AS s (server, renewing, renewing_until)
            VALUES ($1, $2, now() + make_interval(secs => $3))
            ON CONFLICT (game_id, server) DO UPDATE
            SET renewing = excluded.renewing, renewing_until = excluded.renewing_until
            WHERE s.renewing IS NULL OR s.renewing_until < now()";
        let (who, began) = (Uuid::now_v7(), Instant::now());
        while self.write(BEGIN, &[&server, &who, &RENEWING.as_secs_f64()]).await? == 0 {
            if began.elapsed() > RENEWING {
                return Err(SignInStoreFault::new(
                    "another process renews the sign-in and does not end",
                ));
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(Box::new(Renewing {
            sign_ins: self.clone(),
            server: server.to_owned(),
            who,
        }))
    }
}

struct Renewing {
    sign_ins: SignIns,
    server: String,
    who: Uuid,
}

impl Drop for Renewing {
    fn drop(&mut self) {
        const END: &str = "
            UPDATE chat.tool_sign_ins SET renewing = NULL, renewing_until = NULL
            WHERE server = $1 AND renewing = $2";
        let (sign_ins, server, who) = (self.sign_ins.clone(), std::mem::take(&mut self.server), self.who);
        self.sign_ins.tasks.spawn(async move {
            if let Err(fault) = sign_ins.write(END, &[&server, &who]).await {
                tracing::warn!(server, error = %fault, "the sign-in of `{server}` can be renewed again in a moment");
            }
        });
    }
}

impl SignInStore for SignIns {
    fn kept<'a>(&'a self, server: &'a str, mark: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SignInStoreFault>> {
        const KEPT: &str = "SELECT tokens FROM chat.tool_sign_ins WHERE server = $1 AND mark = $2";
        let kept = async move {
            let client = self.postgres.client().await.map_err(SignInStoreFault::new)?;
            let statement = client.prepare_cached(KEPT).await.map_err(SignInStoreFault::new)?;
            let row = client.query_opt(&statement, &[&server, &mark]).await;
            let row = row.map_err(SignInStoreFault::new)?;
            Ok(row.map(|row| Secret::new(row.get::<_, &str>(0))))
        };
        kept.boxed()
    }

    fn keep<'a>(
        &'a self,
        server: &'a str,
        mark: &'a str,
        tokens: Secret,
    ) -> BoxFuture<'a, Result<(), SignInStoreFault>> {
        const KEEP: &str = "
            INSERT INTO chat.tool_sign_ins (server, mark, tokens) VALUES ($1, $2, $3)
            ON CONFLICT (game_id, server) DO UPDATE
            SET mark = excluded.mark, tokens = excluded.tokens, changed_at = now()";
        async move {
            self.write(KEEP, &[&server, &mark, &tokens.expose()]).await?;
            Ok(())
        }
        .boxed()
    }

    fn alone<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<Alone, SignInStoreFault>> {
        self.renew_alone(server).boxed()
    }
}
