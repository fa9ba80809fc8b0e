//! What a cluster is made of where it runs in containers: the same parts for every such target.

pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod logs;
pub(crate) mod parts;
