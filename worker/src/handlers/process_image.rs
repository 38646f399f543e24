//! `process_image(image_id, width, height, fit, format, quality, grayscale)`: reads a stored picture, makes another of
//! it, stores that. By default a thumbnail whose longer side is 256 pixels, in the picture's own format.
//!
//! Invariant: what is wrong with the picture or the options is final; only trouble with the servers is retried.

use caraway_worker::{Context, Failure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::pipeline::{Fit, Format, Options, process};

mod pipeline;

#[derive(Deserialize)]
pub(crate) struct Args {
    image_id: Uuid,
    #[serde(default)]
    width: Option<u32>,
    #[serde(default)]
    height: Option<u32>,
    #[serde(default)]
    fit: Option<Fit>,
    #[serde(default)]
    format: Option<Format>,
    #[serde(default)]
    quality: Option<u8>,
    #[serde(default)]
    grayscale: Option<bool>,
}

/// The new picture's item, and what it is.
#[derive(Serialize)]
pub(crate) struct Processed {
    image_id: Uuid,
    width: u32,
    height: u32,
    format: Format,
    bytes: usize,
    sha256: String,
}

pub(crate) async fn run(args: Args, context: Context) -> Result<Processed, Failure> {
    let missing = || Failure::fatal("item_not_found", format!("there is no item {}", args.image_id));
    let input = context.item_content(args.image_id).await?.ok_or_else(missing)?;
    let options = Options {
        width: args.width,
        height: args.height,
        fit: args.fit.unwrap_or_default(),
        format: args.format,
        quality: args.quality,
        grayscale: args.grayscale.unwrap_or_default(),
    };
    // this task burns CPU, so its future runs on the blocking pool already
    let picture = process(&input, &options).map_err(|fault| Failure::fatal(fault.code(), fault.to_string()))?;
    let stored = context.put_item("result", picture.format.content_type(), picture.bytes.into()).await?;
    Ok(Processed {
        image_id: stored.id,
        width: picture.width,
        height: picture.height,
        format: picture.format,
        bytes: stored.content.len(),
        sha256: hex::encode(stored.sha256),
    })
}
