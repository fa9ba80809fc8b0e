//! How many connections there may be, in all and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most connections to one listener.
pub(crate) const MOST: usize = 18_000;
/// The most from one address: enough for a school behind one router. Our own machine is not limited, because there the
/// address says nothing: proxies and load tests connect from it.
pub(crate) const MOST_FROM_ONE_ADDRESS: usize = 2_000;

/// The seats of one listener.
#[derive(Clone)]
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most_from_one_address: usize,
    open: Gauge,
}

/// One connection's seat; dropping it frees the seat.
pub(crate) struct Seat {
    seats: Seats,
    address: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    pub(crate) fn new(most: usize, most_from_one_address: usize, open: Gauge) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            taken: Arc::default(),
            most_from_one_address,
            open,
        }
    }

    /// A seat, unless all are taken or this address has its share.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Arc<Seat>> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let address = address.to_canonical();
        let address = (!address.is_loopback()).then_some(address);
        if let Some(address) = address {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let count = taken.entry(address).or_default();
            if *count >= self.most_from_one_address {
                return None;
            }
            *count += 1;
        }
        self.open.increment(1);
        Some(Arc::new(Seat {
            seats: self.clone(),
            address,
            _permit: permit,
        }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.open.decrement(1);
        let Some(address) = self.address else { return };
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_limited_in_all_and_by_address_and_come_back() {
        let seats = Seats::new(4, 2, Gauge::noop());
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = seats.take(one).unwrap();
        let _second = seats.take(one).unwrap();
        assert!(seats.take(one).is_none(), "one address took more than its share");
        let _third = seats.take(other).unwrap();
        let _fourth = seats.take("127.0.0.1".parse().unwrap()).unwrap();
        assert!(seats.take(other).is_none(), "there were more seats than there are");
        drop(first);
        let again = seats.take(one).unwrap();
        drop(again);
        assert_eq!(seats.taken.lock().unwrap().len(), 2);
    }
}
