//! What the models of a cluster's games cost, as the cluster says.

use chrono::NaiveDate;
use gaia_names::{ClusterName, GameId};
use gaia_protocol::costs::{By, Costs};
use reqwest::Method;

use crate::{DeployError, Home, observe};

/// What the models of one game cost, or of all games where the name is none of theirs.
///
/// # Errors
///
/// If there is no such cluster, or nobody there can say.
pub async fn costs(
    home: &Home,
    cluster: &ClusterName,
    game: Option<&GameId>,
    since: Option<NaiveDate>,
    by: By,
) -> Result<Vec<(GameId, Costs)>, DeployError> {
    let observed = observe(home, cluster).await?;
    let no_such_cluster = || DeployError::NoSuchCluster {
        cluster: cluster.clone(),
        home: home.path().to_owned(),
    };
    let (Some(record), Some(secrets)) = (&observed.record, &observed.secrets) else {
        return Err(no_such_cluster());
    };
    let named = game.filter(|game| record.bundles.contains_key(*game));
    let games = record
        .bundles
        .keys()
        .filter(|game| named.is_none_or(|named| named == *game));
    let mut all = Vec::new();
    for game in games {
        let fault = |why: String| DeployError::Admin {
            game: game.clone(),
            why,
        };
        let gateway = observed.gateway.as_ref();
        let gateway = gateway.ok_or_else(|| fault("its gateway does not run".to_owned()))?;
        let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
        let path = format!("costs/{game}?by={}{since}", by.as_str());
        let answer = gateway.ask(&secrets.admin_tokens(game), Method::GET, &path, None).await;
        all.push((game.clone(), answer.map_err(fault)?));
    }
    Ok(all)
}
