//! A way to PostgreSQL that can be cut, or frozen.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections stand, and nothing goes through.
    Frozen,
    /// Connections end, and new ones end at once.
    Cut,
}

/// Forwards connections as long as its way is open.
pub struct Proxy {
    pub address: String,
    way: Arc<watch::Sender<Way>>,
}

impl Proxy {
    /// To this address.
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let way = Arc::new(watch::Sender::new(Way::Open));
        let changes = way.subscribe();
        tokio::spawn(async move {
            loop {
                let (inside, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(inside, target.clone(), changes.clone()));
            }
        });
        Self { address, way }
    }

    pub fn freeze(&self) {
        self.way.send_replace(Way::Frozen);
    }

    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    pub fn mend(&self) {
        self.way.send_replace(Way::Open);
    }
}

/// Until the connection ends, or the way is cut. What was frozen never flows again, only ends.
async fn forward(mut inside: TcpStream, target: String, mut way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Open {
        let mut outside = TcpStream::connect(target).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut inside, &mut outside) => (),
            _ = way.wait_for(|way| *way != Way::Open) => (),
        }
    }
    let _ = way.wait_for(|way| *way != Way::Frozen).await;
}
