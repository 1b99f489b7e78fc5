//! Whether a call in the name of a wormhole may run: both ends look the wormhole up in their own
//! copy of the store, as they do for links.

use super::Server;
use crate::{
    call::CallError,
    name::{ComponentId, LinkName, WormholeId},
    store::{Incarnation, Revision},
};
#[cfg(feature = "apps")]
use crate::{
    replica::Replica,
    wormhole::{Purpose, WormholeReader},
};
#[cfg(feature = "apps")]
use std::sync::Arc;

/// A wormhole that is open, as this process knows it.
#[derive(Debug)]
pub(crate) struct OpenWormhole {
    /// The component that the call goes to.
    pub(crate) target: ComponentId,
    /// The name of the link, which its callee is told.
    pub(crate) link: LinkName,
    /// The revision of the wormhole's record, which the callee's host must have seen.
    pub(crate) revision: Revision,
    /// The incarnation of the store that the revision is of.
    pub(crate) incarnation: Incarnation,
}

/// The wormholes as the replica has them. A program without the feature `apps` knows none.
#[derive(Debug)]
pub(super) struct KnownWormholes {
    #[cfg(feature = "apps")]
    reader: Arc<WormholeReader>,
}

impl KnownWormholes {
    #[cfg(feature = "apps")]
    pub(super) fn of(replica: &Replica) -> Self {
        let reader = WormholeReader::of(replica);
        Self { reader }
    }

    #[cfg(not(feature = "apps"))]
    pub(super) fn of(_: &crate::replica::Replica) -> Self {
        Self {}
    }
}

impl Server {
    /// Returns what a wormhole allows, as a caller needs it: where calls through this interface go,
    /// given by its compatible name.
    pub(crate) fn open_wormhole(
        &self,
        id: &WormholeId,
        interface: &str,
    ) -> Result<OpenWormhole, CallError> {
        self.known_wormhole(id, interface)
            .map_err(|reason| refused(id, reason))
    }

    /// Checks, for the callee, that a wormhole leads to this component through this interface.
    /// Returns the name of the link that its record has.
    pub(super) fn let_through(
        &self,
        id: &WormholeId,
        component: &ComponentId,
        interface: &str,
    ) -> Result<LinkName, CallError> {
        let open = self.open_wormhole(id, interface)?;
        if open.target == *component {
            return Ok(open.link);
        }
        let target = open.target;
        Err(refused(
            id,
            format!("it leads to `{target}`, not to `{component}`; correct its record"),
        ))
    }

    #[cfg(feature = "apps")]
    fn known_wormhole(&self, id: &WormholeId, interface: &str) -> Result<OpenWormhole, String> {
        let Some(purpose) = Purpose::of(interface) else {
            return Err(format!(
                "`{interface}` can't be called in its name, only the interfaces of HTTP; make the call through a link"
            ));
        };
        let table = self.wormholes.reader.table(&self.connection.replica);
        let Some(wormhole) = table.by_id(id).filter(|wormhole| wormhole.spec.is_open()) else {
            return Err("it is closed, or it is gone or can't be read; open it".to_owned());
        };
        let Some((target, link)) = wormhole.leads_to(purpose) else {
            return Err("it has no verifier; name one in its `auth`".to_owned());
        };
        Ok(OpenWormhole {
            target: target.clone(),
            link: link.clone(),
            revision: wormhole.revision,
            incarnation: table.incarnation(),
        })
    }

    #[cfg(not(feature = "apps"))]
    fn known_wormhole(&self, _: &WormholeId, _: &str) -> Result<OpenWormhole, String> {
        let KnownWormholes {} = self.wormholes;
        Err("this program knows no wormholes; build it with the feature `apps`".to_owned())
    }
}

fn refused(wormhole: &WormholeId, reason: String) -> CallError {
    let wormhole = wormhole.clone();
    CallError::WormholeClosed { wormhole, reason }
}
