//! Making a Redis cluster of its nodes, from wherever they are: new, half made, or made for another number of them.
//!
//! The first half of the nodes have the keys, a share each, and the second half follow them. Looked at and mended again
//! until there is nothing to mend, so it may end anywhere and be begun again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use gaia_protocol::settings::RedisAccess;
use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};
use tokio::{net::lookup_host, time::sleep};

use super::{Admin, connect, nodes};
use crate::DeployError;

/// How long it may take until all is as it should be.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the nodes are looked at meanwhile.
const STEP: Duration = Duration::from_millis(100);
/// How many slots all keys are spread over.
const SLOTS: usize = 16_384;

/// The first and the last of some slots.
type Share = (usize, usize);

/// A node that may be asked.
struct Node {
    access: Admin<RedisAccess>,
    connection: MultiplexedConnection,
}

/// What a node says of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    id: String,
    /// Its own slots.
    shares: Vec<Share>,
    /// Whom it follows.
    follows: Option<String>,
    /// Whom it knows, and whether they have slots, as far as it knows.
    others: BTreeMap<String, bool>,
}

/// What is done next.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    /// All nodes meet each other.
    Meet,
    /// All nodes forget everything, what they hold too.
    BeginAnew,
    /// A node gets slots.
    Give(usize, Share),
    /// A node follows another.
    Follow(usize, String),
    /// Something is about to change by itself.
    Wait,
}

/// Makes a cluster of the nodes, unless they are one. What they hold may be forgotten where their number has changed.
///
/// # Errors
///
/// If a node does not answer or refuses, or they do not come together in a minute.
pub(crate) async fn form(owner: &Admin<RedisAccess>) -> Result<(), DeployError> {
    let mut all = Vec::new();
    for access in nodes(owner) {
        let connection = connect(&access).await?;
        all.push(Node { access, connection });
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let mut seen = Vec::new();
        for node in &mut all {
            let text: String = node
                .ask("look at the cluster", redis::cmd("CLUSTER").arg("NODES"))
                .await?;
            seen.push(read(&text));
        }
        let moves = moves(&seen);
        if moves.is_empty() && are_well(&mut all).await? {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(DeployError::Silent {
                what: "the Redis cluster".to_owned(),
                seconds: PATIENCE.as_secs(),
                why: format!("its nodes do not come together; next would be {moves:?}"),
            });
        }
        for one in moves {
            carry_out(&mut all, one).await?;
        }
        sleep(STEP).await;
    }
}

