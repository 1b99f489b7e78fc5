//! Values that no host sends.

use super::*;
use crate::{
    auth::Auth,
    name::{ComponentId, HostId},
    stream::{Claim, Holder, Requests, Stale},
    wire::{HandleName, Passed, ResourceName},
};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, pending},
};
use std::sync::Weak;
use tokio::time::Instant;
use value::Unfit;

fn origin(host: &str) -> Origin {
    Origin::new(HostId::new(host).expect("a host"), 1)
}

fn streams() -> Streams {
    Streams::new(
        origin("here"),
        Ledger::new(Auth::trusting()),
        Budget::new(1 << 20),
        1 << 20,
    )
}

async fn decode(names: Vec<HandleName>) -> Result<(), Unfit> {
    let value = Bytes::from(vec![0; names.len()]);
    let bytes = Passed { names, value }.encode().expect("encodes");
    let way = (&origin("there"), &Holder::OnTheWay, Instant::now());
    streams().decode(bytes, None, way).await.map(drop)
}

#[tokio::test]
async fn forged_values_are_refused() {
    let channel = decode(vec![HandleName::Stream(1)]).await;
    assert!(matches!(channel, Err(Unfit::NoChannel(1))), "{channel:?}");
    let name = ResourceName {
        origin: origin("here"),
        component: ComponentId::new("c").expect("a component"),
        instance: 1,
        id: 1,
        holder: None,
        ty: "t".to_owned(),
        token: None,
    };
    for name in [HandleName::Own(name.clone()), HandleName::Borrow(name)] {
        let unknown = decode(vec![name]).await;
        assert!(matches!(unknown, Err(Unfit::Stale(_))), "{unknown:?}");
    }
    let way = (&origin("there"), &Holder::OnTheWay, Instant::now());
    for garbage in [
        &b""[..],
        b"\x01\0\0\0",
        b"\xff\xff\xff\xff\x01",
        b"\x01\0\0\0\x09",
    ] {
        let bytes = Bytes::from_static(garbage);
        let decoded = streams().decode(bytes, None, way).await;
        let is_refused = matches!(&decoded, Err(Unfit::Undecodable(_)));
        assert!(is_refused, "{decoded:?}");
    }
}

/// Other hosts that don't answer.
struct Silent;

impl Requests for Silent {
    fn claim(
        self: Arc<Self>,
        _: Origin,
        _: Claim,
        _: Instant,
    ) -> BoxFuture<'static, Result<u64, Stale>> {
        pending().boxed()
    }

    fn send_drops(self: Arc<Self>, _: Origin) -> BoxFuture<'static, ()> {
        pending().boxed()
    }
}

/// A node that takes values of the host `there`.
struct Taker {
    streams: Streams,
    _requests: Arc<Silent>,
}

impl Taker {
    fn new() -> Self {
        let (streams, requests) = (streams(), Arc::new(Silent));
        let weak: Weak<Silent> = Arc::downgrade(&requests);
        streams.ledger().join(&origin("here"), weak);
        Self {
            streams,
            _requests: requests,
        }
    }

    async fn decode(&self, names: Vec<HandleName>) -> Result<(), Unfit> {
        let way = (&origin("there"), &Holder::OnTheWay, Instant::now());
        self.streams
            .decode(encoded(names), None, way)
            .await
            .map(drop)
    }

    /// The drops that the host `there` is owed. Nothing else is held of it.
    fn owed(&self) -> Vec<u64> {
        let (ledger, here) = (self.streams.ledger(), origin("here"));
        assert_eq!(ledger.counts(&here), (0, 0));
        let batches = ledger.unsent(&here, &origin("there"), 9);
        batches.into_iter().flat_map(|batch| batch.ids).collect()
    }
}

fn encoded(names: Vec<HandleName>) -> Bytes {
    let value = Bytes::from(vec![0; names.len()]);
    Passed { names, value }.encode().expect("encodes")
}

fn resource(host: &str, id: u64) -> ResourceName {
    ResourceName {
        origin: origin(host),
        component: ComponentId::new("c").expect("a component"),
        instance: 1,
        id,
        holder: None,
        ty: "t".to_owned(),
        token: None,
    }
}

#[tokio::test]
async fn the_handles_of_a_value_that_is_refused_are_dropped_where_they_live() {
    let own = || HandleName::Own(resource("there", 1));
    let lent = HandleName::Borrow(resource("there", 1));
    let values = [
        ("before what is refused", vec![own(), HandleName::Stream(1)]),
        ("after it", vec![HandleName::Stream(1), own()]),
        ("given and lent", vec![own(), lent]),
        ("given twice", vec![own(), own()]),
    ];
    for (what, names) in values {
        let taker = Taker::new();
        let decoded = taker.decode(names).await;
        assert!(decoded.is_err(), "{what}");
        assert_eq!(taker.owed(), [1], "{what}");
    }
}

#[tokio::test]
async fn the_handles_of_a_value_that_is_not_awaited_or_not_wanted_are_dropped() {
    let taker = Taker::new();
    let names = vec![
        HandleName::Own(resource("there", 1)),
        HandleName::Own(resource("third", 2)),
        HandleName::Own(resource("there", 3)),
    ];
    // Its third host doesn't answer, and then its caller is gone.
    assert!(taker.decode(names.clone()).now_or_never().is_none());
    let mut owed = taker.owed();
    owed.sort_unstable();
    assert_eq!(owed, [1, 3]);

    let taker = Taker::new();
    taker.streams.refuse(encoded(names), &origin("there"));
    assert_eq!(taker.owed(), [1, 3]);
}
