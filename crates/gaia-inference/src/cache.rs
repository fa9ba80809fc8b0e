//! What has been embedded before: in memory for every text, on disk for texts that a client asked to keep.

mod kept;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

pub(crate) use kept::Kept;

/// How many embeddings each of the two halves of the memory holds. Both full take about 13 MB.
const HALF: usize = 4_096;

/// What a text is known by: only its hash is ever stored, never the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TextHash([u8; 32]);

impl TextHash {
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

/// A text's vector and how many tokens it had.
#[derive(Debug, PartialEq)]
pub(crate) struct Embedding {
    pub(crate) vector: Vec<f32>,
    pub(crate) tokens: u32,
}

/// Two maps: when the younger is full it becomes the older, and what was in the older and not asked for since is
/// forgotten. That is nearly "forget the least recently used" at the price of one look-up.
#[derive(Default)]
struct Memory {
    younger: HashMap<TextHash, Arc<Embedding>>,
    older: HashMap<TextHash, Arc<Embedding>>,
}

impl Memory {
    fn get(&mut self, hash: TextHash) -> Option<Arc<Embedding>> {
        if let Some(found) = self.younger.get(&hash) {
            return Some(Arc::clone(found));
        }
        let found = self.older.remove(&hash)?;
        self.insert(hash, Arc::clone(&found));
        Some(found)
    }

    fn insert(&mut self, hash: TextHash, embedding: Arc<Embedding>) {
        if self.younger.len() >= HALF {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(hash, embedding);
    }
}

/// Where an embedding was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Memory,
    Disk,
}

/// The memory and the file together.
pub(crate) struct Cache {
    memory: Mutex<Memory>,
    kept: Kept,
}

impl Cache {
    pub(crate) fn new(kept: Kept) -> Self {
        Self {
            memory: Mutex::default(),
            kept,
        }
    }

    /// The embedding of a text, if it is known.
    pub(crate) fn get(&self, hash: TextHash) -> Option<(Arc<Embedding>, Found)> {
        let remembered = self.memory.lock().unwrap_or_else(PoisonError::into_inner).get(hash);
        if let Some(embedding) = remembered {
            return Some((embedding, Found::Memory));
        }
        let embedding = Arc::new(self.kept.get(hash)?);
        self.remember(hash, Arc::clone(&embedding));
        Some((embedding, Found::Disk))
    }

    /// Remembers an embedding until it is forgotten or the process ends.
    pub(crate) fn remember(&self, hash: TextHash, embedding: Arc<Embedding>) {
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash, embedding);
    }

    /// Writes an embedding to disk, unless it is there.
    pub(crate) fn keep(&self, hash: TextHash, embedding: &Embedding) {
        self.kept.insert(hash, embedding);
    }

    /// How many embeddings are on disk.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedding(value: f32) -> Arc<Embedding> {
        Arc::new(Embedding {
            vector: vec![value],
            tokens: 3,
        })
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let mut memory = Memory::default();
        let asked = TextHash::of("asked for again and again");
        let forgotten = TextHash::of("said once");
        memory.insert(asked, embedding(1.0));
        memory.insert(forgotten, embedding(2.0));
        for index in 0..HALF * 3 {
            memory.insert(TextHash::of(&index.to_string()), embedding(0.0));
            assert!(memory.get(asked).is_some());
        }
        assert!(memory.get(forgotten).is_none());
        assert!(memory.younger.len() + memory.older.len() <= HALF * 2);
    }
}
