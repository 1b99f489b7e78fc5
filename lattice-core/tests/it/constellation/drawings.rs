//! The constellation as a graph description and as an image.

use super::*;
use lattice_core::{
    constellation::{ComponentStatus, GraphKind, Phase, View},
    node::NodeOptions,
};
use std::sync::Arc;

const HOSTILE: &str = "\"]<script>&\\n--> x;`|}";

/// A host with a label that breaks every one of these formats unless it is escaped.
async fn scene() -> Arc<View> {
    let lattice = lattice().await;
    let options = NodeOptions::default()
        .host("a")
        .expect("valid")
        .label("note", HOSTILE);
    let a = lattice.node(options).await.expect("it joins");
    let (_api, _serving) = serve(&a, "kv").await;
    apply(&lattice, &format!("name = \"shop\"\nexternal = [\"kv\"]\n[actors.greeter]\nimage = \"{IMAGE}\"\n[[links]]\nfrom = \"greeter\"\nto = \"kv\"\ninterface = \"test:calls/api@0.1.0\"\n[wormholes.web]\nactor = \"greeter\"\nhost = \"shop.example\"\n")).await;
    let status = ComponentStatus::new(Phase::CrashLooping { failures: 2 }).reason("no");
    a.set_status(&id("greeter"), status);
    let constellation = lattice.constellation();
    eventually("all resources are seen", async || {
        let view = constellation.snapshot();
        let link_is_taken = view
            .links
            .values()
            .any(|link| link.state.to_string() == "active");
        link_is_taken && view.replicas.len() == 2
    })
    .await;
    let mut view = View::clone(&constellation.snapshot());
    for replica in view.replicas.values_mut() {
        Arc::make_mut(replica).load = None;
    }
    Arc::new(view)
}

#[tokio::test(start_paused = true)]
async fn mermaid() {
    let view = scene().await;
    assert_eq!(
        view.to_mermaid(GraphKind::Logical),
        include_str!("golden/logical.mmd")
    );
    assert_eq!(
        view.to_mermaid(GraphKind::Infrastructure),
        include_str!("golden/infrastructure.mmd")
    );
}

#[tokio::test(start_paused = true)]
async fn dot() {
    let view = scene().await;
    assert_eq!(
        view.to_dot(GraphKind::Logical),
        include_str!("golden/logical.dot")
    );
    assert_eq!(
        view.to_dot(GraphKind::Infrastructure),
        include_str!("golden/infrastructure.dot")
    );
}

#[tokio::test(start_paused = true)]
async fn svg_is_well_formed_and_shows_every_resource() {
    let view = scene().await;
    let logical = view.to_svg(GraphKind::Logical);
    let infrastructure = view.to_svg(GraphKind::Infrastructure);
    for text in ["greeter", "kv", "web", "app shop", "test:calls/api@0.1"] {
        assert!(logical.contains(&format!(">{text}")), "{text}: {logical}");
    }
    assert!(
        infrastructure.contains("&lt;script&gt;&amp;"),
        "{infrastructure}"
    );
    for svg in [
        logical,
        infrastructure,
        View::default().to_svg(GraphKind::Logical),
    ] {
        well_formed(&svg);
    }
}

/// Checks that every element is closed in order, every attribute is quoted, and all text is
/// escaped.
fn well_formed(xml: &str) {
    let (mut open, mut rest) = (Vec::new(), xml);
    while let Some((text, more)) = rest.split_once('<') {
        assert!(!text.contains('>'), "a stray `>` in {text:?}");
        for (at, _) in text.match_indices('&') {
            let entities = ["&amp;", "&lt;", "&gt;", "&quot;"];
            assert!(
                entities.iter().any(|e| text[at..].starts_with(e)),
                "{text:?}"
            );
        }
        let (tag, more) = more.split_once('>').expect("a tag that ends");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag:?}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{xml}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().expect("a name"));
        }
        rest = more;
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(rest.trim(), "");
}

#[tokio::test(start_paused = true)]
async fn cyclic_links_are_drawn() {
    let lattice = lattice().await;
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "a"), ("d", "d")] {
        link(&lattice, from, to).await;
    }
    let svg = lattice
        .constellation()
        .snapshot()
        .to_svg(GraphKind::Logical);
    well_formed(&svg);
    assert_eq!(svg.matches("marker-end").count(), 4, "{svg}");
}
