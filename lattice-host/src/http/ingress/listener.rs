//! The addresses at which a host takes requests: bound, listening, and shut down with the host.

use super::{
    config::{Ingress, Settings},
    connection::{self, Shared},
    error::IngressError,
    route::base_domain,
    service::WormholeService,
    tls::Tls,
};
use crate::http::figures::ReceivedRequests;
use lattice_core::{CutOff, Drained, Lattice, sync::Mutex};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The label with the addresses, on hosts that take requests.
pub(crate) const LABEL: &str = "lattice-ingress";
/// Longest value of a label.
const LONGEST_LABEL: usize = lattice_core::membership::MAX_LABEL_VALUE;
/// How long a listener pauses when the system has no more connections for it.
const PAUSE: Duration = Duration::from_millis(100);
/// The most connections that are taken from the system's queue when an ingress stops. The queue has
/// no more with common settings.
const LAST_CONNECTIONS: usize = 1_024;

/// An ingress whose address is bound, and which takes no requests yet.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    settings: Settings,
}

/// The ingresses of a host, bound.
#[derive(Default)]
pub(crate) struct BoundIngresses(Vec<Bound>);

/// The ingresses of a host. Dropping it cuts them off.
#[derive(Default)]
pub(crate) struct Ingresses {
    addresses: Vec<SocketAddr>,
    running: Mutex<Vec<Listening>>,
}

/// The task of a listener, which has all of its connections. Dropping it ends them.
struct Listening {
    stopping: CancellationToken,
    task: JoinHandle<()>,
    /// Room for connections, and for how many in all.
    room: Arc<Semaphore>,
    connections: usize,
    /// Reloads the certificates as long as it is there.
    _tls: Option<Tls>,
}

impl BoundIngresses {
    /// Binds the addresses, and loads the certificates.
    pub(crate) async fn bind(ingresses: Vec<Ingress>) -> Result<Self, IngressError> {
        let mut bound = Vec::with_capacity(ingresses.len());
        for ingress in ingresses {
            bound.push(bind(ingress).await?);
        }
        Ok(Self(bound))
    }

    /// Returns the value of the host's label: the addresses with their schemes, as many as fit, as
    /// in `http://127.0.0.1:8080,https://0.0.0.0:8443`. `None` without ingresses.
    pub(crate) fn label(&self) -> Option<String> {
        let url = |bound: &Bound| {
            let scheme = if bound.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", bound.address)
        };
        let mut label = url(self.0.first()?);
        for bound in &self.0[1..] {
            let more = format!("{label},{}", url(bound));
            if more.len() > LONGEST_LABEL {
                break;
            }
            label = more;
        }
        Some(label)
    }

    /// Begins to take requests, which `figures` count.
    pub(crate) fn start(self, lattice: &Lattice, figures: &ReceivedRequests) -> Ingresses {
        let addresses = self.0.iter().map(|bound| bound.address).collect();
        let start = |bound| start(bound, lattice, figures);
        let running = self.0.into_iter().map(start);
        Ingresses {
            addresses,
            running: Mutex::new(running.collect()),
        }
    }
}

impl Ingresses {
    /// Returns the addresses.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more connections, and finishes the requests that run within `grace`. Those that are
    /// still running then are cut off.
    pub(crate) async fn shutdown(&self, grace: Duration) -> Drained {
        let mut running = std::mem::take(&mut *self.running.lock());
        for listening in &running {
            listening.stopping.cancel();
        }
        let ended = async {
            for listening in &mut running {
                // A task that panicked has ended too.
                let _ = (&mut listening.task).await;
            }
        };
        if timeout(grace, ended).await.is_ok() {
            return Drained::Clean;
        }
        let open = running.iter().map(Listening::open);
        Drained::CutOff(CutOff::of_requests(open.sum()))
    }

    /// Cuts everything off.
    pub(crate) fn kill(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        drop(running);
    }
}

impl Listening {
    /// Returns how many connections are open, once no more are taken.
    fn open(&self) -> usize {
        self.connections
            .saturating_sub(self.room.available_permits())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bind(ingress: Ingress) -> Result<Bound, IngressError> {
    let Ingress {
        address,
        tls,
        mut settings,
    } = ingress;
    for domain in &mut settings.domains {
        *domain = base_domain(domain).ok_or_else(|| IngressError::Domain {
            domain: domain.clone(),
        })?;
    }
    let tls = match tls {
        Some(files) => Some(Tls::open(files, &address).await?),
        None => None,
    };
    let failed = |source: io::Error| IngressError::of_listening(&address, source);
    let listener = TcpListener::bind(&address).await.map_err(failed)?;
    Ok(Bound {
        address: listener.local_addr().map_err(failed)?,
        listener,
        tls,
        settings,
    })
}

fn start(bound: Bound, lattice: &Lattice, figures: &ReceivedRequests) -> Listening {
    let Bound {
        listener,
        address,
        tls,
        settings,
    } = bound;
    let stopping = CancellationToken::new();
    let shared = Shared {
        limits: settings.limits.clone().bounded(),
        service: WormholeService::new(lattice.wormholes(), settings).counted_in(figures),
        tls: tls.as_ref().map(|tls| tls.acceptor.clone()),
        stopping: stopping.clone(),
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("takes requests at {scheme}://{address}");
    let connections = shared.limits.connections;
    let room = Arc::new(Semaphore::new(connections));
    Listening {
        stopping,
        task: tokio::spawn(listen(listener, Arc::new(shared), room.clone())),
        room,
        connections,
        _tls: tls,
    }
}

/// Takes connections until the ingress stops, then waits for those that there are.
async fn listen(listener: TcpListener, shared: Arc<Shared>, room: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    let mut is_short = false;
    while !shared.stopping.is_cancelled() {
        let accepted = async {
            // Further connections wait in the queue of the system until there is room.
            let place = room.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = shared.stopping.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                is_short = false;
                let shared = shared.clone();
                connections.spawn(async move {
                    let _place = place;
                    connection::serve(socket, peer.ip(), shared).await;
                });
            }
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut is_short, true) {
                    tracing::warn!(%error, "no connection can be taken now; raise the limit of open files of this process");
                }
                sleep(PAUSE).await;
            }
        }
    }
    for (socket, peer) in waiting(listener) {
        let Ok(place) = room.clone().try_acquire_owned() else {
            break;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let _place = place;
            connection::serve(socket, peer.ip(), shared).await;
        });
    }
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// Closes the listener, and returns the connections that were made before that and not yet taken.
fn waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    let taken = std::iter::from_fn(|| listener.accept().ok()).take(LAST_CONNECTIONS);
    let sockets = taken.filter_map(|(socket, peer)| {
        socket.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(socket).ok()?, peer))
    });
    sockets.collect()
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "the task of a connection panicked; report this as a bug");
    }
}

/// Returns whether the error is about one connection that ended before it was taken.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
