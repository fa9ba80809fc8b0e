//! Others in the place of secrets.

use insta::assert_snapshot;

use super::{after, first, input};
use crate::{Blueprint, Observed, Plan, plan::ids};

#[test]
fn a_rotation_lets_the_stores_know_both_and_then_moves_the_services() {
    let observed = after(&first());
    let blueprint = Blueprint::draw_up(input("dark"), &observed.parent()).unwrap();
    assert_snapshot!(Plan::rotating(&observed, &blueprint).unwrap(), @r#"
    cluster `kos`, generation 1, put right
      change   secrets:new        others were asked for; the former ones hold until nothing uses them
      change   postgres:roles     others are to log in
      change   redis:users        others are to log in
      change   nats:accounts      others are to log in
      restart  service:auth-1     it is to use other secrets
                                  meanwhile nobody can sign in
      restart  service:chat-1     it is to use other secrets
                                  meanwhile messages get no reply
      restart  service:gateway-1  it is to use other secrets
                                  meanwhile players' connections close; they connect again
      remove   secrets:former     no service uses them any more: the stores are to forget them
    0 to create, 4 to change, 3 to restart, 1 to remove
    "#);
}

#[test]
fn a_rotation_that_was_begun_goes_on_and_no_other_is_begun() {
    let mut observed = after(&first());
    let blueprint = Blueprint::draw_up(input("dark"), &observed.parent()).unwrap();
    observed.secrets.as_mut().unwrap().rotate().unwrap();
    let steps = |observed: &Observed| {
        let plan = Plan::between(observed, &blueprint);
        assert_eq!(plan, Plan::rotating(observed, &blueprint).unwrap());
        assert!(plan.steps.iter().all(|step| step.drift.is_none()), "{plan}");
        let ids = plan.steps.into_iter().map(|step| step.id.0);
        ids.filter(|id| !id.starts_with("service:")).collect::<Vec<_>>()
    };
    let and_then = |last| [ids::POSTGRES_ROLES, ids::REDIS_USERS, ids::NATS_ACCOUNTS, last].to_vec();
    assert_eq!(steps(&observed), and_then(ids::FORMER_SECRETS));
    observed.secrets.as_mut().unwrap().former.as_mut().unwrap().are_ending = true;
    assert_eq!(steps(&observed), and_then(ids::FORGOTTEN_SECRETS));
}
