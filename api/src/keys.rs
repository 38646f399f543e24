//! `api keys …`: keys from the command line, for the first one and for whoever has lost the last. Needs the database only.
//! The key is the one thing on standard output, so that a script can take it from there.

use std::io::Write as _;

use anyhow::Context as _;
use caraway_shared::{
    access::{Grant, Key, KeyId, Pattern, Scope},
    config::{Schema, prepare},
    store::{NewKey, Store, StoreConfig},
    task::{Cell, OwnerId},
};
use clap::{Args, Subcommand};
use jiff::Timestamp;

/// Keys listed at once.
const PAGE: i64 = 500;

/// Make, list and revoke API keys
#[derive(Args)]
pub(crate) struct Keys {
    /// PostgreSQL: postgres://user:password@host:port/database
    #[arg(long, env = "CARAWAY_POSTGRES_URL", hide_env_values = true, global = true, default_value = "")]
    postgres_url: String,
    /// This installation's number, 0 to 4095, where several stand behind one address
    #[arg(long, env = "CARAWAY_CELL", global = true)]
    cell: Option<Cell>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key and print it; it is shown only now. The first one closes the installation to whoever has none
    Create(Create),
    /// List a user's keys, without their secrets
    List {
        /// Whose
        #[arg(long, default_value = "local")]
        user: String,
    },
    /// Revoke a key; every API refuses it within 15 seconds
    Revoke {
        /// As `list` shows it
        id: i64,
    },
}

#[derive(Args)]
struct Create {
    /// For people
    #[arg(long)]
    name: String,
    /// submit, read, cancel or admin, which has all; several times for several
    #[arg(long = "scope", required = true)]
    scopes: Vec<Scope>,
    /// A pattern of queues' names, such as 'mail.*'; several times for several; left out: all queues
    #[arg(long = "queue")]
    queues: Vec<Pattern>,
    /// From when on it is refused: 2030-01-31T12:00:00Z
    #[arg(long)]
    expires_at: Option<Timestamp>,
    /// Whose
    #[arg(long, default_value = "local")]
    user: String,
}

impl Keys {
    /// Does it, and ends.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.postgres_url.is_empty(), "give --postgres-url or CARAWAY_POSTGRES_URL");
        let config = StoreConfig { url: self.postgres_url, application: "caraway-api keys", connections: 1 };
        let store = Store::new(&config).context("the PostgreSQL URL")?;
        prepare(&store, Schema::Migrate, self.cell).await?;
        match self.what {
            What::Create(wanted) => create(&store, wanted).await,
            What::List { user } => list(&store, &user).await,
            What::Revoke { id } => {
                let found = store.revoke_key(None, KeyId(id)).await?;
                anyhow::ensure!(found, "no key has the id {id}");
                Ok(())
            }
        }
    }
}

async fn create(store: &Store, wanted: Create) -> anyhow::Result<()> {
    let grant = Grant::new(wanted.scopes, wanted.queues)?;
    let owner = user(store, &wanted.user).await?;
    let secret = rand::random();
    let hmac = store.key_secret().await?.hmac(&secret);
    let new = NewKey { owner, name: wanted.name, grant, expires_at: wanted.expires_at, hmac };
    let kept = store
        .create_key(&new)
        .await?
        .context("this user, or the whole installation, has as many keys as it may have")?;
    Ok(writeln!(std::io::stdout(), "{}", Key::new(kept.id, secret).reveal())?)
}

async fn list(store: &Store, name: &str) -> anyhow::Result<()> {
    let owner = user(store, name).await?;
    let mut before = i64::MAX;
    loop {
        let page = store.list_keys(owner, before, PAGE).await?;
        for key in &page {
            writeln!(std::io::stdout(), "{}", printable(&serde_json::to_string(key)?))?;
        }
        let Some(last) = page.last() else { return Ok(()) };
        before = last.id.0;
    }
}

/// JSON without the characters by which a name could act on a terminal or turn its direction; a reader of JSON sees the same.
fn printable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() || is_format(character) {
            let mut units = [0; 2];
            text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(character);
        }
    }
    text
}

/// Zero-width, direction and other characters that change how their neighbours look (Unicode's category Cf, and separators).
fn is_format(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

async fn user(store: &Store, name: &str) -> anyhow::Result<OwnerId> {
    let user = store.user_named(name).await?.with_context(|| format!("no user is named {name}"))?;
    Ok(OwnerId(user.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_act_on_a_terminal() {
        let json = serde_json::to_string("a\u{9b}31m\u{202e}é\u{e0041}\n").unwrap();
        let shown = printable(&json);
        assert_eq!(shown, r#""a\u009b31m\u202eé\udb40\udc41\n""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), serde_json::from_str::<String>(&json).unwrap());
    }
}
