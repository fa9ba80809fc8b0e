//! The model itself: texts in, vectors of length one out.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use rayon::ThreadPool;
use sha2::{Digest, Sha256};
use tokenizers::{Tokenizer, TruncationParams};

use crate::models::{Model, State, hexadecimal, state};

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncoderError {
    #[error("the model `{name}` is not installed; install it with: gaia model pull {name}")]
    Absent { name: &'static str },
    #[error("the model `{name}` is damaged ({reason}); replace it with: gaia model pull {name}")]
    Damaged { name: &'static str, reason: String },
    #[error("the model's forward pass failed")]
    Compute(#[from] candle_core::Error),
    #[error("the text cannot be split into tokens: {0}")]
    Tokens(String),
    #[error("failed to start {threads} threads for the model")]
    Threads {
        threads: usize,
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

/// A text as the model reads it: at most the model's limit of tokens.
pub(crate) struct Tokens(Vec<u32>);

impl Tokens {
    /// How many there are; never 0, as each text is framed by two marks.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// A loaded embedding model.
pub(crate) struct Encoder {
    model: BertModel,
    tokenizer: Tokenizer,
    threads: ThreadPool,
    dimensions: usize,
}

impl Encoder {
    /// Reads the model's files, compares their hashes once more and builds the model.
    pub(crate) fn load(model: &'static Model, models_folder: &Path, threads: usize) -> Result<Self, EncoderError> {
        let name = model.name;
        match state(model, models_folder) {
            State::Installed => {}
            State::Absent => return Err(EncoderError::Absent { name }),
            State::Damaged { reason } => return Err(EncoderError::Damaged { name, reason }),
        }
        let read = |file| read_checked(model, models_folder, file);
        let damaged = |reason: String| EncoderError::Damaged { name, reason };
        let config: Config =
            serde_json::from_slice(&read("config.json")?).map_err(|error| damaged(error.to_string()))?;
        let mut tokenizer =
            Tokenizer::from_bytes(read("tokenizer.json")?).map_err(|error| damaged(error.to_string()))?;
        let truncation = TruncationParams {
            max_length: model.token_limit,
            ..TruncationParams::default()
        };
        // The file asks for padding to 128 tokens, which would cost a short text several times its time.
        tokenizer
            .with_padding(None)
            .with_truncation(Some(truncation))
            .map_err(|error| damaged(error.to_string()))?;
        // Mapping the file would be unsafe code; the buffer is freed as soon as the model is built.
        let weights = VarBuilder::from_buffered_safetensors(read("model.safetensors")?, DType::F32, &Device::Cpu)?;
        let bert = BertModel::load(weights, &config)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("embedding-{index}"))
            .build()
            .map_err(|source| EncoderError::Threads { threads, source })?;
        Ok(Self {
            model: bert,
            tokenizer,
            threads: pool,
            dimensions: model.dimensions,
        })
    }

    /// Splits a text into tokens, at most as many as the model reads.
    pub(crate) fn tokens(&self, text: &str) -> Result<Tokens, EncoderError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|error| EncoderError::Tokens(error.to_string()))?;
        Ok(Tokens(encoding.get_ids().to_vec()))
    }

    /// The vectors of some texts, in their order, by one forward pass. The shorter texts are padded to the longest,
    /// so a pass costs as much as if all were that long.
    pub(crate) fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, EncoderError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        self.threads.install(|| self.forward(texts))
    }

    fn forward(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, EncoderError> {
        let longest = texts.iter().map(|text| text.count()).max().unwrap_or(0);
        let padded = |of: fn(u32) -> u32| -> Vec<u32> {
            let row = |text: &&Tokens| {
                let padding = longest - text.count();
                text.0
                    .iter()
                    .map(|id| of(*id))
                    .chain(std::iter::repeat_n(0, padding))
                    .collect::<Vec<u32>>()
            };
            texts.iter().flat_map(row).collect()
        };
        let shape = (texts.len(), longest);
        let ids = Tensor::from_vec(padded(|id| id), shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(padded(|_| 1), shape, &Device::Cpu)?;
        let states = self
            .model
            .forward(&ids, &ids.zeros_like()?, Some(&mask))?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let rows = states.chunks_exact(longest * self.dimensions);
        Ok(rows
            .zip(texts)
            .map(|(row, text)| self.pool(row, text.count()))
            .collect())
    }

    /// The mean over a text's own tokens, padding left out, scaled to length one.
    fn pool(&self, states: &[f32], count: usize) -> Vec<f32> {
        let mut sum = vec![0_f32; self.dimensions];
        for state in states.chunks_exact(self.dimensions).take(count) {
            for (total, value) in sum.iter_mut().zip(state) {
                *total += value;
            }
        }
        // The mean and the sum point the same way, so scaling to length one takes care of the count too.
        let length = sum
            .iter()
            .map(|value| value * value)
            .sum::<f32>()
            .sqrt()
            .max(f32::MIN_POSITIVE);
        sum.iter_mut().for_each(|value| *value /= length);
        sum
    }
}

/// Reads a file of the model and compares its hash.
fn read_checked(model: &'static Model, models_folder: &Path, file: &str) -> Result<Vec<u8>, EncoderError> {
    let damaged = |reason| EncoderError::Damaged {
        name: model.name,
        reason,
    };
    let bytes = std::fs::read(models_folder.join(model.name).join(file))
        .map_err(|error| damaged(format!("`{file}` cannot be read: {error}")))?;
    if hexadecimal(&Sha256::digest(&bytes)) != model.hash_of(file) {
        return Err(damaged(format!("`{file}` has changed")));
    }
    Ok(bytes)
}
