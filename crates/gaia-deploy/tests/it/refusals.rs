//! What apply and its like refuse before they touch anything.

use std::{collections::BTreeMap, fs, path::Path};

use gaia_deploy::{
    ApplyOptions, Blueprint, ClusterInput, DeployError, Event, GameInput, Home, Parent, Plan, Program, apply, destroy,
    list, observe, restart, status, stop,
};
use gaia_names::ClusterName;
use gaia_protocol::bundle::Bundle;

fn blueprint(game: &str) -> Blueprint {
    let bundle: Bundle = serde_json::from_value(serde_json::json!({
        "game": game, "generation": 0, "name": game, "theme": "dark", "personality": null,
        "response_time_target_ms": 500, "context_window": 5, "personas": [], "routes": [], "tool_servers": [],
        "features": {},
    }))
    .unwrap();
    let input = ClusterInput::dedicated(GameInput {
        bundle,
        route_keys: BTreeMap::new(),
        tool_secrets: BTreeMap::new(),
    });
    Blueprint::draw_up(input, &Parent::default()).unwrap()
}

fn options<'a>(program: &Path, on_event: &'a mut (dyn FnMut(Event) + Send)) -> ApplyOptions<'a> {
    let program = Program(program.to_owned());
    ApplyOptions {
        program,
        command: "gaia up kos".to_owned(),
        on_event,
        first_gateway_port: 7400,
    }
}

async fn planned(home: &Home, blueprint: &Blueprint) -> Plan {
    Plan::between(&observe(home, &blueprint.cluster).await.unwrap(), blueprint)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn a_home_that_is_too_deep_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("d".repeat(60))).unwrap();
    let blueprint = blueprint("a-game-with-a-rather-long-name");
    let plan = planned(&home, &blueprint).await;
    let fault = apply(&home, &plan, &blueprint, options(Path::new("/bin/false"), &mut |_| ()))
        .await
        .unwrap_err();
    assert!(matches!(fault, DeployError::SocketPath { .. }), "{fault}");
    assert!(fault.to_string().contains("GAIA_HOME"), "{fault}");
    assert!(is_empty(folder.path()));
}

#[tokio::test]
async fn a_plan_for_another_state_or_another_blueprint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    let (ours, theirs) = (blueprint("ours"), blueprint("theirs"));
    let mut plan = planned(&home, &ours).await;
    let program = Path::new("/bin/false");
    let fault = apply(&home, &plan, &theirs, options(program, &mut |_| ()))
        .await
        .unwrap_err();
    assert!(matches!(fault, DeployError::OtherBlueprint), "{fault}");
    plan.parent = 3;
    let fault = apply(&home, &plan, &ours, options(program, &mut |_| ()))
        .await
        .unwrap_err();
    assert!(
        matches!(
            fault,
            DeployError::Stale {
                planned: 3,
                found: 0,
                ..
            }
        ),
        "{fault}"
    );
    let fault = destroy(&home, &plan, options(program, &mut |_| ())).await.unwrap_err();
    assert!(matches!(fault, DeployError::OtherBlueprint), "{fault}");
    assert!(!home.cluster(&ours.cluster).path().exists());
}

#[tokio::test]
async fn a_failed_step_is_told_kept_and_goes_away_with_a_destroy() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    let blueprint = blueprint("kos");
    let plan = planned(&home, &blueprint).await;
    let mut events = Vec::new();
    // `false` is no supervisor: it ends at once.
    let outcome = apply(
        &home,
        &plan,
        &blueprint,
        options(Path::new("/bin/false"), &mut |event| events.push(event)),
    )
    .await;
    let fault = outcome.unwrap_err();
    assert!(
        fault.to_string().contains("serve supervisor failed (exit status: 1)"),
        "{fault}"
    );
    assert!(
        matches!(events.last(), Some(Event::Failed { step, .. }) if step.0 == "supervisor"),
        "{events:?}"
    );
    let told = status(&home, &blueprint.cluster).await.unwrap();
    assert!(
        told.why[0].contains("step `supervisor`") && told.why[0].contains("gaia up"),
        "{:?}",
        told.why
    );

    let again = planned(&home, &blueprint).await;
    assert_eq!((again.parent, again.generation), (1, 1));
    let ids: Vec<&str> = again.steps.iter().map(|step| step.id.0.as_str()).collect();
    assert_eq!(
        ids[..2],
        ["supervisor", "store:postgres"],
        "what was done is planned again"
    );

    let plan = Plan::destroying(&observe(&home, &blueprint.cluster).await.unwrap());
    destroy(&home, &plan, options(Path::new("/bin/false"), &mut |_| ()))
        .await
        .unwrap();
    assert!(list(&home).await.unwrap().is_empty() && !home.cluster(&blueprint.cluster).path().exists());
}

#[tokio::test]
async fn secrets_lie_in_files_that_only_their_owner_reads_and_nowhere_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    let blueprint = blueprint("kos");
    let mut told = String::new();
    let plan = planned(&home, &blueprint).await;
    let mut on_event = |event: Event| told.push_str(&serde_json::to_string(&event).unwrap());
    let fault = apply(
        &home,
        &plan,
        &blueprint,
        options(Path::new("/bin/false"), &mut on_event),
    )
    .await
    .unwrap_err();
    told.push_str(&format!("{fault:?}"));
    let cluster = home.cluster(&blueprint.cluster);
    let file = cluster.path().join("secrets.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secrets: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    told.push_str(&fs::read_to_string(cluster.path().join("cluster.json")).unwrap());
    for secret in ["postgres_superuser", "postgres_apply", "redis_apply", "nats_system"] {
        let secret = secrets[secret].as_str().unwrap();
        assert!(secret.len() == 43 && !told.contains(secret));
    }
    // And the superuser's password is not left where initdb read it.
    assert!(!cluster.path().join("postgres/password.new").exists());
}

#[tokio::test]
async fn data_without_its_record_is_neither_used_nor_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    let blueprint = blueprint("kos");
    let data = home.cluster(&blueprint.cluster).path().join("postgres/data");
    fs::create_dir_all(&data).unwrap();
    let plan = planned(&home, &blueprint).await;
    let fault = apply(&home, &plan, &blueprint, options(Path::new("/bin/false"), &mut |_| ()))
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("cluster.json"), "{fault}");
    assert!(data.exists());
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    let cluster: ClusterName = "nobody".parse().unwrap();
    let program = Path::new("/bin/false");
    let faults = [
        status(&home, &cluster).await.unwrap_err(),
        stop(&home, &cluster, options(program, &mut |_| ())).await.unwrap_err(),
        restart(&home, &cluster, "chat", options(program, &mut |_| ()))
            .await
            .unwrap_err(),
    ];
    for fault in faults {
        assert!(
            fault.to_string().contains("`gaia list` shows those that are there"),
            "{fault}"
        );
    }
    assert!(Plan::destroying(&observe(&home, &cluster).await.unwrap()).is_empty());
}
