//! What a password becomes: the work, its result, and the copy that saves the work next time.

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::Hash;

/// What a server wants a password hashed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(super) hash: Hash,
    pub(super) salt: Bytes,
    pub(super) rounds: u32,
}

/// Work of up to a second or so. It holds a copy of the password, and can be sent to another thread.
pub struct Job {
    recipe: Recipe,
    password: Zeroizing<String>,
}

impl Job {
    pub(crate) fn new(recipe: Recipe, password: Zeroizing<String>) -> Self {
        Self { recipe, password }
    }

    /// Does it.
    #[must_use]
    pub fn run(self) -> Keys {
        let Self { recipe, password } = self;
        let salted = recipe
            .hash
            .hi(password.as_bytes(), &recipe.salt, recipe.rounds);
        Keys {
            client: recipe.hash.hmac(&salted, b"Client Key"),
            server: recipe.hash.hmac(&salted, b"Server Key"),
            recipe,
        }
    }
}

/// What a log-in needs instead of the password (RFC 5802 §3), for one recipe.
#[derive(Clone)]
pub struct Keys {
    recipe: Recipe,
    client: Zeroizing<Vec<u8>>,
    server: Zeroizing<Vec<u8>>,
}

impl Keys {
    pub(crate) fn are_of(&self, recipe: &Recipe) -> bool {
        self.recipe == *recipe
    }

    pub(super) fn client(&self) -> &[u8] {
        &self.client
    }

    pub(super) fn server(&self) -> &[u8] {
        &self.server
    }
}

/// The keys of the last recipe: an account's salt stays, so a reconnection costs no work. Of one password only.
#[derive(Debug, Default)]
pub(crate) struct KeyCache {
    last: Option<Keys>,
}

impl KeyCache {
    pub(crate) fn keep(&mut self, keys: Keys) {
        self.last = Some(keys);
    }

    pub(crate) fn find(&self, recipe: &Recipe) -> Option<&Keys> {
        self.last.as_ref().filter(|keys| keys.are_of(recipe))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("recipe", &self.recipe)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("recipe", &self.recipe)
            .finish_non_exhaustive()
    }
}
