//! A lattice with a component, wormholes that lead to it, and an ingress.

use super::{site::Site, wire::Wire};
use crate::wait::until;
use lattice_core::{
    Lattice,
    name::WormholeId,
    wormholes::{NewWormhole, Wormholes},
};
use lattice_host::{
    Host,
    http::{Ingress, IngressLimits},
};
use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

/// The host name of the wormhole that every scene has.
pub(super) const SITE: &str = "site.example";

pub(super) struct Scene {
    pub(super) lattice: Lattice,
    pub(super) host: Host,
    pub(super) site: Site,
    pub(super) address: SocketAddr,
}

impl Scene {
    /// An ingress with the default limits.
    pub(super) async fn new() -> Self {
        Self::with(|ingress| ingress).await
    }

    /// An ingress with the limits that `change` makes.
    pub(super) async fn limited(change: impl FnOnce(&mut IngressLimits)) -> Self {
        let mut limits = IngressLimits::default();
        change(&mut limits);
        Self::with(|ingress| ingress.limits(limits)).await
    }

    /// An ingress as `adjust` returns it.
    pub(super) async fn with(adjust: impl FnOnce(Ingress) -> Ingress) -> Self {
        Self::of(adjust(Ingress::http("127.0.0.1:0"))).await
    }

    pub(super) async fn of(ingress: Ingress) -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let site = Site::default();
        let host = Host::builder(&lattice)
            .provider("site", site.clone())
            .ingress(ingress);
        let host = host.start().await.expect("the host starts");
        let scene = Self {
            address: host.ingress_addresses()[0],
            lattice,
            host,
            site,
        };
        scene.open(|new| new.host(SITE)).await;
        scene
    }

    /// Opens one more wormhole to the component.
    pub(super) async fn open(&self, adjust: impl FnOnce(NewWormhole) -> NewWormhole) -> WormholeId {
        let new = NewWormhole::new("site").expect("an id");
        let created = self.wormholes().create(adjust(new)).await;
        created.expect("the wormhole is created").0
    }

    pub(super) fn wormholes(&self) -> Wormholes {
        self.lattice.wormholes()
    }

    pub(super) async fn connect(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// Waits until so many calls of the component have begun.
    pub(super) async fn begun(&self, calls: usize) {
        let state = self.site.state();
        until("the calls begin", || {
            state.begun.load(Ordering::SeqCst) >= calls
        })
        .await;
    }

    /// Waits until so many calls or bodies of the component were cancelled.
    pub(super) async fn cancelled(&self, count: usize) {
        let state = self.site.state();
        until("the component is cancelled", || {
            state.cancelled.load(Ordering::SeqCst) >= count
        })
        .await;
    }

    /// Waits until the component has not seen the end of so many bodies that it began to read.
    pub(super) async fn broken(&self, count: usize) {
        let state = self.site.state();
        until("the component sees the broken body", || {
            state.broken.load(Ordering::SeqCst) >= count
        })
        .await;
    }
}

/// A time after which a test expects that something was cut off.
pub(super) const SOON: Duration = Duration::from_millis(300);
