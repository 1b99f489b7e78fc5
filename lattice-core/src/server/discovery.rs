//! Answers discovery questions: which hosts serve a component.

use super::Server;
use crate::{
    bus::Subscription,
    name::ComponentId,
    types::Digest,
    wire::{Body as _, Discover, Discovered, Origin},
};
use futures_util::StreamExt as _;
use std::sync::Arc;

/// Hosts named in one answer at most: more than a caller can use.
const MAX_KNOWN: usize = 256;

/// Answers questions about one component, as a member of its queue group.
pub(super) async fn run(server: Arc<Server>, component: ComponentId, mut questions: Subscription) {
    let endpoint = &server.transport.endpoint;
    while let Some(message) = questions.next().await {
        let Some(frame) = endpoint.open(message) else {
            continue;
        };
        for envelope in frame.envelopes() {
            match Discover::decode(envelope) {
                Ok(question) if question.component == component => {
                    let found = Discovered {
                        id: question.id,
                        component: component.clone(),
                        hosts: server.known_hosts(&component),
                    };
                    endpoint.reply_alone(frame.sender(), &found).await;
                }
                Ok(_) => endpoint.refuse("a question about another component"),
                Err(error) => endpoint.refuse(&error.to_string()),
            }
        }
    }
}

impl Server {
    /// Returns the hosts that serve `component` as far as is known here, including this one.
    fn known_hosts(&self, component: &ComponentId) -> Vec<(Origin, Digest)> {
        let peers = self.connection.presence.peers();
        let mut hosts: Vec<_> = peers
            .serving(component)
            .iter()
            .filter(|origin| *origin != self.origin())
            .filter_map(|origin| Some((origin.clone(), peers.digest(component)?)))
            .collect();
        hosts.truncate(MAX_KNOWN);
        let own = self.component(component);
        hosts.extend(own.map(|own| (self.origin().clone(), own.exports.digest)));
        hosts
    }
}
