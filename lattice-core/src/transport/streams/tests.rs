//! Values that no host sends.

use super::*;
use crate::{
    name::{ComponentId, HostId},
    stream::Holder,
    wire::{HandleName, Passed, ResourceName},
};
use bytes::Bytes;
use tokio::time::Instant;
use value::Unfit;

fn origin(host: &str) -> Origin {
    Origin::new(HostId::new(host).expect("a host"), 1)
}

fn streams() -> Streams {
    Streams::new(
        origin("here"),
        Arc::default(),
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
