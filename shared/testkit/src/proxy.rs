//! A TCP proxy between a program and a server, which a test can cut, stall, slow down, make deaf, or set a trap in.
//!
//! Invariants: with an open way and no trap it changes nothing; a stalled byte is held and not lost, as behind a router
//! that drops packets; a trap that did not fire is visible as such, so that no test rests on a fault that never was.

mod frames;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{sleep, timeout},
};

use self::frames::{Amqp, Postgres};

/// A target that does not answer by then is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CHUNK: usize = 16 * 1024;

/// What the bytes are, as far as a trap has to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Nothing is known of them.
    Bytes,
    /// PostgreSQL's, version 3.
    Postgres,
    /// AMQP 0-9-1.
    Amqp,
}

/// How the way is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Everything passes, late and in pieces.
    Slow(Slowness),
    /// Connections stand, and nothing passes; it passes later if the way opens again.
    Stalled,
    /// Requests pass, answers do not.
    Deaf,
    /// Connections are reset, new ones too.
    Cut,
}

/// What slows a way down.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Slowness {
    /// Each chunk waits so long, in each direction.
    pub delay: Duration,
    /// And up to so much longer.
    pub jitter: Duration,
    /// Chunks are written in slices of so many bytes; 0: whole.
    pub slice: usize,
    /// At most so many bytes a second in each direction; 0: no limit.
    pub bytes_per_second: u64,
}

/// What happens once, to whichever connection meets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trap {
    /// The connection is reset when the server says that a transaction is over which held a statement containing this
    /// text, and before the client hears it: the commit happened, and its answer is lost.
    AfterCommit(&'static str),
    /// A publisher confirm of the broker is swallowed.
    SwallowConfirm,
    /// The connection is reset after so many more bytes from the server.
    AfterBytes(u64),
}

/// Forwards connections to one address.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    protocol: Protocol,
    target: Mutex<String>,
    way: watch::Sender<Way>,
    resets: watch::Sender<u64>,
    traps: Mutex<Vec<Trap>>,
    fired: AtomicU64,
    hindered: AtomicU64,
}

