//! The turns that a socket follows at the moment.

use std::{future::poll_fn, task::Poll};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use gaia_names::TurnId;
use gaia_protocol::{Fault, chat::TurnEvent};

use crate::turns::{Following, Place};

/// How many turns one socket may follow at once.
pub(super) const MOST: usize = 4;

/// An event, or why there are no more.
pub(super) type Happening = Result<TurnEvent, Fault>;

/// Empty for most sockets most of the time, and then it holds no memory.
#[derive(Default)]
pub(super) struct Flows {
    all: Vec<Flow>,
}

struct Flow {
    place: Place,
    events: BoxStream<'static, Happening>,
}

impl Flows {
    /// Whether there is room for this turn: it takes the place of an older following of the same turn.
    pub(super) fn has_room_for(&self, turn: TurnId) -> bool {
        self.all.iter().filter(|flow| flow.place.turn != turn).count() < MOST
    }

    pub(super) fn follow(&mut self, following: Following) {
        let place = *following.place();
        let events = stream::unfold(following, |mut following| async move {
            let event = following.next().await?;
            Some((event, following))
        });
        self.all.retain(|flow| flow.place.turn != place.turn);
        self.all.push(Flow {
            place,
            events: events.boxed(),
        });
    }

    /// The next event of any of the turns. Waits for ever where there is none.
    pub(super) async fn next(&mut self) -> (Place, Happening) {
        poll_fn(|context| {
            let mut index = 0;
            while let Some(flow) = self.all.get_mut(index) {
                match flow.events.poll_next_unpin(context) {
                    Poll::Ready(Some(event)) => return Poll::Ready((flow.place, event)),
                    Poll::Ready(None) => {
                        self.all.swap_remove(index);
                        if self.all.is_empty() {
                            self.all = Vec::new();
                        }
                    }
                    Poll::Pending => index += 1,
                }
            }
            Poll::Pending
        })
        .await
    }
}
