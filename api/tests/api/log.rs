//! The log of a running API, line by line.

use std::{
    io::{BufRead, BufReader},
    process::ChildStderr,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::eventually::eventually;

/// What the process wrote to its log so far.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn follow(pipe: ChildStderr) -> Self {
        let log = Self(Arc::default());
        let lines = Arc::clone(&log.0);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        log
    }

    /// The first line with this message, once it is there.
    pub async fn line(&self, message: &str) -> Value {
        let what = format!("the line {message:?} in the log");
        eventually(&what, || {
            let lines = self.0.lock().unwrap();
            let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["message"] == message)
        })
        .await
    }

    pub fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}
