//! Keeps the components in service informed of the links that lead to them.

use super::{Server, component::RunningComponent, link_admission::LinkState};
use crate::link::{Link, LinkEntry, LinkKey, LinkStatus, LinkTable};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long a provider may take to accept a link: it may have to connect to a backend.
const ACCEPT_WITHIN: Duration = Duration::from_secs(10);

/// Follows the link table for as long as the node lives.
pub(crate) async fn run(server: Arc<Server>) {
    let mut changes = server.connection.replica.changes();
    loop {
        tokio::select! {
            biased;
            change = changes.next() => if change.is_none() { return },
            () = server.registry.added.notified() => {}
        }
        let table = server.connection.replica.snapshot();
        let all = server.registry.load();
        for component in all
            .values()
            .filter(|component| !component.life.is_elsewhere() && !component.is_cut_off())
        {
            server.update_links(component, &table);
        }
    }
}

impl Server {
    /// Notifies the service of links to it that are new, changed or deleted.
    fn update_links(&self, component: &Arc<RunningComponent>, table: &LinkTable) {
        let mut known: HashMap<LinkKey, Arc<Link>> = component.links().into_iter().collect();
        for entry in table.by_target(&component.id) {
            let known = known.remove(&*entry.key);
            if known.is_none_or(|link| !Arc::ptr_eq(&link, &entry.link)) {
                self.offer_link(component, entry);
            }
        }
        for gone in known.keys() {
            component.unlink(gone);
        }
    }

    /// Passes a link to the service, and reports its decision as the link's status.
    fn offer_link(&self, component: &Arc<RunningComponent>, entry: &Arc<LinkEntry>) {
        let decision = component.link(entry.link.clone(), ACCEPT_WITHIN);
        let (links, entry) = (self.connection.links.clone(), entry.clone());
        let (component, host) = (component.clone(), self.origin().host.clone());
        self.tasks.spawn(async move {
            let status = match decision.await {
                // It stops meanwhile, which says nothing about the link.
                LinkState::Rejected(_) if component.is_cut_off() => return,
                LinkState::Rejected(reason) => {
                    tracing::warn!(link = %entry.key, reason, "a link was rejected by its target");
                    LinkStatus::rejected(reason)
                }
                LinkState::Accepted | LinkState::Pending => LinkStatus::Active,
            };
            let reported = links.report(&host, &entry.key, entry.revision, status);
            if let Err(error) = reported.await {
                tracing::warn!(link = %entry.key, %error, "the status of a link could not be written");
            }
        });
    }
}
