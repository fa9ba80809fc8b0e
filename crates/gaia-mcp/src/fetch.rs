//! Reading from elsewhere over HTTP: bounded in time and size.

use std::{io::Read, time::Duration};

use flate2::read::MultiGzDecoder;

use reqwest::{Client, ClientBuilder, Response, header::CONTENT_ENCODING, redirect};

/// How long finding the other side may take.
const CONNECT: Duration = Duration::from_secs(4);
/// How long a whole answer may take.
const WHOLE: Duration = Duration::from_secs(10);

/// A client that follows nothing by itself. A proxy from the environment could read keys and get around the refusal of
/// private addresses, so there is none.
pub(crate) fn client() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("gaia-mcp/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the answer is larger than {0} KiB")]
    TooLarge(usize),
    #[error("the answer broke off: {0}")]
    Broke(String),
}

/// The body, unpacked, if it is not larger than allowed.
pub(crate) async fn body(mut response: Response, largest: usize) -> Result<Vec<u8>, BodyFault> {
    let too_large = BodyFault::TooLarge(largest / 1024);
    let is_packed = response
        .headers()
        .get(CONTENT_ENCODING)
        .is_some_and(|how| how == "gzip" || how == "x-gzip");
    if response.content_length().is_some_and(|length| length > largest as u64) {
        return Err(too_large);
    }
    let mut whole = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|fault| BodyFault::Broke(said(fault)))? {
        if whole.len() + chunk.len() > largest {
            return Err(too_large);
        }
        whole.extend_from_slice(&chunk);
    }
    if is_packed {
        unpacked(&whole, largest)
    } else {
        Ok(whole)
    }
}

/// What was packed with gzip. A small body may hold gigabytes, so no more than allowed is unpacked.
fn unpacked(packed: &[u8], largest: usize) -> Result<Vec<u8>, BodyFault> {
    let mut whole = Vec::new();
    let unpacking = MultiGzDecoder::new(packed)
        .take(largest as u64 + 1)
        .read_to_end(&mut whole);
    unpacking.map_err(|fault| BodyFault::Broke(fault.to_string()))?;
    if whole.len() > largest {
        return Err(BodyFault::TooLarge(largest / 1024));
    }
    Ok(whole)
}

/// What went wrong, without the address: it may hold a key.
pub(crate) fn said(fault: reqwest::Error) -> String {
    if fault.is_timeout() {
        return "it took too long".to_owned();
    }
    let fault = fault.without_url();
    let mut deepest: &(dyn std::error::Error + 'static) = &fault;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}
