//! `process_image(image_id, width, height, fit, …)`: reads a stored picture, makes another of it, stores that. By default a
//! thumbnail whose longer side is 256 pixels, in the picture's own format.
//!
//! The codecs run in a process of their own ([`codecs`]). Invariant: what is wrong with the picture or the options is
//! final; only trouble with the servers, or with this machine, is retried.

use std::sync::Arc;

use caraway_picture::{Background, Fit, Format, Gravity, Metadata, Options, Rotation};
use caraway_worker::{Context, Failure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

mod budget;
mod codec;
mod codecs;

pub(crate) use codecs::{Codecs, Settings};

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
    gravity: Option<Gravity>,
    #[serde(default)]
    without_enlargement: Option<bool>,
    #[serde(default)]
    background: Option<Background>,
    #[serde(default)]
    rotate: Option<Rotation>,
    #[serde(default)]
    blur: Option<f64>,
    #[serde(default)]
    sharpen: Option<f64>,
    #[serde(default)]
    page: Option<u32>,
    #[serde(default)]
    format: Option<Format>,
    #[serde(default)]
    quality: Option<u8>,
    #[serde(default)]
    lossless: Option<bool>,
    #[serde(default)]
    progressive: Option<bool>,
    #[serde(default)]
    grayscale: Option<bool>,
    #[serde(default)]
    keep_profile: Option<bool>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

impl Args {
    fn options(self) -> Options {
        Options {
            width: self.width,
            height: self.height,
            fit: self.fit.unwrap_or_default(),
            gravity: self.gravity.unwrap_or_default(),
            without_enlargement: self.without_enlargement.unwrap_or_default(),
            background: self.background,
            rotate: self.rotate.unwrap_or_default(),
            blur: self.blur,
            sharpen: self.sharpen,
            page: self.page.unwrap_or_default(),
            format: self.format,
            quality: self.quality,
            lossless: self.lossless.unwrap_or_default(),
            progressive: self.progressive.unwrap_or_default(),
            grayscale: self.grayscale.unwrap_or_default(),
            keep_profile: self.keep_profile.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
        }
    }
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

pub(crate) async fn run(args: Args, context: Context, codecs: Arc<Codecs>) -> Result<Processed, Failure> {
    let image_id = args.image_id;
    let missing = || Failure::fatal("item_not_found", format!("there is no item {image_id}"));
    let options = args.options();
    options.check().map_err(|fault| codecs::final_failure(&fault))?;
    let item = context.item(image_id).await?.ok_or_else(missing)?;
    let share = codecs.file_share(item.bytes).await?;
    let file = context.item_content(image_id).await?.ok_or_else(missing)?;
    let (made, bytes) = codecs.make(file, options).await?;
    drop(share);
    let stored = context.put_item("result", made.format.content_type(), bytes.into()).await?;
    Ok(Processed {
        image_id: stored.id,
        width: made.width,
        height: made.height,
        format: made.format,
        bytes: stored.content.len(),
        sha256: hex::encode(stored.sha256),
        warnings: made.warnings,
    })
}
