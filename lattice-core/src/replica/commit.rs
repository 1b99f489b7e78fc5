//! Commits that were decided by the replica.

use super::{Behind, Replica};
use crate::store::{
    CommitError, Op, Revision, StoreError,
    generation::{Basis, unseen},
    record::Records,
};

/// Why a commit that was decided by the replica has no effect, or may have none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCommitted {
    /// The replica is too old to decide by it. Nothing was written.
    #[error("this process's copy of the store is too old to decide by it")]
    Behind(#[from] Behind),
    /// The state of the store could not be read. Nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It was written, and every process refuses it.
    #[error(
        "it was written, but every process refuses it, because this one had not seen {unseen} earlier writes; decide again and write it again"
    )]
    Outdated { unseen: u64 },
}

impl Replica {
    /// Commits operations that were decided by `basis`, unless other processes would refuse them.
    pub(crate) async fn commit(
        &self,
        records: &Records,
        basis: Basis,
        ops: Vec<Op>,
    ) -> Result<Revision, NotCommitted> {
        let store = records.store();
        self.check_recent(basis, store.position().await?)?;
        let written = store.commit(ops).await?;
        // A process that was paused since the check may lack any number of writes.
        match unseen(basis.generation, written) {
            Some(unseen) => Err(NotCommitted::Outdated { unseen }),
            None => Ok(written),
        }
    }
}
