//! Putting, updating and deleting links.

use super::*;
use lattice_core::link::LinkMismatch;
use lattice_core::links::DeleteError;

#[tokio::test(start_paused = true)]
async fn a_link_is_visible_when_put_returns_and_removed_when_delete_returns() {
    let store = MemoryStore::new();
    let (one, other) = (Node::join(&store).await, Node::join(&store).await);
    let link = link("front", "back")
        .config(&serde_json::json!({ "bucket": "b" }))
        .expect("JSON");
    let put = one.links.put(link.clone()).await.expect("put");
    assert_eq!((&*put.link, &put.status), (&link, &LinkStatus::Pending));
    assert_eq!(one.links.get(&link.key()).as_deref(), Some(&*put));
    assert_eq!(one.links.list(), std::slice::from_ref(&put));

    other.sees(put.revision).await;
    assert_eq!(other.links.get(&link.key()).as_deref(), Some(&*put));
    other.links.delete(&link.key()).await.expect("deleted");
    assert_eq!(other.links.list(), []);
    let error = other.links.delete(&link.key()).await.expect_err("gone");
    assert!(matches!(error, DeleteError::NotFound { .. }), "{error}");
    one.links.put(link).await.expect("put again");
}

#[tokio::test(start_paused = true)]
async fn putting_an_equal_link_changes_nothing_and_a_different_one_conflicts() {
    let node = Node::join(&MemoryStore::new()).await;
    let first = node.links.put(link("front", "back")).await.expect("put");
    let again = node
        .links
        .put(link("front", "back"))
        .await
        .expect("the same");
    assert_eq!(first.revision, again.revision);

    let other = link("front", "elsewhere");
    let error = node.links.put(other.clone()).await.expect_err("conflict");
    let LinkError::Conflict { existing } = &error else {
        panic!("{error}")
    };
    assert_eq!(existing, &first);
    assert_eq!(
        error.to_string(),
        "there is a link front -> a:b/c@0.2 (default) already, to `back`, for all compatible versions of the interface; give this one a name of its own with `Link::named`, or put it with `replace`"
    );
    // A compatible version has the same key, and another name has another key.
    let compatible = Link::new("front", "a:b/c@0.2.9", "back").expect("valid");
    let error = node.links.put(compatible).await.expect_err("conflict");
    assert!(matches!(error, LinkError::Conflict { .. }), "{error}");
    node.links
        .put(other.clone().named("second").expect("valid"))
        .await
        .expect("another name");

    let replaced = node.links.replace(other.clone()).await.expect("replaced");
    assert!(replaced.revision > first.revision);
    assert_eq!(
        node.links.get(&other.key()).expect("there").link.target,
        id("elsewhere")
    );
    let same = node.links.replace(other).await.expect("the same");
    assert_eq!(same.revision, replaced.revision);
}

#[tokio::test(start_paused = true)]
async fn an_update_replaces_only_the_revision_that_was_read() {
    let node = Node::join(&MemoryStore::new()).await;
    let first = node.links.put(link("front", "a")).await.expect("put");
    let second = node
        .links
        .update(link("front", "b"), first.revision)
        .await
        .expect("as read");
    let error = node
        .links
        .update(link("front", "c"), first.revision)
        .await
        .expect_err("changed");
    assert!(
        matches!(&error, LinkError::Changed { found: Some(found), .. } if *found == second),
        "{error}"
    );
    node.links.delete(&second.key).await.expect("deleted");
    let error = node
        .links
        .update(link("front", "c"), second.revision)
        .await
        .expect_err("gone");
    assert!(
        matches!(&error, LinkError::Changed { found: None, .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deletion_at_a_revision_leaves_a_link_that_was_changed_since() {
    let store = MemoryStore::new();
    let (one, other) = (Node::join(&store).await, Node::join(&store).await);
    let read = one.links.put(link("front", "a")).await.expect("put");
    let change = other.links.update(link("front", "b"), read.revision).await;
    let changed = change.expect("as read");
    let error = one.links.delete_at(&read.key, read.revision).await;
    let error = error.expect_err("changed");
    assert!(
        matches!(&error, DeleteError::Changed { found: Some(found), expected, .. } if *found == changed && *expected == read.revision),
        "{error}"
    );
    assert!(error.to_string().contains("before you delete it"));
    assert_eq!(one.links.list(), std::slice::from_ref(&changed));

    let deleted = one.links.delete_at(&read.key, changed.revision).await;
    deleted.expect("as read");
    assert_eq!(one.links.list(), []);
    let error = one.links.delete_at(&read.key, changed.revision).await;
    let error = error.expect_err("gone");
    assert!(matches!(error, DeleteError::NotFound { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn links_that_cannot_work_are_rejected_with_a_reason() {
    let node = Node::join(&MemoryStore::new()).await;
    node.types
        .publish(&id("back"), &exporting("get", "func()"))
        .await
        .expect("published");
    node.types
        .publish(&id("front"), &importing("get", "func(a: u8)"))
        .await
        .expect("published");

    let mut no_json = link("front", "back");
    no_json.config = "{".to_owned();
    let wrong = Link::new("front", "x:y/z", "back").expect("valid");
    let differs = link("front", "back");
    for (link, expected) in [
        (no_json, "is not JSON"),
        (wrong, "does not export `x:y/z`, only `a:b/c@0.2.0`"),
        (
            differs.clone(),
            "has type `func(a: u8)` for component `front`, but component `back` has `func()`",
        ),
    ] {
        let error = node.links.put(link.clone()).await.expect_err(expected);
        assert!(matches!(error, LinkError::LinkMismatch(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        let error = node.links.replace(link).await.expect_err(expected);
        assert!(matches!(error, LinkError::LinkMismatch(_)), "{error}");
    }
    assert_eq!(node.links.list(), []);
    // A component that was never started can be linked, and so can a component to itself.
    node.links
        .put(link("later", "back"))
        .await
        .expect("an unknown source");
    node.links
        .put(link("front", "later"))
        .await
        .expect("an unknown target");
    node.links.put(link("back", "back")).await.expect("itself");
    // A new version of the source matches.
    node.types
        .publish(&id("front"), &importing("get", "func()"))
        .await
        .expect("published");
    node.links.replace(differs).await.expect("it matches now");
}

#[tokio::test(start_paused = true)]
async fn an_oversized_link_is_rejected() {
    let node = Node::join(&MemoryStore::new()).await;
    let large = link("front", "back")
        .config(&"x".repeat(100_000))
        .expect("JSON");
    let error = node.links.put(large).await.expect_err("too large");
    assert!(
        matches!(
            error,
            LinkError::LinkMismatch(LinkMismatch::TooLarge { .. })
        ),
        "{error}"
    );
}
