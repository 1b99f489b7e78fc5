//! Hosts that keep their share of desired state running: in one process, with a simulated clock and a runtime of closures.

mod apps;
mod hosts;
mod once;

use futures_util::future::BoxFuture;
use lattice_core::{
    Lattice,
    app::App,
    keeper::{Job, Keeper, KeeperOptions, Prepared, Runtime, RuntimeError, Work},
    name::{ComponentId, FunctionName, HostId, InterfaceName},
    node::{Node, NodeOptions, ServeLimits},
    serve::{Answer, Request, Service},
    types::{ComponentTypes, InterfaceTypes},
    value::to_bytes,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

const WHO: &str = "test:who/who@0.1.0";

/// What the hosts of a test have run.
#[derive(Debug, Default, Clone)]
struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    fn note(&self, text: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Runs whatever it is told, unless its image has `broken` in its name: each answers with its host and its image.
struct Fake {
    host: HostId,
    record: Record,
    live: Arc<AtomicUsize>,
}

impl Runtime for Fake {
    fn prepare(&self, job: Arc<Job>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        Box::pin(async move {
            let image = match &job.work {
                Work::Actor { image, .. } => image.to_string(),
                other => format!("{other:?}"),
            };
            self.record.note(format!("{} starts {image}", self.host));
            // As long as a small component takes to compile.
            sleep(Duration::from_millis(50)).await;
            if image.contains("broken") {
                return Err(RuntimeError::new("it is broken; mend it"));
            }
            self.live.fetch_add(1, Ordering::SeqCst);
            Ok(Prepared {
                service: Arc::new(Who {
                    answer: format!("{} {image}", self.host),
                    live: self.live.clone(),
                }),
                limits: ServeLimits::default(),
            })
        })
    }
}

struct Who {
    answer: String,
    live: Arc<AtomicUsize>,
}

impl Drop for Who {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service for Who {
    fn types(&self) -> Arc<ComponentTypes> {
        let mut functions = InterfaceTypes::default();
        let name = FunctionName::new("who").expect("valid");
        functions
            .functions
            .insert(name, "func() -> string".to_owned());
        let mut types = ComponentTypes::default();
        types
            .exports
            .insert(InterfaceName::new(WHO).expect("valid"), functions);
        Arc::new(types)
    }

    fn call(&self, _: Request) -> Answer {
        Answer::Ready(Ok(to_bytes(&self.answer).expect("it encodes")))
    }
}

/// A lattice in this process, and its hosts.
struct Mesh {
    lattice: Lattice,
    record: Record,
    live: Arc<AtomicUsize>,
}

struct Host {
    node: Node,
    keeper: Keeper,
}

impl Mesh {
    async fn new() -> Self {
        Self {
            lattice: Lattice::in_memory("dev").await.expect("it opens"),
            record: Record::default(),
            live: Arc::default(),
        }
    }

    async fn host(&self, id: &str) -> Host {
        self.labelled(id, &[]).await
    }

    async fn labelled(&self, id: &str, labels: &[(&str, &str)]) -> Host {
        let host = HostId::new(id).expect("valid");
        let mut options = NodeOptions::default().host(host.clone());
        for (name, value) in labels {
            options = options.label(name, value);
        }
        let node = self.lattice.node(options).await.expect("it joins");
        let runtime = Fake {
            host,
            record: self.record.clone(),
            live: self.live.clone(),
        };
        let mut options = KeeperOptions::default();
        options.listen = Duration::ZERO;
        let keeper = Keeper::start(&node, Arc::new(runtime), options);
        Host { node, keeper }
    }

    async fn hosts<const N: usize>(&self) -> [Host; N] {
        let mut hosts = Vec::new();
        for n in 0..N {
            hosts.push(self.host(&format!("h{n}")).await);
        }
        self.counted(N).await;
        hosts.try_into().map_err(|_| "as many").expect("as many")
    }

    /// Waits until so many hosts are there, and count.
    async fn counted(&self, hosts: usize) {
        self.until("the hosts are heard", || {
            self.lattice.peers().iter().count() == hosts
        })
        .await;
        sleep(Duration::from_secs(4)).await;
    }

    async fn apply(&self, text: &str) {
        let app = App::from_toml("app.toml", text).expect("a manifest");
        self.lattice.apply(&app).await.expect("applied");
    }

    /// On which hosts a component serves, and how many replicas.
    fn serving(&self, component: &str) -> BTreeMap<String, u32> {
        let id = ComponentId::new(component).expect("valid");
        let peers = self.lattice.peers();
        let on = |peer: &Arc<lattice_core::node::Peer>| {
            peer.components
                .contains_key(&id)
                .then(|| (peer.origin.host.to_string(), 1))
        };
        peers.iter().filter_map(on).collect()
    }

    async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let waited = timeout(Duration::from_secs(120), async {
            while !holds() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        let held = waited.await.is_ok();
        assert!(held, "in vain until {what}: {:?}", self.record.all());
    }

    async fn call(&self, component: &str) -> Result<String, lattice_core::call::CallError> {
        self.lattice.component(component).call(WHO, "who", ()).await
    }

    /// Calls again and again while `during` goes on; all have to be answered.
    async fn called_without_failure<T>(
        &self,
        component: &str,
        during: impl Future<Output = T>,
    ) -> T {
        let calls = async {
            loop {
                let answer = self.call(component).await;
                assert!(answer.is_ok(), "{answer:?}: {:?}", self.record.all());
                sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::select! {
            never = calls => never,
            done = during => done,
        }
    }
}

fn greeter(image: &str, replicas: u32) -> String {
    format!(
        "name = \"shop\"\n[actors.greeter]\nimage = \"reg.example/{image}\"\nreplicas = {replicas}\n"
    )
}
