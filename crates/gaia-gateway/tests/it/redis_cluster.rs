//! A Redis in cluster mode that loses one of its nodes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::join_all;
use gaia_protocol::keys::{SHARDS, revocations_complete};
use gaia_service::{Redis, redis::Script};
use gaia_testkit::{ClusterOptions, TestCluster, Visitor, eventually};

/// In how many shards the revocations are complete, for the nodes that have them now.
async fn complete(redis: &Redis) -> usize {
    let is_marked = Script::new("return marked(KEYS[1]) and 1 or 0");
    let shards = join_all((0..SHARDS).map(async |shard| {
        let key = redis.key(revocations_complete(shard));
        redis.run::<bool>(&is_marked, &[key], &[]).await.unwrap_or(false)
    }));
    shards.await.into_iter().filter(|is_complete| *is_complete).count()
}

async fn until_complete(redis: &Redis) {
    eventually(
        "the revocations are complete, in every node that has them",
        async || (complete(redis).await == usize::from(SHARDS)).then_some(()),
    )
    .await;
}

/// Players whose sessions have ended, in about as many shards.
async fn signed_out(cluster: &TestCluster) -> Vec<Visitor> {
    let gone = join_all((0..16).map(|_| cluster.visitor())).await;
    for visitor in &gone {
        assert_eq!(visitor.delete("/v1/sessions/current").await.status, 204);
    }
    gone
}

#[tokio::test]
async fn turns_and_sign_ins_go_on_and_who_is_out_stays_out_while_a_node_is_lost() {
    let cluster = TestCluster::start_with(ClusterOptions {
        has_redis_cluster: true,
        ..ClusterOptions::default()
    })
    .await;
    let redis = cluster.game.redis();
    until_complete(&redis).await;
    let gone = signed_out(&cluster).await;
    let (is_over, turns, entered) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let plays = join_all((0..4).map(async |_| {
        let player = cluster.visitor().await;
        let conversation = player.start_conversation("guide").await;
        while !is_over.load(Ordering::Relaxed) {
            assert_eq!(player.say(&conversation, "Good evening").await.ok()["state"], "done");
            turns.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let enters = async {
        while !is_over.load(Ordering::Relaxed) {
            cluster.visitor().await;
            entered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let stays_out = async {
        while !is_over.load(Ordering::Relaxed) {
            for visitor in &gone {
                assert_eq!(visitor.get("/v1/players/me").await.code(), "session_ended");
            }
        }
    };
    let more = async |what: &str| {
        let before = (turns.load(Ordering::Relaxed), entered.load(Ordering::Relaxed));
        eventually(what, async || {
            let more = (
                turns.load(Ordering::Relaxed) - before.0,
                entered.load(Ordering::Relaxed) - before.1,
            );
            (more.0 >= 12 && more.1 >= 4).then_some(())
        })
        .await;
    };
    let story = async {
        more("players play").await;
        cluster.game.kill_redis_node_of(revocations_complete(0)).await;
        eventually("a node is missed", async || {
            (complete(&redis).await < usize::from(SHARDS)).then_some(())
        })
        .await;
        more("players play without a node").await;
        eventually(
            "another node has taken over and knows all that were signed out",
            async || (complete(&redis).await == usize::from(SHARDS)).then_some(()),
        )
        .await;
        more("players play as before").await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(plays, enters, stays_out, story);
}
