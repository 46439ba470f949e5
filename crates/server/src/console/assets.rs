//! Style sheets, scripts and the font, compiled in. Addresses carry a hash of everything, so browsers keep them for ever.

use crate::{
    input::Path,
    problem::{Code, Problem},
};
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal, $kind:literal, $file:literal;)*) => {
        static ASSETS: &[Asset] =
            &[$(Asset { name: $name, kind: $kind, bytes: include_bytes!(concat!("../../assets/", $file)) }),*];
    };
}

assets! {
    "tokens.css", "text/css; charset=utf-8", "tokens.css";
    "console.css", "text/css; charset=utf-8", "console.css";
    "more.css", "text/css; charset=utf-8", "more.css";
    "atkinson-next.woff2", "font/woff2", "vendor/atkinson-hyperlegible-next/atkinson-next.woff2";
    "htmx.min.js", "text/javascript; charset=utf-8", "vendor/htmx/htmx.min.js";
    "hx-sse.min.js", "text/javascript; charset=utf-8", "vendor/htmx/hx-sse.min.js";
    "console.js", "text/javascript; charset=utf-8", "console.js";
    "icon.svg", "image/svg+xml", "icon.svg";
}

/// The hash in the addresses.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let mut hash = Sha256::new();
        ASSETS.iter().for_each(|asset| hash.update(asset.bytes));
        hex::encode(&hash.finalize()[..6])
    });
    &VERSION
}

/// `/assets/{version}/{name}`: an old version is answered with what there is now, but not kept.
pub async fn serve(Path((asked, name)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(|| Problem::of(Code::NotFound))?;
    let tag = format!("\"{}\"", version());
    let keep = if asked == version() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let meta = [(header::ETAG, tag), (header::CACHE_CONTROL, keep.to_owned()), (header::CONTENT_TYPE, asset.kind.to_owned())];
    Ok(match known {
        true => (StatusCode::NOT_MODIFIED, meta).into_response(),
        false => (meta, asset.bytes).into_response(),
    })
}
