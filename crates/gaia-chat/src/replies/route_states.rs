//! How the routes have been doing, for whoever asks why a character does not answer by a better one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The routes that failed when they were last used, with why.
#[derive(Default)]
pub(crate) struct RouteStates(Mutex<HashMap<String, String>>);

impl RouteStates {
    pub(super) fn works(&self, route: &str) {
        self.lock().remove(route);
    }

    /// True if it worked before.
    pub(super) fn fails(&self, route: &str, why: String) -> bool {
        self.lock().insert(route.to_owned(), why).is_none()
    }

    pub(super) fn failing(&self, route: &str) -> Option<String> {
        self.lock().get(route).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