/// The place of the node that has a key.
pub(crate) async fn place_of(owner: &Admin<RedisAccess>, key: &str) -> Result<Option<usize>, DeployError> {
    for (place, access) in nodes(owner).enumerate() {
        let Ok(connection) = connect(&access).await else {
            continue;
        };
        let mut node = Node { access, connection };
        let slot: usize = node
            .ask("ask for a slot", redis::cmd("CLUSTER").arg("KEYSLOT").arg(key))
            .await?;
        let text: String = node
            .ask("look at the cluster", redis::cmd("CLUSTER").arg("NODES"))
            .await?;
        if read(&text)
            .shares
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&slot))
        {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

impl Node {
    async fn ask<T: FromRedisValue>(&mut self, doing: &'static str, command: &Cmd) -> Result<T, DeployError> {
        let asked = command.query_async(&mut self.connection).await;
        asked.map_err(DeployError::redis(doing))
    }
}

/// Whether each node says that the cluster works.
async fn are_well(all: &mut [Node]) -> Result<bool, DeployError> {
    for node in all {
        let said: String = node
            .ask("ask for the cluster's state", redis::cmd("CLUSTER").arg("INFO"))
            .await?;
        if !said.contains("cluster_state:ok") {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn carry_out(all: &mut [Node], one: Move) -> Result<(), DeployError> {
    match one {
        Move::Wait => Ok(()),
        Move::Meet => meet(all).await,
        Move::BeginAnew => {
            tracing::warn!("the nodes of Redis are divided anew; what they held is forgotten");
            for node in all.iter_mut() {
                // Only a master can be emptied, and only an empty one takes part anew.
                let _: Result<(), _> = node.ask("empty it", &redis::cmd("FLUSHALL")).await;
                node.ask::<()>("leave the cluster", redis::cmd("CLUSTER").arg("RESET").arg("SOFT"))
                    .await?;
            }
            Ok(())
        }
        Move::Give(index, (first, last)) => {
            let mut give = redis::cmd("CLUSTER");
            give.arg("ADDSLOTSRANGE").arg(first).arg(last);
            all[index].ask("give a node its share", &give).await
        }
        Move::Follow(index, master) => {
            let mut follow = redis::cmd("CLUSTER");
            follow.arg("REPLICATE").arg(master);
            all[index].ask("have a node follow another", &follow).await
        }
    }
}

async fn meet(all: &mut [Node]) -> Result<(), DeployError> {
    let mut addresses = Vec::new();
    for node in all.iter() {
        let found = lookup_host(&node.access.access.address).await;
        let found = found.map(|mut found| found.next());
        let missing = || std::io::Error::other(format!("{} has no address", node.access.access.address));
        let address = found.and_then(|found| found.ok_or_else(missing));
        addresses.push(address.map_err(|source| DeployError::System {
            doing: "find the nodes of Redis",
            source,
        })?);
    }
    for (index, node) in all.iter_mut().enumerate() {
        for (_, other) in addresses.iter().enumerate().filter(|(other, _)| *other != index) {
            let mut meet = redis::cmd("CLUSTER");
            meet.arg("MEET").arg(other.ip().to_string()).arg(other.port());
            node.ask::<()>("have the nodes meet", &meet).await?;
        }
    }
    Ok(())
}

/// What is to be done, from what each node says. Nothing where all is as it should be.
fn moves(seen: &[Seen]) -> Vec<Move> {
    let ours: BTreeSet<&String> = seen.iter().map(|node| &node.id).collect();
    let knows_all = |node: &Seen| ours.iter().all(|id| **id == node.id || node.others.contains_key(*id));
    if !seen.iter().all(knows_all) {
        return vec![Move::Meet];
    }
    let wanted: Vec<Share> = shares(seen.len() / 2);
    let owned: Vec<Share> = seen.iter().flat_map(|node| node.shares.iter().copied()).collect();
    let is_strange = |node: &Seen| {
        let of_strangers = node
            .others
            .iter()
            .any(|(id, has_slots)| *has_slots && !ours.contains(id));
        node.shares.len() > 1 || node.shares.iter().any(|share| !wanted.contains(share)) || of_strangers
    };
    if seen.iter().any(is_strange) {
        return vec![Move::BeginAnew];
    }
    if owned.iter().collect::<BTreeSet<_>>().len() < owned.len() {
        // One has taken over from the other, which is about to notice.
        return vec![Move::Wait];
    }
    let mut moves = Vec::new();
    let owners: BTreeSet<&String> = seen
        .iter()
        .filter(|node| !node.shares.is_empty())
        .map(|node| &node.id)
        .collect();
    let follows_an_owner = |node: &Seen| node.follows.as_ref().is_some_and(|id| owners.contains(id));
    let idle = seen.iter().enumerate();
    let mut idle = idle
        .filter(|(_, node)| node.shares.is_empty() && !follows_an_owner(node))
        .peekable();
    let mut followers: BTreeMap<&String, usize> = owners.iter().map(|id| (*id, 0)).collect();
    for node in seen.iter().filter(|node| follows_an_owner(node)) {
        if let Some(count) = node.follows.as_ref().and_then(|id| followers.get_mut(id)) {
            *count += 1;
        }
    }
    for share in wanted.into_iter().filter(|share| !owned.contains(share)) {
        match idle.next_if(|(_, node)| node.follows.is_none()) {
            Some((index, node)) => {
                moves.push(Move::Give(index, share));
                followers.insert(&node.id, 0);
            }
            None => return vec![Move::BeginAnew],
        }
    }
    for (index, _) in idle {
        // Those that come first have the fewest, in the order of the nodes.
        let fewest = seen
            .iter()
            .filter_map(|node| Some((*followers.get(&node.id)?, &node.id)));
        if let Some((_, id)) = fewest.min_by_key(|(count, _)| *count) {
            moves.push(Move::Follow(index, id.clone()));
            followers.entry(id).and_modify(|count| *count += 1);
        }
    }
    moves
}

/// All slots, in even shares.
fn shares(count: usize) -> Vec<Share> {
    let share = |index: usize| (SLOTS * index / count, SLOTS * (index + 1) / count - 1);
    (0..count).map(share).collect()
}

/// Reads what `CLUSTER NODES` says: a line for each node, with its id, address, flags, master, five things that do not
/// matter here, and its slots.
fn read(text: &str) -> Seen {
    let mut seen = Seen::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [id, _, flags, master, _, _, _, _, slots @ ..] = words.as_slice() else {
            continue;
        };
        let flags: Vec<&str> = flags.split(',').collect();
        // A slot on its way to another node is said in brackets.
        let slots: Vec<Share> = slots.iter().filter_map(|slots| share_of(slots)).collect();
        if flags.contains(&"myself") {
            (*id).clone_into(&mut seen.id);
            seen.shares = slots;
            seen.follows = (*master != "-").then(|| (*master).to_owned());
        } else if !flags.contains(&"handshake") {
            seen.others.insert((*id).to_owned(), !slots.is_empty());
        }
    }
    seen
}

fn share_of(slots: &str) -> Option<Share> {
    let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six nodes of which each knows all others: with slots, or following somebody.
    fn six(states: [(&[Share], Option<&str>); 6]) -> Vec<Seen> {
        let id = |index: usize| format!("n{index}");
        let node = |(index, (shares, follows)): (usize, (&[Share], Option<&str>))| Seen {
            id: id(index),
            shares: shares.to_vec(),
            follows: follows.map(str::to_owned),
            others: (0..6)
                .filter(|other| *other != index)
                .map(|other| (id(other), false))
                .collect(),
        };
        states.into_iter().enumerate().map(node).collect()
    }

    const A: Share = (0, 5_460);
    const B: Share = (5_461, 10_921);
    const C: Share = (10_922, 16_383);

    #[test]
    fn new_nodes_meet_and_then_the_first_half_has_the_keys_and_the_second_follows() {
        let mut new = six([(&[], None); 6]);
        new[3].others.clear();
        assert_eq!(moves(&new), [Move::Meet]);
        let follow = |index, id: &str| Move::Follow(index, id.to_owned());
        assert_eq!(
            moves(&six([(&[], None); 6])),
            [
                Move::Give(0, A),
                Move::Give(1, B),
                Move::Give(2, C),
                follow(3, "n0"),
                follow(4, "n1"),
                follow(5, "n2"),
            ]
        );
    }

    #[test]
    fn what_ended_in_the_middle_goes_on_and_what_is_done_is_left_alone() {
        let half = six([
            (&[A], None),
            (&[], None),
            (&[], None),
            (&[], Some("n0")),
            (&[], None),
            (&[], None),
        ]);
        assert_eq!(
            moves(&half),
            [
                Move::Give(1, B),
                Move::Give(2, C),
                Move::Follow(4, "n1".to_owned()),
                Move::Follow(5, "n2".to_owned()),
            ]
        );
        let taken_over = six([
            (&[], Some("n3")),
            (&[B], None),
            (&[C], None),
            (&[A], None),
            (&[], Some("n1")),
            (&[], Some("n2")),
        ]);
        assert_eq!(moves(&taken_over), []);
    }

    #[test]
    fn a_new_node_in_the_place_of_a_lost_one_follows_who_has_nobody() {
        let new = six([
            (&[], None),
            (&[B], None),
            (&[C], None),
            (&[A], None),
            (&[], Some("n1")),
            (&[], Some("n2")),
        ]);
        assert_eq!(moves(&new), [Move::Follow(0, "n3".to_owned())]);
    }

    #[test]
    fn another_number_of_nodes_and_slots_that_a_lost_node_has_begin_anew() {
        let halves: [Share; 2] = [(0, 8_191), (8_192, 16_383)];
        let two = six([
            (&halves[..1], None),
            (&halves[1..], None),
            (&[], None),
            (&[], None),
            (&[], None),
            (&[], None),
        ]);
        assert_eq!(moves(&two), [Move::BeginAnew]);
        let mut lost = six([
            (&[A], None),
            (&[B], None),
            (&[], None),
            (&[], Some("n0")),
            (&[], Some("n1")),
            (&[], None),
        ]);
        lost[0].others.insert("gone".to_owned(), true);
        assert_eq!(moves(&lost), [Move::BeginAnew]);
    }

    #[test]
    fn what_a_node_says_is_read() {
        let text = "a1 10.0.0.1:6379@16379,redis-1 myself,master - 0 1 1 connected 0-5460 5462 [5461->-b2]\n\
                    b2 10.0.0.2:6379@16379,redis-2 master - 0 1 2 connected 5463-16383\n\
                    c3 10.0.0.3:6379@16379 handshake - 0 1 0 connected\n\
                    d4 10.0.0.4:6379@16379,redis-4 slave a1 0 1 1 connected\n";
        let seen = read(text);
        assert_eq!((seen.id.as_str(), &seen.follows), ("a1", &None));
        assert_eq!(seen.shares, [(0, 5_460), (5_462, 5_462)]);
        assert_eq!(seen.others, [("b2".to_owned(), true), ("d4".to_owned(), false)].into());
        assert_eq!(
            read("d4 10.0.0.4:6379@16379 myself,slave a1 0 1 1 connected")
                .follows
                .as_deref(),
            Some("a1")
        );
    }
}
