//! The built-in tasks: the explicit list, one file each.

mod add;
mod echo;
mod fail;
mod fetch_data;
mod process_image;
mod sleep;

use std::{sync::Arc, time::Duration};

use caraway_worker::{Task, WorkerArgs};

/// Registered always.
pub(crate) fn built_in(args: &WorkerArgs) -> anyhow::Result<Vec<Task>> {
    let fetch_loopback = args.fetch_allow_loopback;
    let codecs = process_image::Codecs::new(process_image::Settings {
        program: args.picture_codecs.clone(),
        mebibytes: args.picture_mebibytes,
        megapixels: args.picture_megapixels,
    });
    let process = move |args, context| process_image::run(args, context, Arc::clone(&codecs));
    let image = Task::new("process_image", process)?.queue("images")?;
    let fetch = if fetch_loopback {
        Task::new("fetch_data", fetch_data::run_with_loopback)?
    } else {
        Task::new("fetch_data", fetch_data::run)?
    };
    // a picture has a minute of processor time; the rest is for waiting until there is memory for it
    Ok(vec![image.time_limit(Duration::from_mins(5)).burns_cpu(), fetch.time_limit(Duration::from_secs(40))])
}

/// Registered with `--demo-tasks`.
pub(crate) fn demo() -> anyhow::Result<Vec<Task>> {
    Ok(vec![
        Task::new("add", add::run)?,
        Task::new("echo", echo::run)?,
        Task::new("sleep", sleep::run)?,
        Task::new("fail", fail::run)?,
    ])
}
