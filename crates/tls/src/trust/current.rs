//! The store that counts now, shared by everything that judges by it.

use std::sync::{Arc, PoisonError, RwLock};

use super::Store;

/// The pins as they are now. Clones are one: what is put into one of them, all of them judge by from then on, a handshake
/// that is under way included.
#[derive(Debug, Clone, Default)]
pub struct Current(Arc<RwLock<Arc<Store>>>);

impl Current {
    /// The store that counts now.
    #[must_use]
    pub fn get(&self) -> Arc<Store> {
        // The lock is held for a count only, in which nothing panics.
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&held)
    }

    /// Puts another store in its place, and gives the one before.
    pub fn set(&self, store: Arc<Store>) -> Arc<Store> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, store)
    }
}

impl From<Arc<Store>> for Current {
    fn from(store: Arc<Store>) -> Self {
        Self(Arc::new(RwLock::new(store)))
    }
}

impl From<Store> for Current {
    fn from(store: Store) -> Self {
        Arc::new(store).into()
    }
}
