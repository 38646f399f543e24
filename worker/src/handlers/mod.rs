//! The built-in tasks: the explicit list, one file each.

mod add;
mod echo;
mod fail;
mod process_image;
mod sleep;

use std::time::Duration;

use caraway_worker::Task;

/// Registered always.
pub(crate) fn built_in() -> anyhow::Result<Vec<Task>> {
    let image = Task::new("process_image", process_image::run)?.queue("images")?;
    Ok(vec![image.time_limit(Duration::from_mins(1)).burns_cpu()])
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