impl Proxy {
    /// To this address (`host:port`).
    pub async fn to(target: impl Into<String>, protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let shared = Arc::new(Shared {
            protocol,
            target: Mutex::new(target.into()),
            way: watch::Sender::new(Way::Open),
            resets: watch::Sender::new(0),
            traps: Mutex::default(),
            fired: AtomicU64::new(0),
            hindered: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                let Some(shared) = weak.upgrade() else { return };
                tokio::spawn(forward(inside, shared));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `url` with this proxy's address in place of the server's.
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
        let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        let path = path.map_or(String::new(), |path| format!("/{path}"));
        format!("{scheme}://{user}{}{path}", self.address)
    }

    /// The address in a server's URL.
    pub fn address_in(url: &str) -> String {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or(rest);
        authority.rsplit('@').next().unwrap_or(authority).to_owned()
    }

    /// Later connections go there: the server has moved.
    pub fn redirect(&self, target: String) {
        *lock(&self.shared.target) = target;
    }

    /// Makes the way so, for standing connections too.
    pub fn set(&self, way: Way) {
        self.shared.way.send_replace(way);
    }

    /// Resets the connections that stand; new ones pass.
    pub fn reset(&self) {
        self.shared.resets.send_modify(|resets| *resets += 1);
    }

    /// Sets a trap, to be met once.
    pub fn arm(&self, trap: Trap) {
        lock(&self.shared.traps).push(trap);
    }

    /// Takes away the traps that nothing met.
    pub fn disarm(&self) {
        lock(&self.shared.traps).clear();
    }

    /// How many traps were met so far.
    pub fn fired(&self) -> u64 {
        self.shared.fired.load(Ordering::Acquire)
    }

    /// How often a way that was not open was in somebody's way: connections that were reset or kept waiting, pieces of a
    /// stream that were slowed down or held back. A way that nobody used leaves it as it was.
    pub fn hindered(&self) -> u64 {
        self.shared.hindered.load(Ordering::Acquire)
    }
}

impl Shared {
    fn hinder(&self) {
        self.hindered.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes the first trap of this kind, if one is set.
    fn meet(&self, is_it: impl Fn(&Trap) -> bool) -> bool {
        let mut traps = lock(&self.traps);
        let Some(index) = traps.iter().position(is_it) else { return false };
        traps.remove(index);
        self.fired.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Counts what the server sent against the first [`Trap::AfterBytes`]; whether its end is reached.
    fn count_down(&self, bytes: usize) -> bool {
        let mut traps = lock(&self.traps);
        let left = traps.iter_mut().find_map(|trap| if let Trap::AfterBytes(left) = trap { Some(left) } else { None });
        let Some(left) = left else { return false };
        *left = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        let reached = *left == 0;
        drop(traps);
        reached && self.meet(|trap| *trap == Trap::AfterBytes(0))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

/// What one connection has said so far, for the traps.
enum Inspector {
    Bytes,
    Postgres(Postgres),
    Amqp(Amqp),
}

impl Inspector {
    /// Looks at bytes that are to pass; what of them passes, or `None` when the connection is to be reset instead.
    fn pass(&mut self, side: Side, bytes: &[u8], shared: &Shared) -> Option<Vec<u8>> {
        if side == Side::Answer && shared.count_down(bytes.len()) {
            return None;
        }
        match (self, side) {
            (Self::Postgres(connection), Side::Request) => connection.request(bytes),
            (Self::Postgres(connection), Side::Answer) => {
                let committed = connection.answer(bytes);
                let met = committed.iter().any(|statement| {
                    shared.meet(|trap| matches!(trap, Trap::AfterCommit(text) if statement.contains(text)))
                });
                if met {
                    return None;
                }
            }
            (Self::Amqp(connection), Side::Answer) => {
                return Some(connection.answer(bytes, || shared.meet(|trap| *trap == Trap::SwallowConfirm)));
            }
            (Self::Amqp(_), Side::Request) | (Self::Bytes, _) => (),
        }
        Some(bytes.to_vec())
    }
}

/// Until one side ends, or the way is cut. What was cut or trapped ends with a reset, the rest in order.
async fn forward(mut inside: TcpStream, shared: Arc<Shared>) {
    let mut way = shared.way.subscribe();
    let mut resets = shared.resets.subscribe();
    resets.mark_unchanged();
    if matches!(*way.borrow(), Way::Stalled | Way::Cut) {
        shared.hinder();
    }
    let open = way.wait_for(|way| *way != Way::Stalled).await.is_ok_and(|way| *way != Way::Cut);
    if !open {
        return reset(&inside);
    }
    let target = lock(&shared.target).clone();
    let Ok(Ok(mut outside)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await else {
        return reset(&inside);
    };
    let _ = (inside.set_nodelay(true), outside.set_nodelay(true));
    let inspector = Mutex::new(match shared.protocol {
        Protocol::Bytes => Inspector::Bytes,
        Protocol::Postgres => Inspector::Postgres(Postgres::default()),
        Protocol::Amqp => Inspector::Amqp(Amqp::default()),
    });
    let in_order = {
        let ((client, to_client), (server, to_server)) = (inside.split(), outside.split());
        // the ends first: what is held back does not slip through when the way opens in the same moment
        tokio::select! {
            biased;
            _ = way.wait_for(|way| *way == Way::Cut) => { shared.hinder(); false }
            _ = resets.changed() => { shared.hinder(); false }
            ended = pump(client, to_server, Side::Request, &inspector, &shared) => ended.is_ok(),
            ended = pump(server, to_client, Side::Answer, &inspector, &shared) => ended.is_ok(),
        }
    };
    if !in_order {
        reset(&inside);
        reset(&outside);
    }
}

/// One direction of a connection, to its end (`Ok`) or to its reset.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    side: Side,
    inspector: &Mutex<Inspector>,
    shared: &Shared,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut way = shared.way.subscribe();
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        let passed = lock(inspector).pass(side, &chunk[..count], shared);
        let passed = passed.ok_or_else(|| io::Error::other("a trap"))?;
        let is_open = |way: &Way| !matches!((way, side), (Way::Stalled, _) | (Way::Deaf, Side::Answer));
        let seen = *way.borrow();
        if !is_open(&seen) || matches!(seen, Way::Slow(_)) {
            shared.hinder();
        }
        let now = *way.wait_for(is_open).await.map_err(io::Error::other)?;
        if let Way::Slow(slowness) = now {
            write_slowly(&mut to, &passed, slowness).await?;
        } else {
            to.write_all(&passed).await?;
        }
    }
}

async fn write_slowly(to: &mut WriteHalf<'_>, bytes: &[u8], slowness: Slowness) -> io::Result<()> {
    let jitter = slowness.jitter.mul_f64(rand::random());
    sleep(slowness.delay + jitter).await;
    let slice = if slowness.slice == 0 { bytes.len().max(1) } else { slowness.slice };
    for part in bytes.chunks(slice) {
        to.write_all(part).await?;
    }
    let micros = u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_mul(1_000_000);
    sleep(Duration::from_micros(micros.checked_div(slowness.bytes_per_second).unwrap_or(0))).await;
    Ok(())
}

/// Ends it with a reset instead of in order.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_keeps_all_but_its_address() {
        let proxy = Proxy::to("127.0.0.1:1", Protocol::Bytes).await;
        let at = proxy.address();
        assert_eq!(proxy.url("amqp://a:b@127.0.0.1:5672/%2f"), format!("amqp://a:b@{at}/%2f"));
        assert_eq!(proxy.url("redis://127.0.0.1:6379"), format!("redis://{at}"));
        assert_eq!(Proxy::address_in("amqp://a:b@127.0.0.1:5672/%2f"), "127.0.0.1:5672");
    }

    /// A server that sends back what it gets.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn answers(stream: &mut TcpStream) -> io::Result<[u8; 4]> {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await?;
        let read = timeout(Duration::from_millis(200), stream.read_exact(&mut answer)).await;
        read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_stalled_byte_is_late_and_a_cut_connection_is_reset() {
        let proxy = Proxy::to(echo().await, Protocol::Bytes).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&answers(&mut stream).await.unwrap(), b"ping");
        assert_eq!(proxy.hindered(), 0);
        for (held_back, way) in (1..).zip([Way::Stalled, Way::Deaf]) {
            proxy.set(way);
            assert_eq!(answers(&mut stream).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(proxy.hindered(), held_back);
            proxy.set(Way::Open);
            let mut late = [0; 4];
            stream.read_exact(&mut late).await.unwrap();
            assert_eq!(&late, b"ping");
        }
        proxy.reset();
        assert_ne!(answers(&mut stream).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&answers(&mut stream).await.unwrap(), b"ping");
        proxy.set(Way::Cut);
        assert_ne!(answers(&mut stream).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_a_deaf_way_holds_back_does_not_pass_after_a_reset() {
        let proxy = Proxy::to(echo().await, Protocol::Bytes).await;
        for round in 1..=50 {
            proxy.set(Way::Open);
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(&answers(&mut stream).await.unwrap(), b"ping");
            proxy.set(Way::Deaf);
            let before = proxy.hindered();
            stream.write_all(b"ping").await.unwrap();
            while proxy.hindered() == before {
                tokio::task::yield_now().await;
            }
            proxy.reset();
            proxy.set(Way::Open);
            let mut answer = [0; 4];
            let read = timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await.unwrap();
            assert!(read.is_err(), "an answer passed in round {round}");
        }
    }

    #[tokio::test]
    async fn a_trap_is_met_once() {
        let proxy = Proxy::to(echo().await, Protocol::Bytes).await;
        proxy.arm(Trap::AfterBytes(6));
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&answers(&mut stream).await.unwrap(), b"ping");
        assert!(answers(&mut stream).await.is_err());
        assert_eq!(proxy.fired(), 1);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(&answers(&mut stream).await.unwrap(), b"ping");
        }
    }
}
