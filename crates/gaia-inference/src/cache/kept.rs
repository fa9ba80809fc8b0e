//! Embeddings that outlive the process: a file of fixed-size records that is only ever appended to.
//!
//! The file opens with a mark and the hash of the model's weights; then follow the records: the text's SHA-256, its
//! number of tokens, its vector, and a check over those. A record that was half written when the machine stopped
//! fails its check and is cut off with all that follows. It is a cache: whatever is wrong with it, it is begun anew,
//! and a write that fails costs a later computation and nothing else.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::{Embedding, TextHash};
use crate::models::Model;

/// Opens the file. The number changes with the layout and with how vectors are computed.
const MARK: &[u8; 16] = b"gaia-embedding-1";

/// Mark and model hash.
const HEADER_BYTES: usize = MARK.len() + 32;

/// How many bytes of the record's own hash end each record.
const CHECK_BYTES: usize = 8;

/// How large the file may get. With 384 dimensions that is about 42,000 texts.
const LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// The file, and where in it each text's record lies.
pub(crate) struct Kept(Mutex<Inner>);

struct Inner {
    /// `None` after a failure: nothing is kept until the process starts anew.
    file: Option<File>,
    index: HashMap<TextHash, u64>,
    header: [u8; HEADER_BYTES],
    dimensions: usize,
    end: u64,
    limit: u64,
}

impl Kept {
    /// Opens the file of a model, reads what is sound in it and drops the rest. A file that cannot be opened is
    /// logged, and then nothing is kept.
    pub(crate) fn open(path: &Path, model: &Model) -> Self {
        Self::open_with_limit(path, model, LIMIT_BYTES)
    }

    fn open_with_limit(path: &Path, model: &Model, limit: u64) -> Self {
        let mut header = [0; HEADER_BYTES];
        header[..MARK.len()].copy_from_slice(MARK);
        header[MARK.len()..].copy_from_slice(&Sha256::digest(model.hash_of("model.safetensors").as_bytes()));
        let index = HashMap::new();
        let mut inner = Inner {
            file: None,
            index,
            header,
            dimensions: model.dimensions,
            end: 0,
            limit,
        };
        if let Err(error) = inner.load(path) {
            tracing::warn!("embeddings are not kept on disk: `{}`: {error}", path.display());
            inner.file = None;
        }
        Self(Mutex::new(inner))
    }

    pub(crate) fn get(&self, hash: TextHash) -> Option<Embedding> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = *inner.index.get(&hash)?;
        let mut record = vec![0; inner.record_bytes()];
        inner.file.as_ref()?.read_exact_at(&mut record, offset).ok()?;
        inner
            .decode(&record)
            .filter(|(found, _)| *found == hash)
            .map(|(_, embedding)| embedding)
    }

    pub(crate) fn insert(&self, hash: TextHash, embedding: &Embedding) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.index.contains_key(&hash) || embedding.vector.len() != inner.dimensions {
            return;
        }
        if let Err(error) = inner.append(hash, embedding) {
            tracing::warn!("embeddings are no longer kept on disk: {error}");
            inner.file = None;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).index.len()
    }
}

impl Inner {
    fn record_bytes(&self) -> usize {
        32 + 4 + self.dimensions * 4 + CHECK_BYTES
    }

    fn load(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(256 * 1024, file.try_clone()?);
        let mut header = [0; HEADER_BYTES];
        let known = length <= self.limit && reader.read_exact(&mut header).is_ok() && header == self.header;
        self.file = Some(file);
        if !known {
            return self.begin_anew();
        }
        self.end = HEADER_BYTES as u64;
        let mut record = vec![0; self.record_bytes()];
        while reader.read_exact(&mut record).is_ok() {
            let Some((hash, _)) = self.decode(&record) else { break };
            self.index.insert(hash, self.end);
            self.end += record.len() as u64;
        }
        let end = self.end;
        self.file.as_ref().map_or(Ok(()), |file| file.set_len(end))
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.index.clear();
        self.end = HEADER_BYTES as u64;
        let Some(file) = &self.file else { return Ok(()) };
        file.set_len(0)?;
        file.write_all_at(&self.header, 0)
    }

    fn append(&mut self, hash: TextHash, embedding: &Embedding) -> io::Result<()> {
        let record = encode(hash, embedding);
        if self.end + record.len() as u64 > self.limit {
            tracing::info!(
                "the kept embeddings have reached {} bytes and are begun anew",
                self.limit
            );
            self.begin_anew()?;
        }
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(&record, self.end)?;
        self.index.insert(hash, self.end);
        self.end += record.len() as u64;
        Ok(())
    }

    fn decode(&self, record: &[u8]) -> Option<(TextHash, Embedding)> {
        let (content, given) = record.split_at_checked(record.len().checked_sub(CHECK_BYTES)?)?;
        if check(content) != given {
            return None;
        }
        let (hash, rest) = content.split_first_chunk::<32>()?;
        let (tokens, vector) = rest.split_first_chunk::<4>()?;
        let vector = vector
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        Some((
            TextHash(*hash),
            Embedding {
                vector,
                tokens: u32::from_le_bytes(*tokens),
            },
        ))
    }
}

