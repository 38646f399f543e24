//! The built-in tasks: the explicit list, one file each.

mod add;
mod echo;
mod fail;
mod fetch_data;
mod process_image;
mod sleep;

use std::time::Duration;

use caraway_worker::Task;

/// Registered always. `fetch_loopback`: `fetch_data` may reach this machine itself.
pub(crate) fn built_in(fetch_loopback: bool) -> anyhow::Result<Vec<Task>> {
    let image = Task::new("process_image", process_image::run)?.queue("images")?;
    let fetch = if fetch_loopback {
        Task::new("fetch_data", fetch_data::run_with_loopback)?
    } else {
        Task::new("fetch_data", fetch_data::run)?
    };
    Ok(vec![image.time_limit(Duration::from_mins(1)).burns_cpu(), fetch.time_limit(Duration::from_secs(40))])
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
