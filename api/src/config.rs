//! What the binary is told, by flag or by variable. `.env.example` lists every variable.

use std::{ffi::OsString, net::SocketAddr};

use caraway_shared::config::{Common, Schema};
use clap::{Args, Parser, Subcommand, builder::RangedU64ValueParser};
use url::Url;

use crate::{keys::Keys, open_door::OpenDoor, origins::AllowedOrigins};

/// Accepts tasks over HTTP and tells what became of them.
#[derive(Parser)]
#[command(name = "api", version)]
struct Cli {
    #[command(subcommand)]
    job: Job,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Job {
    /// Serve HTTP; also what happens when no command is given
    Serve(Box<Serve>),
    /// Bring the database's schema up to date, and end
    Migrate(Box<Common>),
    /// Make, list and revoke API keys, and end
    Keys(Keys),
    /// Print the OpenAPI document, and end
    Openapi,
}

/// Flags of `serve`.
#[derive(Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The address of HTTP; port 0 takes a free one
    #[arg(long, env = "CARAWAY_BIND", default_value = "127.0.0.1:8080")]
    pub(crate) bind: SocketAddr,
    /// Do not bring the schema up to date at start: wait until `api migrate` or another API has
    #[arg(long, env = "CARAWAY_NO_MIGRATE")]
    pub(crate) no_migrate: bool,
    /// While there are no API keys, serve everybody who can reach an address that is not loopback
    #[arg(long, env = "CARAWAY_INSECURE_OPEN")]
    pub(crate) insecure_open: bool,
    /// Origins whose web pages may call this API, with commas between, such as `https://app.example.com`; else none may
    #[arg(long, env = "CARAWAY_CORS_ORIGINS", default_value = "", hide_default_value = true)]
    pub(crate) cors_origins: AllowedOrigins,
    /// The address at which browsers find this service, as `https://tasks.example`; without keys, requests for its host are served
    #[arg(long, env = "CARAWAY_PUBLIC_URL")]
    pub(crate) public_url: Option<Url>,
    /// With `--insecure-open`: further names of this service, for which requests are served while there are no API keys
    #[arg(long, env = "CARAWAY_ALLOWED_HOSTS", value_delimiter = ',')]
    pub(crate) allowed_hosts: Vec<String>,
    /// Threads that serve HTTP
    #[arg(long, env = "CARAWAY_HTTP_THREADS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) http_threads: u16,
    /// Serve /metrics to everybody who reaches the port; else to this machine, and to keys of user 1 with the scope read
    #[arg(long, env = "CARAWAY_METRICS_OPEN")]
    pub(crate) metrics_open: bool,
    /// Mebibytes of request bodies in memory at once; a user has half of them, and what does not fit is answered 503
    #[arg(long, env = "CARAWAY_BODY_MEBIBYTES", default_value_t = 256, value_parser = RangedU64ValueParser::<usize>::new().range(16..=65_536))]
    pub(crate) body_mebibytes: usize,
    /// Mebibytes that an item may have; an upload holds 256 KiB of it in memory
    #[arg(long, env = "CARAWAY_ITEM_MEBIBYTES", default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_024))]
    pub(crate) item_mebibytes: usize,
    /// Read cached data from the database only. What is written is told to Redis all the same, for other processes
    #[arg(long, env = "CARAWAY_NO_CACHE")]
    pub(crate) no_cache: bool,
}

impl Job {
    /// Reads the command line; what is wrong with it is told here, and ends the process.
    pub(crate) fn parse() -> Self {
        Cli::parse_from(with_command(std::env::args_os().collect())).job
    }

    /// What this job is told of servers and logs, if it needs any.
    pub(crate) const fn common(&self) -> Option<&Common> {
        match self {
            Self::Serve(serve) => Some(&serve.common),
            Self::Migrate(common) => Some(common),
            Self::Keys(_) | Self::Openapi => None,
        }
    }
}

/// `api --bind …` means `api serve --bind …`.
fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let about_itself = ["-h", "--help", "-V", "--version"];
    let bare = args.get(1).is_none_or(|first| {
        let first = first.to_string_lossy();
        first.starts_with('-') && !about_itself.contains(&first.as_ref())
    });
    if bare {
        args.insert(1.min(args.len()), "serve".into());
    }
    args
}

impl Serve {
    /// Who brings the schema up to date.
    pub(crate) const fn schema(&self) -> Schema {
        if self.no_migrate { Schema::Await } else { Schema::Migrate }
    }

    /// Whether everybody who can reach the address may be served without a key, as long as there is none.
    pub(crate) fn may_be_open(&self) -> bool {
        self.bind.ip().is_loopback() || self.insecure_open
    }

    /// Which requests are served while there is no key.
    pub(crate) fn open_door(&self) -> OpenDoor {
        let public = self.public_url.iter().filter_map(Url::host_str);
        let allowed = self.allowed_hosts.iter().filter(|_| self.insecure_open).map(String::as_str);
        let own: Vec<String> = self.public_url.iter().map(|url| url.origin().ascii_serialization()).collect();
        OpenDoor::new(public.chain(allowed), own.iter().map(String::as_str).chain(self.cors_origins.iter()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const SERVERS: [&str; 6] = ["--postgres-url", "postgres://x", "--amqp-url", "amqp://x", "--redis-url", "redis://x"];

    fn job(flags: &[&str]) -> Job {
        Cli::try_parse_from(with_command(["api"].iter().chain(flags).map(Into::into).collect())).unwrap().job
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_happens_without_a_command() {
        assert!(matches!(job(&SERVERS), Job::Serve(_)));
        assert!(matches!(job(&[&["serve"], &SERVERS[..]].concat()), Job::Serve(_)));
        assert!(matches!(job(&[&["migrate"], &SERVERS[..]].concat()), Job::Migrate(_)));
    }

    #[test]
    fn a_stranger_may_not_reach_it_unless_told_so() {
        let serve = |flags: &[&str]| match job(&[&SERVERS[..], flags].concat()) {
            Job::Serve(serve) => serve.may_be_open(),
            Job::Migrate(_) | Job::Keys(_) | Job::Openapi => false,
        };
        assert!(serve(&["--bind", "127.0.0.1:0"]) && serve(&["--bind", "[::1]:0"]));
        assert!(!serve(&["--bind", "0.0.0.0:0"]) && !serve(&["--bind", "[::]:8080"]));
        assert!(serve(&["--bind", "0.0.0.0:0", "--insecure-open"]));
    }
}