fn encode(hash: TextHash, embedding: &Embedding) -> Vec<u8> {
    let mut record = Vec::with_capacity(32 + 4 + embedding.vector.len() * 4 + CHECK_BYTES);
    // Writing into a vector cannot fail.
    let _ = record.write_all(&hash.0);
    record.extend(embedding.tokens.to_le_bytes());
    record.extend(embedding.vector.iter().flat_map(|value| value.to_le_bytes()));
    let check = check(&record);
    record.extend(check);
    record
}

fn check(content: &[u8]) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::digest(content).into();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{EMBEDDING_MODEL, Kind, ModelFile, find};

    fn model() -> &'static Model {
        find(EMBEDDING_MODEL).unwrap()
    }

    fn embedding(seed: u16) -> Embedding {
        Embedding {
            vector: (0..384)
                .map(|index| f32::from(seed) + f32::from(index as u16) / 7.0)
                .collect(),
            tokens: 9,
        }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn what_was_kept_is_there_after_opening_again() {
        let folder = folder();
        let path = folder.path().join("kept");
        Kept::open(&path, model()).insert(TextHash::of("a"), &embedding(1));
        Kept::open(&path, model()).insert(TextHash::of("b"), &embedding(2));
        let kept = Kept::open(&path, model());
        assert_eq!(kept.get(TextHash::of("a")), Some(embedding(1)));
        assert_eq!(kept.get(TextHash::of("b")), Some(embedding(2)));
        assert_eq!(kept.get(TextHash::of("c")), None);
    }

    #[test]
    fn a_torn_tail_is_cut_off_at_every_length_and_the_file_goes_on() {
        let folder = folder();
        let path = folder.path().join("kept");
        let kept = Kept::open(&path, model());
        kept.insert(TextHash::of("a"), &embedding(1));
        kept.insert(TextHash::of("b"), &embedding(2));
        drop(kept);
        let whole = std::fs::read(&path).unwrap();
        let record = 32 + 4 + 384 * 4 + CHECK_BYTES;
        for cut in (1..record).step_by(97) {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let kept = Kept::open(&path, model());
            assert_eq!(kept.len(), 1, "cut {cut}");
            kept.insert(TextHash::of("b"), &embedding(3));
            drop(kept);
            let kept = Kept::open(&path, model());
            assert_eq!(kept.get(TextHash::of("a")), Some(embedding(1)));
            assert_eq!(kept.get(TextHash::of("b")), Some(embedding(3)));
        }
    }

    #[test]
    fn a_changed_byte_costs_that_record_and_those_after_it() {
        let folder = folder();
        let path = folder.path().join("kept");
        let kept = Kept::open(&path, model());
        for seed in 0..3 {
            kept.insert(TextHash::of(&seed.to_string()), &embedding(seed));
        }
        drop(kept);
        let mut bytes = std::fs::read(&path).unwrap();
        let record = 32 + 4 + 384 * 4 + CHECK_BYTES;
        bytes[HEADER_BYTES + record + 100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Kept::open(&path, model()).len(), 1);
    }

    #[test]
    fn another_model_or_a_foreign_file_begins_anew() {
        const OTHER: Model = Model {
            name: "other",
            kind: Kind::Embedding,
            dimensions: 384,
            token_limit: 256,
            licence: "",
            licence_note: "",
            package: "",
            package_version: "",
            package_sha256: "",
            package_bytes: 0,
            files: &[ModelFile {
                name: "model.safetensors",
                inside: "",
                bytes: 0,
                sha256: "00",
            }],
        };
        let folder = folder();
        let path = folder.path().join("kept");
        Kept::open(&path, model()).insert(TextHash::of("a"), &embedding(1));
        assert_eq!(Kept::open(&path, &OTHER).len(), 0);
        assert_eq!(Kept::open(&path, model()).len(), 0);
        std::fs::write(&path, "something else altogether").unwrap();
        let kept = Kept::open(&path, model());
        kept.insert(TextHash::of("a"), &embedding(1));
        assert_eq!(Kept::open(&path, model()).len(), 1);
    }

    #[test]
    fn a_full_file_is_begun_anew_and_never_larger_than_its_limit() {
        let folder = folder();
        let path = folder.path().join("kept");
        let kept = Kept::open_with_limit(&path, model(), 5_000);
        for seed in 0..10 {
            kept.insert(TextHash::of(&seed.to_string()), &embedding(seed));
            assert!(std::fs::metadata(&path).unwrap().len() <= 5_000);
            assert_eq!(kept.get(TextHash::of(&seed.to_string())), Some(embedding(seed)));
        }
        assert!(kept.len() <= 3);
    }
}
