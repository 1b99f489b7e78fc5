//! Serves the requests of other hosts about handles.

use crate::{
    call::{CallError, FunctionRef},
    serve::{Answer, Request, Service},
    server::Server,
    stream::{Claim, Ledger},
    types::{ComponentTypes, InterfaceTypes},
    value::{from_bytes, to_bytes},
    wire::{HandleAnswer, HandleAsk, HandleRequest, Origin, Source},
};
use bytes::Bytes;
use std::sync::Arc;

/// Most handles in a request.
const MOST: usize = 8_192;

/// The service of one node. Any boot with the lattice's key is answered, also one that sends no
/// heartbeats: each request is checked against what the ledger has of that boot.
pub(super) struct HandleService {
    ledger: Arc<Ledger>,
    node: Origin,
    types: Arc<ComponentTypes>,
}

impl HandleService {
    pub(super) fn new(ledger: Arc<Ledger>, server: &Server, function: &FunctionRef) -> Self {
        let mut functions = InterfaceTypes::default();
        let text = function.signature().to_owned();
        functions
            .functions
            .insert(function.function().clone(), text);
        let mut types = ComponentTypes::default();
        types
            .exports
            .insert(function.interface().clone(), functions);
        Self {
            ledger,
            node: server.origin().clone(),
            types: Arc::new(types),
        }
    }

    fn answer(&self, request: &Request) -> Result<Bytes, CallError> {
        let bad = |reason: String| CallError::BadArguments { reason };
        let Source::Host(host) = &request.source else {
            return Err(CallError::OperatorDenied);
        };
        let asked = from_bytes(&request.args).map_err(|error| bad(error.to_string()));
        let (HandleRequest { epoch, ask },) = asked?;
        let (node, from) = (&self.node, Origin::new(host.clone(), epoch));
        let answer = match ask {
            HandleAsk::Drop(ids) | HandleAsk::Holds(ids) if ids.len() > MOST => {
                return Err(bad(format!("it names more than {MOST} handles")));
            }
            HandleAsk::Drop(ids) => {
                self.ledger.dropped_by(node, &from, &ids);
                HandleAnswer::Done
            }
            HandleAsk::Claim {
                id,
                is_owned,
                from: sender,
            } => {
                let claim = Claim {
                    id,
                    is_owned,
                    from: sender,
                };
                match self.ledger.claim(node, &from, &claim) {
                    Ok(number) => HandleAnswer::Claimed(number),
                    Err(stale) => HandleAnswer::Stale {
                        reason: stale.to_string(),
                        is_lost: stale.is_lost(),
                    },
                }
            }
            HandleAsk::Holds(ids) => HandleAnswer::Held(self.ledger.holds(node, &from, &ids)),
            HandleAsk::Gone => {
                self.ledger.gone(node, &from);
                HandleAnswer::Done
            }
        };
        to_bytes(&answer).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }
}

impl Service for HandleService {
    fn types(&self) -> Arc<ComponentTypes> {
        self.types.clone()
    }

    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        Answer::Ready(self.answer(&request))
    }
}
