//! The real model, the real server and real processes.

#[cfg(test)]
mod embeddings;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod models;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod support;
